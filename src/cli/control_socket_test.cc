#include "cli/control_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

namespace tifs::cli {
namespace {

namespace stdfs = std::filesystem;
using ::testing::ElementsAre;

class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() {
    std::string pattern = stdfs::temp_directory_path() / "tifs-control-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~ControlSocketTest() override { stdfs::remove_all(root_); }

  std::unique_ptr<ControlSocket> Serve(const std::string& path, ControlHandler handler) {
    auto socket = ControlSocket::Serve(path, std::move(handler));
    EXPECT_TRUE(socket.ok()) << (socket ? "" : socket.error().ToString());
    return socket.ok() ? *std::move(socket) : nullptr;
  }
  std::string Path(const std::string& name) { return root_ / "run" / name; }
  // Sends bytes as they are and returns what comes back.
  static std::string Exchange(const std::string& path, std::string_view bytes) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_GE(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
    ::shutdown(fd, SHUT_WR);
    std::string answer(1 << 16, '\0');
    const ssize_t got = ::recv(fd, answer.data(), answer.size(), MSG_WAITALL);
    ::close(fd);
    answer.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return answer;
  }

  stdfs::path root_;
};

Result<Json> Echo(const Json& request, const ControlProgress& progress) {
  if (request["request"] == "fail") return Error(ErrorCode::kReadOnly, "echo", "on purpose");
  if (request["request"] == "count") {
    for (uint64_t i = 1; i <= 3; ++i) (void)progress(i);
  }
  return request;
}

TEST_F(ControlSocketTest, AnswersAndPassesProgressAndErrors) {
  const auto socket = Serve(Path("1.sock"), Echo);
  const auto echo = AskMount(Path("1.sock"), {{"request", "echo"}, {"x", 1}});
  ASSERT_TRUE(echo.ok());
  EXPECT_EQ((*echo)["x"], 1);

  std::vector<uint64_t> seen;
  ASSERT_TRUE(AskMount(Path("1.sock"), {{"request", "count"}}, [&seen](uint64_t done) {
                seen.push_back(done);
              }).ok());
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));

  const auto failed = AskMount(Path("1.sock"), {{"request", "fail"}});
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), ErrorCode::kReadOnly);
}

TEST_F(ControlSocketTest, IsForItsOwnerAloneAndLeavesNothing) {
  {
    const auto socket = Serve(Path("1.sock"), Echo);
    struct stat status;
    ASSERT_EQ(::stat(Path("1.sock").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    ASSERT_EQ(::stat((root_ / "run").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
  }
  EXPECT_FALSE(stdfs::exists(root_ / "run"));
}

TEST_F(ControlSocketTest, RefusesGarbageAndGoesOn) {
  const auto socket = Serve(Path("1.sock"), Echo);
  for (const std::string& bytes :
       {std::string("garbage\n"), std::string("[]\n"), std::string("{}\n"),
        std::string("{\"request\": 5}\n"), std::string("\xff\xfe\n"), std::string("\n"),
        std::string(100'000, 'x'), "{\"request\":\"" + std::string(20'000, 'y') + "\"}\n"}) {
    const std::string answer = Exchange(Path("1.sock"), bytes);
    EXPECT_TRUE(answer.starts_with("{\"error\"")) << bytes.substr(0, 20) << ": " << answer;
  }
  EXPECT_TRUE(AskMount(Path("1.sock"), {{"request", "echo"}}).ok());
}

TEST_F(ControlSocketTest, NobodyThereIsUnavailable) {
  const auto gone = AskMount(Path("2.sock"), {{"request", "echo"}});
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code(), ErrorCode::kUnavailable);
}

TEST_F(ControlSocketTest, ServesAtPathsThatAreLong) {
  const stdfs::path directory = root_ / std::string(200, 'd');
  stdfs::create_directory(directory);
  const std::string path = directory / "1.sock";
  const auto socket = Serve(path, Echo);
  EXPECT_TRUE(AskMount(path, {{"request", "echo"}}).ok());
}

TEST_F(ControlSocketTest, RemovesTheSocketsOfTheDead) {
  stdfs::create_directory(root_ / "run");
  const std::string dead = Path("9.sock");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, dead.c_str(), dead.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(fd);
  const auto living = Serve(Path("1.sock"), Echo);
  const auto second = Serve(Path("2.sock"), Echo);
  EXPECT_FALSE(stdfs::exists(dead));
  EXPECT_TRUE(stdfs::exists(Path("1.sock")));
}

}  // namespace
}  // namespace tifs::cli
