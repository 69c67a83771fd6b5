#include "fuse/error_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/log.h"

namespace tifs::fuse {
namespace {

class ErrorLogTest : public testing::Test {
 protected:
  ErrorLogTest() : log_(clock_) {
    std::string pattern = (std::filesystem::temp_directory_path() / "tifs-errors-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    EXPECT_TRUE(
        OpenLog({.sink = LogOptions::Sink::kFile, .file = File(), .level = LogLevel::kInfo}));
  }
  ~ErrorLogTest() override {
    EXPECT_TRUE(OpenLog(LogOptions()));
    std::filesystem::remove_all(folder_);
  }

  std::string File() const { return (folder_ / "log").string(); }
  std::string Text() const {
    FlushLog();
    std::ifstream in(File());
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  long Lines() const {
    const std::string text = Text();
    return std::count(text.begin(), text.end(), '\n');
  }
  void Fail(std::string_view name = "f") {
    log_.Record("read", 7, name, Error(ErrorCode::kCorrupt, "block", "short value"));
  }

  ManualClock clock_;
  ErrorLog log_;
  std::filesystem::path folder_;
};

TEST_F(ErrorLogTest, SaysWhatFailedAndWhy) {
  Fail();
  const std::string text = Text();
  EXPECT_NE(text.find("read of inode 7, name \"f\": "), std::string::npos) << text;
  EXPECT_NE(text.find("short value"), std::string::npos) << text;
}

TEST_F(ErrorLogTest, ANameIsLeftOutWhereThereIsNone) {
  Fail("");
  EXPECT_NE(Text().find("read of inode 7: "), std::string::npos) << Text();
}

TEST_F(ErrorLogTest, AHostileNameCannotForgeALine) {
  Fail("a\nforged \x1b[2J");
  EXPECT_EQ(Lines(), 1);
  EXPECT_EQ(Text().find('\x1b'), std::string::npos);
}

TEST_F(ErrorLogTest, AFloodIsCutOffAndCounted) {
  for (int i = 0; i < 1000; ++i) Fail();
  EXPECT_EQ(Lines(), ErrorLog::kBurst);
  clock_.Advance(std::chrono::seconds(1));
  Fail();
  EXPECT_EQ(Lines(), ErrorLog::kBurst + 2);
  EXPECT_NE(Text().find("990 further errors"), std::string::npos) << Text();
  Fail();
  EXPECT_EQ(Lines(), ErrorLog::kBurst + 3);  // counted once
}

}  // namespace
}  // namespace tifs::fuse
