// volume_stress [--rounds=N] [--seed=N] [--directory=DIR]: several RocksDB instances on one volume,
// used by several threads, in a process that is killed again and again. What the databases should
// hold is kept in a mapped file beside the volume; each new process checks the volume and every key
// against it first. Rounds alternate between io_uring and pread.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "block/open_device.h"
#include "rocksfs/rocks_file_system.h"
#include "tests/volume/expected_state.h"
#include "tests/volume/stress_instance.h"
#include "volume/volume_check.h"

namespace tifs::rocksfs {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kDeviceBytes = 192 << 20;
constexpr uint32_t kThreads = 2;  // of an instance

struct StressOptions {
  std::string directory;
  uint64_t rounds = 9;
  uint64_t seed = 1;
  // Of one round.
  block::IoBackend backend = block::IoBackend::kAuto;
  bool stops_by_itself = false;
  uint64_t operations = 0;
};

// --- the process that is killed ---

class StressWorker {
 public:
  StressWorker(const StressOptions& options, ExpectedState& expected)
      : options_(options), expected_(expected), random_(options.seed) {}

  std::string Run() {
    std::string why = OpenAll();
    for (auto& instance : instances_) {
      if (why.empty()) why = instance->VerifyAll();
    }
    if (why.empty()) why = Work();
    for (auto& instance : instances_) instance->Close();
    instances_.clear();
    envs_.clear();
    if (why.empty() && volume_) {
      const Status sound = volume_->volume().Verify();
      if (!sound) why = sound.error().ToString();
    }
    volume_.reset();
    return why;
  }

 private:
  Result<std::unique_ptr<block::BlockDevice>> OpenDisk() {
    while (true) {
      auto disk = block::OpenDevice("file:" + options_.directory + "/disk.img",
                                    {.backend = options_.backend});
      // The kernel takes down what the killed process had a little after the process is gone.
      if (disk || disk.error().code() != ErrorCode::kBusy) return disk;
      SystemClock().SleepFor(std::chrono::milliseconds(10));
    }
  }

  std::string CheckDisk() {
    auto disk = OpenDisk();
    if (!disk) return disk.error().ToString();
    std::printf("%s\n", std::string((*disk)->backend()).c_str());
    const auto report = volume::VolumeCheck::Run(*std::move(disk), {});
    if (!report) return "volume check: " + report.error().ToString();
    return report->findings.empty() ? "" : "volume check: " + report->findings[0].text;
  }

  std::string OpenAll() {
    if (std::string why = CheckDisk(); !why.empty()) return why;
    auto disk = OpenDisk();
    if (!disk) return disk.error().ToString();
    auto volume = volume::Volume::Open(*std::move(disk), {.owner = "volume_stress"});
    if (!volume) return volume.error().ToString();
    volume_ = SharedVolume::Of(*std::move(volume));
    const std::string base = options_.directory + "/base";
    for (uint32_t i = 0; i < ExpectedState::kInstances; ++i) {
      auto opened =
          RocksFileSystem::Open(volume_, rocksdb::FileSystem::Default(),
                                {.root = "db" + std::to_string(i), .base_directory = base});
      if (!opened) return opened.error().ToString();
      envs_.push_back(
          rocksdb::NewCompositeEnv(std::shared_ptr<rocksdb::FileSystem>(*std::move(opened))));
      instances_.push_back(std::make_unique<StressInstance>(expected_, i, base));
      if (std::string why = instances_[i]->Open(*envs_[i], random_); !why.empty()) return why;
    }
    return "";
  }

  // Until it is killed, or until so many operations are done.
  std::string Work() {
    std::atomic<bool> stops = false;
    Mutex mutex;
    std::string failure;
    const uint64_t end = expected_.operations() + options_.operations;
    std::vector<std::jthread> threads;
    for (uint32_t i = 0; i < ExpectedState::kInstances * kThreads; ++i) {
      threads.emplace_back([&, i, seed = random_.Next()] {
        Random random(seed);
        while (!stops && !(options_.stops_by_itself && expected_.operations() >= end)) {
          const std::string why = instances_[i / kThreads]->Step(i % kThreads, kThreads, random);
          ++expected_.operations();
          if (why.empty()) continue;
          MutexLock lock(mutex);
          if (failure.empty()) failure = why;
          stops = true;
        }
      });
    }
    threads.clear();
    return failure;
  }

