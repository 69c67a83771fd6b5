// What one 4 KiB read costs through src/block, against a plain pread with O_DIRECT: one at a time
// and in batches, by io_uring and by pread. Only reads. Give it a file or disk that is written all
// over, since holes are answered without the disk.

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "block/device_name.h"
#include "block/open_device.h"
#include "block/unique_fd.h"

namespace tifs::block {
namespace {

constexpr uint64_t kReadBytes = 4096;
constexpr size_t kMostAtOnce = 64;

struct Cost {
  double wall_us;
  double cpu_us;
};

struct Work {
  std::string name;
  // Does some reads and returns how many, or 0 after an error.
  std::function<size_t()> run;
  std::vector<Cost> rounds = {};
};

double CpuMicroseconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto microseconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

bool Measure(Work& work, double seconds) {
  using Clock = std::chrono::steady_clock;
  if (work.run() == 0) return false;
  const double cpu_before = CpuMicroseconds();
  const auto began = Clock::now();
  double wall_us = 0;
  size_t reads = 0;
  while (wall_us < seconds * 1e6) {
    const size_t done = work.run();
    if (done == 0) return false;
    reads += done;
    wall_us = std::chrono::duration<double, std::micro>(Clock::now() - began).count();
  }
  const auto count = static_cast<double>(reads);
  work.rounds.push_back({wall_us / count, (CpuMicroseconds() - cpu_before) / count});
  return true;
}

double Median(const std::vector<Cost>& rounds, double Cost::*member) {
  std::vector<double> values;
  for (const Cost& cost : rounds) values.push_back(cost.*member);
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class Bench {
 public:
  explicit Bench(uint64_t size_bytes) : blocks_(size_bytes / kReadBytes), random_(RandomSeed()) {}

  // `device` and `buffer` outlive the bench.
  void AddDevice(BlockDevice& device, DmaBuffer& buffer) {
    const std::string backend(device.backend());
    works_.push_back({backend + ": Read", [this, &device, &buffer] {
                        const auto out = buffer.bytes().first(kReadBytes);
                        for (size_t i = 0; i < 16; ++i) {
                          if (!device.Read(Offset(), out)) return size_t{0};
                        }
                        return size_t{16};
                      }});
    for (size_t depth : {8, 32, 64}) {
      works_.push_back({backend + ": Run of " + std::to_string(depth),
                        [this, &device, &buffer, depth] { return Batch(device, buffer, depth); }});
    }
    auto queue = device.OpenQueue(1);
    if (!queue) return;
    works_.push_back(
        {backend + ": queue of 1",
         [this, &buffer, one = std::shared_ptr<IoQueue>(*std::move(queue))] {
           IoRequest read = IoRequest::Read(Offset(), buffer.bytes().first(kReadBytes));
           IoRequest* request = &read;
           one->Submit({&request, 1});
           return one->Poll(1, {&request, 1}) == 1 && read.status ? size_t{1} : size_t{0};
         }});
  }
  void AddPread(int fd, DmaBuffer& buffer) {
    works_.push_back({"plain pread", [this, fd, &buffer] {
                        for (size_t i = 0; i < 16; ++i) {
                          const auto offset = static_cast<off_t>(Offset());
                          if (pread(fd, buffer.data(), kReadBytes, offset) !=
                              static_cast<ssize_t>(kReadBytes)) {
                            return size_t{0};
                          }
                        }
                        return size_t{16};
                      }});
  }

  bool Run(int rounds, double seconds) {
    for (int round = 0; round < rounds; ++round) {
      for (Work& work : works_) {
        if (!Measure(work, seconds)) {
          std::fprintf(stderr, "%s: a read failed\n", work.name.c_str());
          return false;
        }
      }
    }
    std::printf("%-24s %12s %12s %12s\n", "a 4 KiB read by", "wall us", "CPU us", "k reads/s");
    for (const Work& work : works_) {
      const double wall_us = Median(work.rounds, &Cost::wall_us);
      std::printf("%-24s %12.2f %12.3f %12.1f\n", work.name.c_str(), wall_us,
                  Median(work.rounds, &Cost::cpu_us), 1e3 / wall_us);
    }
    return true;
  }

 private:
  uint64_t Offset() { return random_.Below(blocks_) * kReadBytes; }

  size_t Batch(BlockDevice& device, DmaBuffer& buffer, size_t depth) {
    requests_.clear();
    for (size_t i = 0; i < depth; ++i) {
      requests_.push_back(
          IoRequest::Read(Offset(), buffer.bytes().subspan(i * kReadBytes, kReadBytes)));
    }
    return device.Run(requests_) ? depth : 0;
  }

  const uint64_t blocks_;
  Random random_;
  std::vector<IoRequest> requests_;
  std::vector<Work> works_;
};

int Fail(const Error& error) {
  std::fprintf(stderr, "block_bench: %s\n", error.ToString().c_str());
  return 1;
}

int Main(const std::string& name, int rounds, double seconds) {
  const auto parsed = ParseDeviceName(name);
  if (!parsed) return Fail(parsed.error());
  const bool on_disk =
      parsed.value().kind == DeviceKind::kFile || parsed.value().kind == DeviceKind::kBlock;
  std::vector<std::unique_ptr<BlockDevice>> devices;
  for (IoBackend backend : {IoBackend::kPread, IoBackend::kUring}) {
    if (!on_disk && !devices.empty()) break;
    auto device = OpenDevice(name, {.read_only = on_disk, .exclusive = false, .backend = backend});
    if (!device) return Fail(device.error());
    devices.push_back(*std::move(device));
  }
  if (!on_disk) {
    // Memory that nobody wrote is one page of zeros, which the processor's cache would answer from.
    const std::string filler(1 << 20, 'x');
    for (uint64_t at = 0; at + filler.size() <= devices[0]->size_bytes(); at += filler.size()) {
      if (const Status wrote = devices[0]->Write(at, filler); !wrote) return Fail(wrote.error());
    }
  }
  if (devices[0]->size_bytes() < kReadBytes) {
    std::fprintf(stderr, "block_bench: %s is smaller than a read\n", name.c_str());
    return 1;
  }
  auto buffer = DmaBuffer::Allocate(kMostAtOnce * kReadBytes, kReadBytes);
  if (!buffer) return Fail(buffer.error());
  Bench bench(devices[0]->size_bytes());
  UniqueFd fd;
  if (on_disk) {
    fd = UniqueFd(open(parsed.value().path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    if (fd) bench.AddPread(fd.get(), buffer.value());
  }
  for (const auto& device : devices) bench.AddDevice(*device, buffer.value());
  return bench.Run(rounds, seconds) ? 0 : 1;
}

}  // namespace
}  // namespace tifs::block

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: block_bench DEVICE [ROUNDS [SECONDS]]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 5;
  const double seconds = argc > 3 ? std::atof(argv[3]) : 0.5;
  return tifs::block::Main(argv[1], rounds, seconds);
}
