#include "data_works.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <latch>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <thread>

namespace tifs::bench {
namespace {

constexpr size_t kTransferBytes = 1 << 20;
constexpr uint32_t kJobs = 4;

// Random bytes, incompressible; each page begins with its index, so that whoever reads it can tell
// that it got the right one. A fast answer that is wrong is no result.
class PagePattern {
 public:
  explicit PagePattern(uint64_t seed) : bytes_(kTransferBytes) {
    std::mt19937_64 random(seed);
    for (size_t i = 0; i < bytes_.size(); i += sizeof(uint64_t)) {
      const uint64_t word = random();
      std::memcpy(&bytes_[i], &word, sizeof(word));
    }
  }

  // Valid until the next call.
  const char* Pages(uint64_t first_page, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const uint64_t page = first_page + i;
      std::memcpy(&bytes_[i * kPageBytes], &page, sizeof(page));
    }
    return bytes_.data();
  }

  static void Check(const char* data, uint64_t first_page, size_t count, const std::string& path) {
    for (size_t i = 0; i < count; ++i) {
      uint64_t page;
      std::memcpy(&page, data + i * kPageBytes, sizeof(page));
      if (page != first_page + i) Fail(path, "reads other bytes than were written");
    }
  }

 private:
  std::vector<char> bytes_;
};

// The file's pages in a random order, each once, so that no read is served by an earlier one.
std::vector<uint64_t> ShuffledPages(uint64_t size_bytes, uint64_t seed) {
  std::vector<uint64_t> pages(size_bytes / kPageBytes);
  std::iota(pages.begin(), pages.end(), 0);
  std::shuffle(pages.begin(), pages.end(), std::mt19937_64(seed));
  return pages;
}

void ReadPages(int fd, std::span<const uint64_t> pages, const std::string& path) {
  char data[kPageBytes];
  for (const uint64_t page : pages) {
    ReadAllAt(fd, data, kPageBytes, page * kPageBytes, path);
    PagePattern::Check(data, page, 1, path);
  }
}

}  // namespace

std::vector<Work> DataWorks::Works() {
  const std::string size = BinarySize(environment_.scale.file_size_bytes);
  return {
      {"seq_write", size + " sequential write + fsync", "MiB/s", true,
       [this] { return SequentialWrite(); }},
      {"seq_read_cold", size + " sequential read, cold", "MiB/s", true,
       [this] { return SequentialReadCold(); }},
      {"seq_read_warm", size + " sequential read, warm", "MiB/s", true,
       [this] { return SequentialReadWarm(); }},
      {"rand_read_1j", "4 KiB random read, cold, 1 job", "reads/s", true,
       [this] { return RandomRead(1); }},
      {"rand_read_4j", "4 KiB random read, cold, 4 jobs", "reads/s", true,
       [this] { return RandomRead(kJobs); }},
      {"rand_write_fsync", "4 KiB random write, fsync each", "writes/s", true,
       [this] { return RandomWrite(); }},
  };
}

double DataWorks::FileMebibytes() const {
  return static_cast<double>(environment_.scale.file_size_bytes >> 20);
}

double DataWorks::WriteFile() const {
  PagePattern pattern(environment_.seed);
  constexpr size_t kPages = kTransferBytes / kPageBytes;
  const Stopwatch stopwatch;
  const int fd = open(Path().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd == -1) FailWithErrno(Path());
  for (uint64_t offset = 0; offset < environment_.scale.file_size_bytes; offset += kTransferBytes) {
    const char* data = pattern.Pages(offset / kPageBytes, kPages);
    WriteAllAt(fd, data, kTransferBytes, offset, Path());
  }
  if (fsync(fd) == -1 || close(fd) == -1) FailWithErrno(Path());
  return stopwatch.Seconds();
}

double DataWorks::ReadFile() const {
  std::vector<char> data(kTransferBytes);
  const Stopwatch stopwatch;
  const File file(Path(), O_RDONLY);
  for (uint64_t offset = 0; offset < environment_.scale.file_size_bytes; offset += kTransferBytes) {
    ReadAllAt(file.fd(), data.data(), kTransferBytes, offset, Path());
    PagePattern::Check(data.data(), offset / kPageBytes, kTransferBytes / kPageBytes, Path());
  }
  return stopwatch.Seconds();
}

void DataWorks::PrepareFile() {
  if (!Exists(Path())) WriteFile();
  Settle();
}

double DataWorks::SequentialWrite() {
  RemoveTree(Path());
  Settle();
  return FileMebibytes() / WriteFile();
}

double DataWorks::SequentialReadCold() {
  PrepareFile();
  DropAllCaches(environment_, Path());
  return FileMebibytes() / ReadFile();
}

double DataWorks::SequentialReadWarm() {
  PrepareFile();
  ReadFile();
  return FileMebibytes() / ReadFile();
}

double DataWorks::RandomRead(uint32_t jobs) {
  PrepareFile();
  const std::vector<uint64_t> pages =
      ShuffledPages(environment_.scale.file_size_bytes, environment_.seed);
  const size_t reads_each =
      std::min<size_t>(environment_.scale.random_reads_per_job, pages.size() / jobs);
  DropAllCaches(environment_, Path());
  // Each job has its own descriptor, as fio's have, and says like fio that it reads at random.
  std::vector<std::unique_ptr<File>> files;
  for (uint32_t job = 0; job < jobs; ++job) {
    files.push_back(std::make_unique<File>(Path(), O_RDONLY));
    posix_fadvise(files.back()->fd(), 0, 0, POSIX_FADV_RANDOM);
  }
  std::latch start(jobs + 1);
  std::vector<std::jthread> threads;
  for (uint32_t job = 0; job < jobs; ++job) {
    threads.emplace_back([&, job] {
      start.arrive_and_wait();
      ReadPages(files[job]->fd(), std::span(pages).subspan(job * reads_each, reads_each), Path());
    });
  }
  start.arrive_and_wait();
  const Stopwatch stopwatch;
  threads.clear();  // joins
  return static_cast<double>(reads_each * jobs) / stopwatch.Seconds();
}

double DataWorks::RandomWrite() {
  PrepareFile();
  const std::vector<uint64_t> pages =
      ShuffledPages(environment_.scale.file_size_bytes, environment_.seed + 1);
  const size_t writes = std::min<size_t>(environment_.scale.random_writes, pages.size());
  PagePattern pattern(environment_.seed);
  const File file(Path(), O_WRONLY);
  const Stopwatch stopwatch;
  for (const uint64_t page : std::span(pages).first(writes)) {
    WriteAllAt(file.fd(), pattern.Pages(page, 1), kPageBytes, page * kPageBytes, Path());
    if (fsync(file.fd()) == -1) FailWithErrno(Path());
  }
  return static_cast<double>(writes) / stopwatch.Seconds();
}

}  // namespace tifs::bench
