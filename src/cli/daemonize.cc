#include "cli/daemonize.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "cli/output.h"

namespace tifs::cli {
namespace {

// The child that the waiting parent passes signals on to. A signal handler has no other way to it.
volatile sig_atomic_t g_child = 0;

void PassOn(int) {
  if (g_child > 0) ::kill(static_cast<pid_t>(g_child), SIGTERM);
}

[[noreturn]] void WaitForChild(pid_t child, int pipe_fd, int code_if_it_dies) {
  g_child = child;
  struct sigaction action = {};
  action.sa_handler = PassOn;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);

  unsigned char code = 0;
  ssize_t got = 0;
  do {
    got = ::read(pipe_fd, &code, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) ::_exit(code);

  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const std::string how = WIFSIGNALED(status)
                              ? fmt::format("was killed by signal {} ({})", WTERMSIG(status),
                                            ::strsignal(WTERMSIG(status)))
                              : fmt::format("ended with code {}", WEXITSTATUS(status));
  PrintWarning(
      fmt::format("mount: the background process {} before it served; "
                  "run it with --foreground to see why",
                  how));
  ::_exit(code_if_it_dies);
}

// Makes `fd` the null device.
void ReplaceWithNull(int fd, int flags) {
  const int null_fd = ::open("/dev/null", flags);
  if (null_fd < 0) return;
  ::dup2(null_fd, fd);
  if (null_fd != fd) ::close(null_fd);
}

// Closes all above stderr but `kept`.
void CloseInherited(int kept) {
  if (kept > 3) ::close_range(3, static_cast<unsigned>(kept) - 1, 0);
  ::close_range(static_cast<unsigned>(kept) + 1, ~0U, 0);
}

}  // namespace

Result<Detachment> Detachment::Detach(int code_if_it_dies) {
  // Standard descriptors that are closed would be given to the store's files.
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) ReplaceWithNull(fd, O_RDWR);
  }
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ErrorFromErrno(errno, "pipe");
  const pid_t child = ::fork();
  if (child < 0) {
    const int error = errno;
    ::close(ends[0]);
    ::close(ends[1]);
    return ErrorFromErrno(error, "fork");
  }
  if (child > 0) {
    ::close(ends[1]);
    WaitForChild(child, ends[0], code_if_it_dies);
  }
  ::setsid();
  if (::chdir("/") != 0) return ErrorFromErrno(errno, "chdir");
  ReplaceWithNull(STDIN_FILENO, O_RDONLY);
  CloseInherited(ends[1]);
  return Detachment(ends[1]);
}

Detachment::Detachment(Detachment&& other) noexcept : pipe_fd_(std::exchange(other.pipe_fd_, -1)) {}

Detachment::~Detachment() {
  if (pipe_fd_ >= 0) ::close(pipe_fd_);
}

void Detachment::Tell(unsigned char code) {
  if (pipe_fd_ < 0) return;
  // A parent that is gone (killed while it waited) needs no answer.
  while (::write(pipe_fd_, &code, 1) < 0 && errno == EINTR) {
  }
  ::close(std::exchange(pipe_fd_, -1));
}

void Detachment::Succeed() {
  ReplaceWithNull(STDOUT_FILENO, O_WRONLY);
  ReplaceWithNull(STDERR_FILENO, O_WRONLY);
  Tell(0);
}

void Detachment::Fail(int exit_code) {
  Tell(static_cast<unsigned char>(std::clamp(exit_code, 1, 255)));
}

}  // namespace tifs::cli
