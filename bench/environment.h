// Where and how much a run of fs_bench works, and the few calls that all works share.
//
// A benchmark that meets an error has no result: whatever fails ends the process with a message
// and status 1. The parent process (fs_bench.cc) removes what is left in the directory.

#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tifs::bench {

// How much each work does. Every figure is a rate or a time of this much.
struct Scale {
  uint32_t created_files;
  uint32_t listed_files;     // stat, readdir, rename, unlink
  uint32_t listing_passes;   // a pass over `listed_files` is short, so it is repeated
  uint64_t file_size_bytes;  // the one large file of the data works
  uint32_t random_reads_per_job;
  uint32_t random_writes;
  uint32_t transactions;
  uint64_t repository_size_bytes;
};

inline constexpr Scale kFullScale{10'000, 5'000, 4, 1ull << 30, 16'000, 2'000, 2'000, 30'000'000};
inline constexpr Scale kQuickScale{1'000, 1'000, 2, 64ull << 20, 2'000, 200, 200, 3'000'000};

inline constexpr size_t kSmallFileBytes = 4096;
inline constexpr size_t kPageBytes = 4096;

struct Environment {
  std::string directory;     // ours alone, on the file system under test
  std::string repository;    // what git clones; made on first use if it is not there
  std::string cold_command;  // empties caches that the kernel does not know of, or empty
  Scale scale = kFullScale;
  uint64_t seed = 1;
  bool caches_dropped = true;  // false once the kernel refused
};

// One line of the result. `measure` does the whole work once, its preparation untimed, and returns
// the figure in `unit`.
struct Work {
  std::string name;
  std::string title;
  std::string unit;
  bool higher_is_better;
  std::function<double()> measure;
};

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Print "fs_bench: WHAT: WHY" and exit(1); the first takes the reason from errno.
[[noreturn]] void FailWithErrno(const std::string& what);
[[noreturn]] void Fail(const std::string& what, const std::string& why);

class File {
 public:
  // Fails the run if `path` cannot be opened.
  File(const std::string& path, int flags, mode_t mode = 0644);
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();
  int fd() const { return fd_; }

 private:
  int fd_;
};

void WriteAllAt(int fd, const char* data, size_t size, uint64_t offset, const std::string& path);
void ReadAllAt(int fd, char* data, size_t size, uint64_t offset, const std::string& path);

// Creates `path` with `size` bytes and closes it, as cp or tar would.
void CreateFile(const std::string& path, const char* data, size_t size);

// For titles: "5,000", "1 GiB".
std::string Grouped(uint64_t number);
std::string BinarySize(uint64_t size_bytes);

void MakeDirectory(const std::string& path);
bool Exists(const std::string& path);

// Removes `path` and all below it; not an error if there is nothing.
void RemoveTree(const std::string& path);

// Runs a program found on PATH, without a shell, and waits; anything but status 0 fails the run.
// With `output`, its standard output is kept there.
void RunProgram(const std::vector<std::string>& arguments, std::string* output = nullptr);

// What is dirty goes to disk, so that no work pays for its predecessor.
void Settle();

// Empties the kernel's dentry and inode caches, and nothing else.
void DropNameCaches(Environment& environment);

// Empties every cache between here and the disk: the kernel's by drop_caches, and by `cold_command`
// those of the file system's own process. `path` is dropped by posix_fadvise as well, which needs
// no privilege.
void DropAllCaches(Environment& environment, const std::string& path);

}  // namespace tifs::bench
