#include "base/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tifs {
namespace {

class LogTest : public testing::Test {
 protected:
  LogTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tifs-log-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    file_ = folder_ / "tifs.log";
  }
  ~LogTest() override {
    EXPECT_TRUE(OpenLog(LogOptions()));  // back to stderr
    std::filesystem::remove_all(folder_);
  }

  Status Open(LogLevel level) {
    return OpenLog({.sink = LogOptions::Sink::kFile, .file = file_.string(), .level = level});
  }
  static std::string Read(const std::filesystem::path& path) {
    FlushLog();
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
  std::filesystem::path file_;
};

TEST_F(LogTest, WritesALineWithLevelAndPid) {
  ASSERT_TRUE(Open(LogLevel::kInfo));
  LogWarning("store {} is {}", "/srv/d", 7);
  const std::string text = Read(file_);
  EXPECT_NE(text.find("warning tifs[" + std::to_string(getpid()) + "] store /srv/d is 7\n"),
            std::string::npos)
      << text;
}

TEST_F(LogTest, LeavesOutWhatIsBelowTheLevel) {
  ASSERT_TRUE(Open(LogLevel::kWarning));
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kError));
  LogDebug("one");
  LogInfo("two");
  EXPECT_EQ(Read(file_), "");
}

TEST_F(LogTest, ReopensUnderTheSameNameAfterARotation) {
  ASSERT_TRUE(Open(LogLevel::kInfo));
  LogInfo("before");
  const auto rotated = folder_ / "tifs.log.1";
  std::filesystem::rename(file_, rotated);
  ReopenLog();
  LogInfo("after");
  EXPECT_NE(Read(rotated).find("before"), std::string::npos);
  EXPECT_EQ(Read(rotated).find("after"), std::string::npos);
  EXPECT_NE(Read(file_).find("after"), std::string::npos);
}

TEST_F(LogTest, AFileThatCannotBeOpenedIsAnErrorAndTheOldSinkStays) {
  ASSERT_TRUE(Open(LogLevel::kInfo));
  const Status status =
      OpenLog({.sink = LogOptions::Sink::kFile, .file = (file_ / "not" / "a" / "folder").string()});
  EXPECT_FALSE(status);
  LogInfo("still here");
  EXPECT_NE(Read(file_).find("still here"), std::string::npos);
}

TEST_F(LogTest, ALineIsNeverTakenForAFormat) {
  ASSERT_TRUE(Open(LogLevel::kInfo));
  WriteLog(LogLevel::kInfo, "{} %n {:>99999}");
  EXPECT_NE(Read(file_).find("{} %n {:>99999}\n"), std::string::npos);
}

TEST(ParseLogLevelTest, KnowsItsFourNames) {
  EXPECT_EQ(*ParseLogLevel("debug"), LogLevel::kDebug);
  EXPECT_EQ(*ParseLogLevel("info"), LogLevel::kInfo);
  EXPECT_EQ(*ParseLogLevel("warning"), LogLevel::kWarning);
  EXPECT_EQ(*ParseLogLevel("error"), LogLevel::kError);
}

TEST(ParseLogLevelTest, NamesTheChoiceForAnythingElse) {
  const auto level = ParseLogLevel("verbose");
  ASSERT_FALSE(level);
  EXPECT_EQ(level.error().code(), ErrorCode::kInvalid);
  EXPECT_NE(level.error().detail().find("warning"), std::string::npos);
  EXPECT_FALSE(ParseLogLevel(""));
}

}  // namespace
}  // namespace tifs
