#include "cli/control_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/log.h"

namespace tifs::cli {
namespace {

namespace stdfs = std::filesystem;

constexpr unsigned kMaxConnections = 16;
constexpr int kRequestTimeoutMs = 5000;
constexpr int kAnswerTimeoutMs = 30000;

// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Unix sockets have paths of at most 107 bytes: a longer one is reached through its directory's
// descriptor.
class SocketAddress {
 public:
  explicit SocketAddress(const std::string& path) : directory_(-1) {
    address_.sun_family = AF_UNIX;
    std::string reachable = path;
    if (path.size() >= sizeof(address_.sun_path)) {
      const stdfs::path whole(path);
      directory_ = ::open(whole.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      reachable = fmt::format("/proc/self/fd/{}/{}", directory_, whole.filename().string());
    }
    valid_ = reachable.size() < sizeof(address_.sun_path);
    if (valid_) std::memcpy(address_.sun_path, reachable.c_str(), reachable.size() + 1);
  }
  ~SocketAddress() {
    if (directory_ >= 0) ::close(directory_);
  }
  SocketAddress(const SocketAddress&) = delete;
  SocketAddress& operator=(const SocketAddress&) = delete;

  bool valid() const { return valid_; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const { return sizeof(address_); }

 private:
  sockaddr_un address_ = {};
  int directory_;
  bool valid_ = false;
};

Result<int> Connect(const std::string& path) {
  const SocketAddress address(path);
  if (!address.valid()) return ErrorFromErrno(ENAMETOOLONG, "control socket");
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return ErrorFromErrno(errno, "control socket");
  if (::connect(fd.get(), address.get(), address.size()) != 0) {
    if (errno == EACCES || errno == EPERM) return ErrorFromErrno(EACCES, "control socket");
    return Error(ErrorCode::kUnavailable, "control socket", std::strerror(errno));
  }
  return fd.release();
}

bool SendAll(int fd, std::string_view text) {
  while (!text.empty()) {
    pollfd writable = {fd, POLLOUT, 0};
    if (::poll(&writable, 1, kAnswerTimeoutMs) <= 0) return false;
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return false;
    }
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Lines that arrive on a descriptor.
class LineReader {
 public:
  LineReader(int fd, size_t max_bytes) : fd_(fd), max_bytes_(max_bytes) {}

  // Nothing at the end, after `timeout_ms` (-1: never) and for a line that is too long.
  std::optional<std::string> Next(int timeout_ms) {
    while (true) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      if (buffer_.size() > max_bytes_) return std::nullopt;
      pollfd readable = {fd_, POLLIN, 0};
      const int ready = ::poll(&readable, 1, timeout_ms);
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) return std::nullopt;
      std::array<char, 4096> chunk;
      const ssize_t got = ::recv(fd_, chunk.data(), chunk.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return std::nullopt;
      buffer_.append(chunk.data(), static_cast<size_t>(got));
    }
  }

 private:
  const int fd_;
  const size_t max_bytes_;
  std::string buffer_;
};

std::string ToLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json ErrorToJson(const Error& error) {
  return {{"error",
           {{"code", std::string(ErrorCodeName(error.code()))},
            {"text", ErrorText(error)},
            {"explained", IsExplained(error)}}}};
}

Error ErrorFromJson(const Json& json) {
  const std::string name = json.value("code", "Io");
  const std::string text = json.value("text", "the mount gave no reason");
  for (int i = 0; i <= static_cast<int>(ErrorCode::kDeadlineExceeded); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    if (ErrorCodeName(code) != name) continue;
    return json.value("explained", false) ? ExplainedText(code, text) : Error(code, "mount", text);
  }
  return Error(ErrorCode::kIo, "mount", text);
}

void RemoveDeadSockets(const stdfs::path& directory) {
  std::error_code ignored;
  for (const auto& entry : stdfs::directory_iterator(directory, ignored)) {
    if (entry.path().extension() != ".sock") continue;
    const SocketAddress address(entry.path().string());
    const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!address.valid() || fd.get() < 0) continue;
    if (::connect(fd.get(), address.get(), address.size()) != 0 && errno == ECONNREFUSED) {
      ::unlink(entry.path().c_str());
    }
  }
}

}  // namespace

Result<std::unique_ptr<ControlSocket>> ControlSocket::Serve(const std::string& path,
                                                            ControlHandler handler) {
  const stdfs::path directory = stdfs::path(path).parent_path();
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrorFromErrno(errno, "control socket", directory.string());
  }
  RemoveDeadSockets(directory);
  ::unlink(path.c_str());
  const SocketAddress address(path);
  if (!address.valid()) return ErrorFromErrno(ENAMETOOLONG, "control socket", path);
  Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (listener.get() < 0) return ErrorFromErrno(errno, "control socket");
  // The mode of a socket's file is settled when it is bound; the process's umask may not be ours.
  if (::fchmod(listener.get(), 0600) != 0 ||
      ::bind(listener.get(), address.get(), address.size()) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(listener.get(), kMaxConnections) != 0) {
    return ErrorFromErrno(errno, "control socket", path);
  }
  Fd stop(::eventfd(0, EFD_CLOEXEC));
  if (stop.get() < 0) return ErrorFromErrno(errno, "eventfd");
  return std::unique_ptr<ControlSocket>(
      new ControlSocket(path, listener.release(), stop.release(), std::move(handler)));
}

ControlSocket::ControlSocket(std::string path, int listen_fd, int stop_fd, ControlHandler handler)
    : path_(std::move(path)),
      listen_fd_(listen_fd),
      stop_fd_(stop_fd),
      handler_(std::move(handler)),
      accept_thread_([this] { AcceptLoop(); }) {}

ControlSocket::~ControlSocket() {
  stopping_ = true;
  ::unlink(path_.c_str());
  (void)::eventfd_write(stop_fd_, 1);
  accept_thread_.join();
  {
    MutexLock lock(mutex_);
    while (connections_ > 0) idle_.Wait(mutex_);
  }
  ::close(listen_fd_);
  ::close(stop_fd_);
  // Leaves nothing behind if this was the last mount.
  ::rmdir(stdfs::path(path_).parent_path().c_str());
}

void ControlSocket::AcceptLoop() {
  while (!stopping_) {
    std::array<pollfd, 2> ready = {pollfd{listen_fd_, POLLIN, 0}, pollfd{stop_fd_, POLLIN, 0}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) return;
    if (stopping_ || (ready[0].revents & POLLIN) == 0) continue;
    const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    ucred peer = {};
    socklen_t size = sizeof(peer);
    const bool known = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    MutexLock lock(mutex_);
    if (!known || (peer.uid != 0 && peer.uid != ::geteuid()) || connections_ >= kMaxConnections) {
      ::close(fd);
      continue;
    }
    ++connections_;
    std::thread([this, fd] { ServeConnection(fd); }).detach();
  }
}

void ControlSocket::ServeConnection(int raw_fd) {
  {
    const Fd fd(raw_fd);
    LineReader reader(fd.get(), kMaxRequestBytes);
    const std::optional<std::string> line = reader.Next(kRequestTimeoutMs);
    Json answer;
    if (!line || line->size() > kMaxRequestBytes) {
      answer = ErrorToJson(Error(ErrorCode::kArgumentTooBig, "request"));
    } else {
      const Json request = Json::parse(*line, nullptr, /*allow_exceptions=*/false);
      const auto progress = [this, &fd](uint64_t done) {
        return !stopping_ && SendAll(fd.get(), ToLine({{"progress", done}}));
      };
      if (!request.is_object() || !request.contains("request") || !request["request"].is_string()) {
        answer = ErrorToJson(Error(ErrorCode::kInvalid, "request"));
      } else if (Result<Json> result = handler_(request, progress); result) {
        answer = {{"ok", *std::move(result)}};
      } else {
        answer = ErrorToJson(result.error());
      }
    }
    (void)SendAll(fd.get(), ToLine(answer));
  }
  MutexLock lock(mutex_);
  if (--connections_ == 0) idle_.NotifyAll();
}

std::string RuntimeDirectory() {
  if (::geteuid() == 0) return "/run/tifs";
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  return runtime != nullptr && runtime[0] == '/' ? std::string(runtime) + "/tifs" : std::string();
}

std::string ControlSocketPath(pid_t pid, const std::string& fallback_directory) {
  const std::string runtime = RuntimeDirectory();
  return fmt::format("{}/{}.sock", runtime.empty() ? fallback_directory : runtime, pid);
}

Result<Json> AskMount(const std::string& path, const Json& request,
                      const std::function<void(uint64_t)>& progress) {
  if (path.empty()) return Error(ErrorCode::kUnavailable, "control socket", "the mount has none");
  const Fd fd(TRY(Connect(path)));
  if (!SendAll(fd.get(), ToLine(request))) {
    return Error(ErrorCode::kUnavailable, "control socket", "the mount went away");
  }
  LineReader reader(fd.get(), kMaxAnswerBytes);
  while (const std::optional<std::string> line = reader.Next(-1)) {
    const Json answer = Json::parse(*line, nullptr, /*allow_exceptions=*/false);
    if (!answer.is_object()) break;
    if (answer.contains("ok")) return answer["ok"];
    if (answer.contains("error")) return ErrorFromJson(answer["error"]);
    if (progress && answer.contains("progress")) progress(answer.value("progress", uint64_t{0}));
  }
  return Error(ErrorCode::kUnavailable, "control socket", "the mount ended before it answered");
}

}  // namespace tifs::cli
