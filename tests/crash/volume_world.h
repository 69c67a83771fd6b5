#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "sim/sim_block_device.h"
#include "tests/crash/volume_model.h"
#include "volume/volume.h"

namespace tifs::volume {

// What the disk is like, and which flushes are left out to see that it is noticed.
struct VolumeWorldOptions {
  sim::SimDeviceOptions disk;
  uint64_t extent_unit_bytes = 4 << 10;
  std::optional<FlushKind> skip_flush;
  bool damages = false;  // for tests: VolumeRun::DamageToo
  // Then a run is repeated by its seed but roughly.
  uint32_t transfer_threads = 0;
  uint32_t write_buffer_bytes = 256 << 10;
};

// A formatted disk whose free space is full of bytes that nobody may ever see, with a root "other"
// that nobody touches and a root "kv" that holds `tree`.
sim::DiskImage MakeVolumeImage(const VolumeWorldOptions& options, const Tree& tree);

// Runs operations on a volume on a simulated disk and on the model, and then asks for every instant
// at which the power can go whether what is left is right.
class VolumeRun {
 public:
  // From an image that MakeVolumeImage or a crash left, and what it is known to hold.
  VolumeRun(const VolumeWorldOptions& options, const sim::DiskImage& image, const Tree& tree,
            uint64_t seed);
  ~VolumeRun();

  // The volume is opened by then. Empty: as the model says.
  std::string Begin();
  std::string Do(const VolumeOp& op);
  // The disk, for faults. After one that is an error the volume must be latched: Do then checks
  // that every operation that changes something fails, and that nothing reaches the disk.
  sim::SimBlockDevice& disk() { return *disk_; }
  // False: closing or opening has failed, which is right if a fault met it.
  bool is_open() const { return root_ != nullptr; }
  bool is_latched() const { return volume_ && volume_->Latched().has_value(); }

  // What is left is looked at again with one block of metadata damaged in addition.
  void DamageToo() { damages_ = true; }

  // Looks at the cuts of the calls since operation `first_op` began (0: the opening), at most
  // `samples` outcomes each. What is found wrong, or nothing.
  std::string CheckCuts(size_t first_op, size_t samples, Random& random);
  // The same of single, random cuts; `image` and `tree` become what is left by the last one.
  std::string CheckRandomCuts(size_t cuts, Random& random, sim::DiskImage& image, Tree& tree);

  // The power goes now: for runs with faults, whose calls are not all in the log.
  std::string CheckNow(size_t samples, Random& random);

  const VolumeModel& model() const { return model_; }
  // How many images were opened and compared.
  uint64_t checks() const { return checks_; }

 private:
  struct Span {
    uint64_t begin;  // changing calls of the disk before it
    uint64_t end;
    bool durable;
  };

  std::string DoLatched(const VolumeOp& op);
  std::string DoOnVolume(const VolumeOp& op, bool& done);
  std::string Open();
  File* FileFor(int file, const std::string& path);
  void CloseHandles();
  std::string CheckImage(const sim::DiskImage& image, uint64_t calls_done, Tree& found);
  std::string CheckDamaged(const sim::DiskImage& image, uint64_t calls_done);
  std::string Compare(sim::SimBlockDevice& disk, uint64_t calls_done, bool warnings, Tree& found);
  std::string Describe(uint64_t calls_done, const std::string& problem) const;

  const VolumeWorldOptions options_;
  ManualClock clock_;
  Random random_;
  const sim::DiskImage start_;
  bool damages_ = false;
  std::unique_ptr<sim::SimBlockDevice> disk_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<Root> root_;
  std::map<int, std::unique_ptr<File>> handles_;
  VolumeModel model_;
  std::vector<std::string> history_;
  std::vector<Span> spans_;  // of operations; 0 is the opening
  std::string fill_;
  uint64_t checks_ = 0;
};

// Everything in the root "kv". An error's text, or nothing.
std::string ReadTree(Volume& volume, Tree& tree);

}  // namespace tifs::volume
