#include "file_works.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <random>

namespace tifs::bench {
namespace {

constexpr uint32_t kProcesses = 4;

// Incompressible, so that a file system that compresses gains nothing here.
std::string RandomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

std::string NumberedPath(const std::string& directory, char prefix, uint32_t number) {
  char name[16];
  std::snprintf(name, sizeof(name), "/%c%06u", prefix, number);
  return directory + name;
}

void CreateFiles(const std::string& directory, uint32_t count, const std::string& content) {
  for (uint32_t i = 0; i < count; ++i) {
    CreateFile(NumberedPath(directory, 'f', i), content.data(), content.size());
  }
}

// An inode with cached pages survives the dropping of inodes, so its pages go first.
void DropPages(const std::string& directory, char prefix, uint32_t count) {
  Settle();
  for (uint32_t i = 0; i < count; ++i) {
    const File file(NumberedPath(directory, prefix, i), O_RDONLY);
    posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

void StatOrFail(const std::string& path) {
  struct stat attr;
  if (stat(path.c_str(), &attr) == -1) FailWithErrno(path);
  if (attr.st_size != kSmallFileBytes) Fail(path, "has another size than was written");
}

// Lists the directory and stats each entry as `ls -l` does; returns how many files there are.
uint32_t ListAndStat(const std::string& directory) {
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) FailWithErrno(directory);
  uint32_t files = 0;
  errno = 0;
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] == '.') continue;
    struct stat attr;
    if (fstatat(dirfd(stream), entry->d_name, &attr, AT_SYMLINK_NOFOLLOW) == -1) {
      FailWithErrno(directory + "/" + entry->d_name);
    }
    ++files;
    errno = 0;
  }
  if (errno != 0) FailWithErrno(directory);
  closedir(stream);
  return files;
}

}  // namespace

std::vector<Work> FileWorks::Works() {
  const std::string listed = Grouped(environment_.scale.listed_files) + " files";
  return {
      {"create_1p", "create + write 4 KiB + close, 1 process", "files/s", true,
       [this] { return CreateByOne(); }},
      {"create_4p", "create + write 4 KiB + close, 4 processes in 4 directories", "files/s", true,
       [this] { return CreateByFour(); }},
      {"stat_first", "stat of " + listed + ", first", "files/s", true,
       [this] { return StatFirst(); }},
      {"stat_again", "stat of " + listed + ", again", "files/s", true,
       [this] { return StatAgain(); }},
      {"readdir_stat", "readdir + stat of " + listed, "files/s", true,
       [this] { return ReaddirAndStat(); }},
      {"rename", "rename of " + listed, "files/s", true, [this] { return Rename(); }},
      {"unlink", "unlink of " + listed, "files/s", true, [this] { return Unlink(); }},
  };
}

double FileWorks::CreateByOne() {
  const std::string directory = FreshDirectory("create");
  const std::string content = RandomBytes(kSmallFileBytes, environment_.seed);
  Settle();
  const Stopwatch stopwatch;
  CreateFiles(directory, environment_.scale.created_files, content);
  const double seconds = stopwatch.Seconds();
  DropPages(directory, 'f', environment_.scale.created_files);
  return environment_.scale.created_files / seconds;
}

double FileWorks::CreateByFour() {
  const std::string parent = FreshDirectory("create4");
  const std::string content = RandomBytes(kSmallFileBytes, environment_.seed);
  const uint32_t files_each = environment_.scale.created_files / kProcesses;
  std::array<pid_t, kProcesses> processes;
  int start[2];
  if (pipe2(start, O_CLOEXEC) == -1) FailWithErrno("pipe");
  for (uint32_t i = 0; i < kProcesses; ++i) {
    const std::string directory = NumberedPath(parent, 'd', i);
    MakeDirectory(directory);
    processes[i] = fork();
    if (processes[i] == -1) FailWithErrno("fork");
    if (processes[i] == 0) {
      close(start[1]);
      char ignored;
      if (read(start[0], &ignored, 1) == -1) FailWithErrno("pipe");  // until it is closed
      CreateFiles(directory, files_each, content);
      std::_Exit(0);
    }
  }
  close(start[0]);
  Settle();
  const Stopwatch stopwatch;
  close(start[1]);
  for (const pid_t process : processes) {
    int status;
    if (waitpid(process, &status, 0) == -1) FailWithErrno("waitpid");
    if (status != 0) Fail(parent, "one of the four processes failed");
  }
  const double seconds = stopwatch.Seconds();
  for (uint32_t i = 0; i < kProcesses; ++i) {
    DropPages(NumberedPath(parent, 'd', i), 'f', files_each);
  }
  return files_each * kProcesses / seconds;
}

