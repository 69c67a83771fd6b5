// What a volume costs beside its disk: CPU of a read from RocksDB's call down to a disk in memory,
// the time that opening takes and the memory that files take, journal records of an operation.

#include <malloc.h>
#include <rocksdb/file_system.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "block/mem_device.h"
#include "block/scheduled_device.h"
#include "rocksfs/rocks_file_system.h"

namespace tifs::rocksfs {
namespace {

constexpr uint64_t kFileBytes = 256 << 20;
constexpr size_t kReadBytes = 4096;
constexpr int kFiles = 100'000;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "volume_bench: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T Must(Result<T> result) {
  if (!result) Fail(result.error().ToString());
  return *std::move(result);
}

void Must(const Status& status) {
  if (!status) Fail(status.error().ToString());
}

void Must(const rocksdb::IOStatus& status) {
  if (!status.ok()) Fail(status.ToString());
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double NowSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The least CPU of several tries: what others on the machine do only adds to it.
void Measure(const char* name, size_t reads_each, const std::function<void()>& read) {
  double best = 1e9;
  for (int attempt = 0; attempt < 5; ++attempt) {
    const double began = CpuSeconds();
    size_t reads = 0;
    do {
      for (int i = 0; i < 1000; ++i) read();
      reads += 1000 * reads_each;
    } while (CpuSeconds() - began < 0.2);
    best = std::min(best, (CpuSeconds() - began) / static_cast<double>(reads));
  }
  std::printf("%-52s %8.3f us\n", name, best * 1e6);
}

struct Disk {
  explicit Disk(uint64_t size_bytes)
      : memory(Must(block::MemDevice::Open({.size_bytes = size_bytes}))) {
    Must(volume::Volume::Format(*memory, {.name = "bench"}, SystemClock()));
  }
  std::unique_ptr<volume::Volume> Open() {
    return Must(
        volume::Volume::Open(std::make_unique<block::ScheduledDevice>(
                                 std::make_unique<block::ForwardingDevice>(*memory), SystemClock()),
                             {.owner = "volume_bench", .background = false}));
  }
  std::unique_ptr<block::MemDevice> memory;
};

void MeasureReads() {
  Disk disk(2 * kFileBytes);
  auto file_system =
      Must(RocksFileSystem::Open(SharedVolume::Of(disk.Open()), rocksdb::FileSystem::Default(),
                                 {.root = "bench", .base_directory = "/"}));
  rocksdb::FileOptions options;
  options.use_direct_reads = true;
  std::unique_ptr<rocksdb::FSWritableFile> out;
  Must(file_system->NewWritableFile("/bench.sst", options, &out, nullptr));
  const std::string piece(1 << 20, 'x');
  for (uint64_t at = 0; at < kFileBytes; at += piece.size()) Must(out->Append(piece, {}, nullptr));
  Must(out->Close({}, nullptr));
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  Must(file_system->NewRandomAccessFile("/bench.sst", options, &file, nullptr));

  constexpr size_t kBatch = 32;
  auto buffer = Must(block::DmaBuffer::Allocate(kBatch * 2 * kReadBytes, 4096));
  Random random(1);
  const auto offset = [&] { return random.Below(kFileBytes / kReadBytes - 2) * kReadBytes; };
  rocksdb::Slice result;
  std::printf("CPU of reading 4 KiB, at random in 256 MiB of memory, the copy included:\n");
  Measure("Read, aligned", 1,
          [&] { Must(file->Read(offset(), kReadBytes, {}, &result, buffer.data(), nullptr)); });
  Measure("Read, at any offset", 1, [&] {
    Must(file->Read(offset() + 100, kReadBytes, {}, &result, buffer.data(), nullptr));
  });
  std::vector<rocksdb::FSReadRequest> requests(kBatch);
  const auto multi_read = [&](uint64_t shift) {
    for (size_t i = 0; i < kBatch; ++i) {
      requests[i].offset = offset() + shift;
      requests[i].len = kReadBytes;
      requests[i].scratch = buffer.data() + i * kReadBytes;
    }
    Must(file->MultiRead(requests.data(), requests.size(), {}, nullptr));
  };
  Measure("MultiRead of 32, aligned", kBatch, [&] { multi_read(0); });
  Measure("MultiRead of 32, at any offset", kBatch, [&] { multi_read(100); });
}

void MeasureFiles() {
  Disk disk(8ULL << 30);
  auto volume = disk.Open();
  auto root = Must(volume->OpenRoot("bench", true));
  const uint64_t records = volume->Counts().journal_records;
  const double began = NowSeconds();
  for (int i = 0; i < kFiles; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "%06d.sst", i);
    auto file = Must(root->Open(name, {.write = true, .create = true}));
  }
  std::printf("%d files: %.2f us to create one, %.2f journal records each\n", kFiles,
              (NowSeconds() - began) / kFiles * 1e6,
              static_cast<double>(volume->Counts().journal_records - records) / kFiles);
  for (int i = 0; i < kFiles; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "%06d.sst", i);
    auto file = Must(root->Open(name, {.write = true}));
    Must(file->Append("content"));
  }
  root.reset();
  Must(volume->Close());
  volume.reset();
  malloc_trim(0);
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  const double opening = NowSeconds();
  volume = disk.Open();
  std::printf("opening it takes %.3f s", NowSeconds() - opening);
  const size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
  std::printf(", and %.0f bytes of memory a file with one extent\n",
              static_cast<double>(after - before) / kFiles);
  root = Must(volume->OpenRoot("bench", false));
  const uint64_t opened = volume->Counts().journal_records;
  for (int i = 0; i < kFiles; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "%06d.sst", i);
    Must(root->Unlink(name));
  }
  std::printf("%.2f journal records to delete one\n",
              static_cast<double>(volume->Counts().journal_records - opened) / kFiles);
}

}  // namespace
}  // namespace tifs::rocksfs

int main() {
  tifs::rocksfs::MeasureReads();
  tifs::rocksfs::MeasureFiles();
  return 0;
}
