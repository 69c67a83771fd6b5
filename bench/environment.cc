#include "environment.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

extern char** environ;

namespace tifs::bench {
namespace {

// The kernel sends FORGETs for dropped inodes after drop_caches has returned.
constexpr auto kForgetSettling = std::chrono::milliseconds(200);

void DropKernelCaches(Environment& environment, char level) {
  sync();
  const int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
  if (fd == -1 || write(fd, &level, 1) != 1) {
    if (environment.caches_dropped) {
      std::fprintf(stderr, "fs_bench: /proc/sys/vm/drop_caches: %s; cold works run warm, be root\n",
                   std::strerror(errno));
    }
    environment.caches_dropped = false;
  }
  if (fd != -1) close(fd);
  std::this_thread::sleep_for(kForgetSettling);
}

std::string ReadToEnd(int fd) {
  std::string text;
  char chunk[4096];
  ssize_t count;
  while ((count = read(fd, chunk, sizeof(chunk))) > 0) text.append(chunk, count);
  return text;
}

}  // namespace

void FailWithErrno(const std::string& what) { Fail(what, std::strerror(errno)); }

void Fail(const std::string& what, const std::string& why) {
  std::fprintf(stderr, "fs_bench: %s: %s\n", what.c_str(), why.c_str());
  std::_Exit(1);
}

File::File(const std::string& path, int flags, mode_t mode)
    : fd_(open(path.c_str(), flags | O_CLOEXEC, mode)) {
  if (fd_ == -1) FailWithErrno(path);
}

File::~File() { close(fd_); }

void WriteAllAt(int fd, const char* data, size_t size, uint64_t offset, const std::string& path) {
  while (size > 0) {
    const ssize_t count = pwrite(fd, data, size, static_cast<off_t>(offset));
    if (count <= 0) FailWithErrno(path);
    data += count;
    size -= static_cast<size_t>(count);
    offset += static_cast<uint64_t>(count);
  }
}

void ReadAllAt(int fd, char* data, size_t size, uint64_t offset, const std::string& path) {
  while (size > 0) {
    const ssize_t count = pread(fd, data, size, static_cast<off_t>(offset));
    if (count == -1) FailWithErrno(path);
    if (count == 0) Fail(path, "shorter than what was written to it");
    data += count;
    size -= static_cast<size_t>(count);
    offset += static_cast<uint64_t>(count);
  }
}

void CreateFile(const std::string& path, const char* data, size_t size) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd == -1) FailWithErrno(path);
  if (write(fd, data, size) != static_cast<ssize_t>(size)) FailWithErrno(path);
  if (close(fd) == -1) FailWithErrno(path);
}

std::string Grouped(uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

std::string BinarySize(uint64_t size_bytes) {
  const uint64_t mebibytes = size_bytes >> 20;
  return mebibytes % 1024 == 0 ? std::to_string(mebibytes / 1024) + " GiB"
                               : std::to_string(mebibytes) + " MiB";
}

void MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0755) == -1) FailWithErrno(path);
}

bool Exists(const std::string& path) {
  struct stat attr;
  return lstat(path.c_str(), &attr) == 0;
}

void RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) Fail(path, error.message());
}

void RunProgram(const std::vector<std::string>& arguments, std::string* output) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int channel[2];
  if (pipe2(channel, O_CLOEXEC) == -1) FailWithErrno("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, channel[1], STDOUT_FILENO);
  pid_t pid;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(channel[1]);
  if (error != 0) Fail(arguments[0], std::strerror(error));
  const std::string printed = ReadToEnd(channel[0]);
  close(channel[0]);
  int status;
  if (waitpid(pid, &status, 0) == -1) FailWithErrno(arguments[0]);
  if (status != 0) {
    std::string command;
    for (const std::string& argument : arguments) command += argument + " ";
    Fail(command, WIFEXITED(status) ? "exit status " + std::to_string(WEXITSTATUS(status))
                                    : "signal " + std::to_string(WTERMSIG(status)));
  }
  if (output != nullptr) *output = printed;
}

void Settle() { sync(); }

void DropNameCaches(Environment& environment) { DropKernelCaches(environment, '2'); }

void DropAllCaches(Environment& environment, const std::string& path) {
  {
    const File file(path, O_RDONLY);
    fsync(file.fd());
    posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  }
  if (!environment.cold_command.empty()) RunProgram({"sh", "-c", environment.cold_command});
  DropKernelCaches(environment, '3');
}

}  // namespace tifs::bench