  const StressOptions options_;
  ExpectedState& expected_;
  Random random_;
  std::shared_ptr<SharedVolume> volume_;
  std::vector<std::unique_ptr<rocksdb::Env>> envs_;
  std::vector<std::unique_ptr<StressInstance>> instances_;
};

// --- the one that kills ---

std::string MakeDisk(const StressOptions& options) {
  fs::create_directories(options.directory + "/base");
  const std::string path = options.directory + "/disk.img";
  if (fs::exists(path)) return "";
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr || ftruncate(fileno(file), kDeviceBytes) != 0) return "no " + path;
  std::fclose(file);
  auto disk = block::OpenDevice("file:" + path);
  if (!disk) return disk.error().ToString();
  const Status formatted = volume::Volume::Format(**disk, {.name = "stress"}, SystemClock());
  return formatted ? "" : formatted.error().ToString();
}

// The worker's exit status as waitpid gives it.
int RunWorker(const StressOptions& options, uint64_t kill_after_ms, ExpectedState& expected) {
  const uint64_t end = expected.operations() + options.operations;
  const pid_t worker = fork();
  if (worker == 0) {
    // Nothing of the parent runs threads, so the child may do as it likes.
    const std::string why = StressWorker(options, expected).Run();
    if (!why.empty()) std::printf("%s\n", why.c_str());
    std::fflush(stdout);
    _exit(why.empty() ? 0 : 1);
  }
  int status = 0;
  for (uint64_t ms = 0;; ms += 2) {
    const pid_t done = waitpid(worker, &status, WNOHANG);
    if (done == worker) return status;
    const bool is_time = kill_after_ms != 0 ? ms >= kill_after_ms : expected.operations() >= end;
    if (is_time && !options.stops_by_itself) break;
    SystemClock().SleepFor(std::chrono::milliseconds(2));
  }
  kill(worker, SIGKILL);
  waitpid(worker, &status, 0);
  return status;
}

int Run(StressOptions options) {
  if (std::string why = MakeDisk(options); !why.empty()) {
    std::printf("%s\n", why.c_str());
    return 1;
  }
  auto expected = ExpectedState::Open(options.directory + "/expected");
  if (!expected) {
    std::printf("%s\n", expected.error().ToString().c_str());
    return 1;
  }
  Random random(options.seed);
  for (uint64_t round = 0; round <= options.rounds; ++round) {
    options.seed = random.Next();
    options.backend = round % 2 == 0 ? block::IoBackend::kAuto : block::IoBackend::kPread;
    // Some are killed while they open, some end by themselves, the last one among them.
    options.stops_by_itself = round == options.rounds || round % 5 == 3;
    options.operations = 100 + random.Below(6'000);
    const uint64_t kill_after_ms = random.OneIn(4) ? 1 + random.Below(300) : 0;
    const int status = RunWorker(options, kill_after_ms, *expected);
    std::printf("round %llu: %llu operations by now\n", static_cast<unsigned long long>(round),
                static_cast<unsigned long long>(expected->operations()));
    std::fflush(stdout);
    const bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (ended || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) continue;
    std::printf("failed, status %d; what is left is in %s\n", status, options.directory.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace tifs::rocksfs

int main(int argc, char** argv) {
  tifs::rocksfs::StressOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("--rounds=")) {
      options.rounds = std::strtoull(argv[i] + std::strlen("--rounds="), nullptr, 10);
    } else if (argument.starts_with("--seed=")) {
      options.seed = std::strtoull(argv[i] + std::strlen("--seed="), nullptr, 10);
    } else if (argument.starts_with("--directory=")) {
      options.directory = argument.substr(std::strlen("--directory="));
    } else {
      std::fprintf(stderr, "usage: volume_stress [--rounds=N] [--seed=N] [--directory=DIR]\n");
      return 2;
    }
  }
  const bool is_temporary = options.directory.empty();
  if (is_temporary) {
    options.directory = std::filesystem::temp_directory_path() / "tifs-volume-stress-XXXXXX";
    if (mkdtemp(options.directory.data()) == nullptr) {
      std::perror("mkdtemp");
      return 1;
    }
  }
  (void)tifs::OpenLog({.level = tifs::LogLevel::kError});
  std::printf("seed %llu, in %s\n", static_cast<unsigned long long>(options.seed),
              options.directory.c_str());
  std::fflush(stdout);
  const int status = tifs::rocksfs::Run(options);
  if (is_temporary && status == 0) std::filesystem::remove_all(options.directory);
  return status;
}