std::string FileWorks::FreshDirectory(const std::string& name) {
  const std::string path =
      environment_.directory + "/" + name + "." + std::to_string(directories_made_++);
  DropNameCaches(environment_);
  MakeDirectory(path);
  return path;
}

std::string FileWorks::FreshFiles(const std::string& name) {
  const std::string directory = FreshDirectory(name);
  Settle();
  CreateFiles(directory, environment_.scale.listed_files,
              RandomBytes(kSmallFileBytes, environment_.seed));
  return directory;
}

void FileWorks::PrepareListing() {
  if (!listing_.empty()) return;
  listing_ = FreshFiles("listing");
  DropPages(listing_, 'f', environment_.scale.listed_files);
}

void FileWorks::StatFiles(const std::string& directory) const {
  for (uint32_t i = 0; i < environment_.scale.listed_files; ++i) {
    StatOrFail(NumberedPath(directory, 'f', i));
  }
}

double FileWorks::StatFirst() {
  PrepareListing();
  double seconds = 0;
  for (uint32_t pass = 0; pass < environment_.scale.listing_passes; ++pass) {
    DropNameCaches(environment_);
    const Stopwatch stopwatch;
    StatFiles(listing_);
    seconds += stopwatch.Seconds();
  }
  return environment_.scale.listed_files * environment_.scale.listing_passes / seconds;
}

double FileWorks::StatAgain() {
  PrepareListing();
  Settle();
  StatFiles(listing_);
  const Stopwatch stopwatch;
  for (uint32_t pass = 0; pass < environment_.scale.listing_passes; ++pass) StatFiles(listing_);
  return environment_.scale.listed_files * environment_.scale.listing_passes / stopwatch.Seconds();
}

double FileWorks::ReaddirAndStat() {
  PrepareListing();
  double seconds = 0;
  for (uint32_t pass = 0; pass < environment_.scale.listing_passes; ++pass) {
    DropNameCaches(environment_);
    const Stopwatch stopwatch;
    const uint32_t found = ListAndStat(listing_);
    seconds += stopwatch.Seconds();
    if (found != environment_.scale.listed_files) {
      Fail(listing_, "readdir found another number of files than were created");
    }
  }
  return environment_.scale.listed_files * environment_.scale.listing_passes / seconds;
}

double FileWorks::Rename() {
  const std::string directory = FreshFiles("rename");
  StatFiles(directory);
  const Stopwatch stopwatch;
  for (uint32_t i = 0; i < environment_.scale.listed_files; ++i) {
    const std::string from = NumberedPath(directory, 'f', i);
    if (rename(from.c_str(), NumberedPath(directory, 'r', i).c_str()) == -1) FailWithErrno(from);
  }
  const double seconds = stopwatch.Seconds();
  DropPages(directory, 'r', environment_.scale.listed_files);
  return environment_.scale.listed_files / seconds;
}

double FileWorks::Unlink() {
  const std::string directory = FreshFiles("unlink");
  StatFiles(directory);
  const Stopwatch stopwatch;
  for (uint32_t i = 0; i < environment_.scale.listed_files; ++i) {
    const std::string path = NumberedPath(directory, 'f', i);
    if (unlink(path.c_str()) == -1) FailWithErrno(path);
  }
  return environment_.scale.listed_files / stopwatch.Seconds();
}

}  // namespace tifs::bench
