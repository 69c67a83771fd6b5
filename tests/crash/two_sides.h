#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "rocksfs/rocks_file_system.h"
#include "sim/power_cut_disk.h"
#include "sim/sim_block_device.h"

namespace tifs::rocksfs {

// An operation on files of one directory whose names live on the volume, on the base, or on both.
struct SidesOp {
  enum class Kind : uint8_t {
    kCreate,  // in place of one that is there; with bytes, synced, closed
    kDelete,
    kRename,
    kLink,
    kSyncDirectory,
  };
  Kind kind = Kind::kSyncDirectory;
  std::string name;
  std::string to;  // kRename, kLink
};

std::string ToText(const std::vector<SidesOp>& ops);
// Every operation on the names that there are at the start, and on free ones.
std::vector<SidesOp> SidesAlphabet();

// What is left out, to see that it is noticed.
struct SidesOptions {
  std::function<bool(volume::FlushKind)> skip_flush;
  std::function<bool(sim::SyncKind, std::string_view)> lie_about_base;
};

// A RocksFileSystem over a simulated disk and a simulated base on one power. At the start, durably,
// the directory has v.sst (on the volume), b.sst (a table that is on the base), 2.sst (on both),
// c.log (on the base).
class TwoSides {
 public:
  // Name to bytes; what is not there is not in it.
  using View = std::map<std::string, std::string>;

  TwoSides(const SidesOptions& options, uint64_t seed);
  ~TwoSides();

  // Creating a file that is on the base already cuts it, with all names that it has or may have
  // again after a cut; what is right then is the base's affair.
  bool IsDefined(const SidesOp& op) const;
  // Why it failed, or nothing.
  std::string Do(const SidesOp& op);
  uint64_t calls() const { return base_.calls(); }
  // As PowerSupply::CutAfter. Do fails once the power is gone.
  void CutAfter(uint64_t calls) { base_.CutAfter(calls); }
  bool is_off() const { return base_.IsOff(); }

  // As it should be after the operations until then, and as it is.
  const View& expected() const { return states_.back(); }
  std::string Read(View& view);

  // The power goes, comes back, and everything is opened: what is wrong, or nothing.
  std::string CheckAfterCut();

 private:
  std::string Open();
  void Close();
  std::string DoOnFs(const SidesOp& op);
  std::string CreateFile(const std::string& name, const std::string& bytes);
  View Apply(const SidesOp& op) const;
  bool MayBeOnItsWay(const View& found, const std::string& name) const;
  std::string Judge(const View& found) const;

  const SidesOptions options_;
  Random random_;
  sim::SimBlockDevice device_;
  sim::PowerCutDisk base_;
  std::shared_ptr<RocksFileSystem> fs_;

  std::vector<SidesOp> ops_;
  std::vector<View>
      states_;              // before the first operation, after it, ...; the last one's may be due
  size_t durable_ = 0;      // the last of them that no cut takes back
  bool under_way_ = false;  // the last operation has not returned well
};

}  // namespace tifs::rocksfs
