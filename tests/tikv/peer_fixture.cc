#include "tests/tikv/peer_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <regex>

#include "base/check.h"
#include "kv/tikv/keyspace.h"

namespace tifs::tikv_peer {
namespace {

constexpr char kTool[] = TIFS_SOURCE_DIR "/tools/peer";

std::string Hex(const std::string& bytes) {
  std::string hex;
  for (const unsigned char byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

std::string ReadAll(int fd, bool to_line_end) {
  std::string text;
  char byte = 0;
  while (read(fd, &byte, 1) == 1) {
    text += byte;
    if (to_line_end && byte == '\n' && text.find("PD is at ") != std::string::npos) break;
  }
  return text;
}

}  // namespace

Peers& Peers::Get() {
  static Peers peers;
  return peers;
}

Peers::Peers() {
  char path[] = "/tmp/tikv_peer.XXXXXX";
  CHECK(mkdtemp(path) != nullptr);
  directory_ = path;
  std::array<int, 2> to_tool{};
  std::array<int, 2> from_tool{};
  // The tool's ends are closed in the programs that it starts; ours must not reach it, or it would
  // never see the end of its input.
  CHECK(pipe2(to_tool.data(), O_CLOEXEC) == 0 && pipe2(from_tool.data(), O_CLOEXEC) == 0);
  pid_ = fork();
  CHECK(pid_ >= 0);
  if (pid_ == 0) {
    dup2(to_tool[0], STDIN_FILENO);
    dup2(from_tool[1], STDOUT_FILENO);
    // Of its own group: Ctrl-C at the test must leave it time to clean up.
    setpgid(0, 0);
    execl(kTool, kTool, "--dir", path, "run", nullptr);
    _exit(127);
  }
  close(to_tool[0]);
  close(from_tool[1]);
  stdin_ = to_tool[1];
  std::string said = ReadAll(from_tool[0], true);
  std::smatch where;
  if (std::regex_search(said, where, std::regex("PD is at (\\S+), .* controls at (\\S+)\n"))) {
    pd_ = where[1];
    controls_ = where[2];
    close(from_tool[0]);
    return;
  }
  said += ReadAll(from_tool[0], false);
  close(from_tool[0]);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    lacking_ = said;
    return;
  }
  fprintf(stderr, "%s run: exit %d\n%s\n", kTool, status, said.c_str());
  abort();
}

Peers::~Peers() {
  if (stdin_ >= 0) close(stdin_);
  if (pid_ != 0) waitpid(pid_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Peers::Tool(const std::string& arguments) {
  const std::string command = std::string(kTool) + " --dir " + directory_ + " " + arguments;
  const int status = system(command.c_str());  // NOLINT(concurrency-mt-unsafe)
  EXPECT_EQ(status, 0) << command;
}

void Peers::Control(const std::string& method, const std::string& path, const std::string& body) {
  const size_t colon = controls_.find(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(controls_.substr(colon + 1))));
  CHECK(inet_pton(AF_INET, controls_.substr(0, colon).c_str(), &to.sin_addr) == 1);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  std::string answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
    const std::string request = method + " " + path +
                                " HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
                                "\r\n\r\n" + body;
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(request.size())) {
      answer = ReadAll(fd, false);
    }
  }
  close(fd);
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.0 200") << method << " " << path << ": " << answer;
}

void Peers::Split(const std::string& key) { Control("POST", "/split?key=" + Hex(key), ""); }

void Peers::Fault(const std::string& method, const std::string& fault, int times, int permille) {
  Control("POST", "/fault",
          fmt::format(R"({{"method":"{}","fault":"{}","times":{},"permille":{},"seed":20240607,)"
                      R"("backoff_ms":5}})",
                      method, fault, times, permille));
}

void Peers::ClearFaults() { Control("DELETE", "/fault", ""); }

kv::tikv::TikvOptions Peers::NewOptions() {
  kv::tikv::TikvOptions options;
  options.pd_addresses = {pd_};
  options.keyspace = ++keyspace_;
  options.lock_ttl = std::chrono::milliseconds(500);
  return options;
}

std::unique_ptr<kv::tikv::TikvKv> Peers::Open(const kv::tikv::TikvOptions& options) {
  return Must(kv::tikv::TikvKv::Open(options, kv::tikv::MakeGrpcTransport(), SystemClock()));
}

std::string ClusterKey(const kv::tikv::TikvOptions& options, std::string_view key) {
  return kv::tikv::Keyspace(options.keyspace).Encode(key);
}

}  // namespace tifs::tikv_peer
