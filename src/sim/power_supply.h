#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/random.h"
#include "base/sync.h"

namespace tifs::sim {

// The one power of all simulated media of a machine: it counts their changing calls together, and
// goes for all at the same call. Outlives its media. Safe for use by several threads.
class PowerSupply {
 public:
  // What loses power: a disk, a file system.
  class Medium {
   public:
    virtual ~Medium() = default;
    // The power is back: what had reached the platters, chosen by `random`, is now the contents.
    virtual void Survive(Random& random) = 0;
  };

  // A medium is attached while it lives.
  void Attach(Medium& medium);
  void Detach(Medium& medium);

  // The power goes at the `calls`-th changing call from now (0: at once), on whichever medium that
  // is: that call may or may not have its effect, fails, and so does every later one, reads
  // included.
  void CutAfter(uint64_t calls);
  bool IsOff() const;
  // All media choose what survived, in the order of their attachment, and work again.
  void TurnOn(Random& random);

  // For media: before each changing call. How many came before it, or nothing if the power is off
  // or goes with this call.
  std::optional<uint64_t> CountCall();
  // Changing calls so far: what CutAfter counts.
  uint64_t calls() const;

 private:
  // Media hold their own locks when they count a call; so Survive is called without this one.
  mutable Mutex mutex_;
  std::vector<Medium*> media_ GUARDED_BY(mutex_);
  uint64_t calls_ GUARDED_BY(mutex_) = 0;
  uint64_t cut_at_ GUARDED_BY(mutex_) = UINT64_MAX;
  bool off_ GUARDED_BY(mutex_) = false;
};

}  // namespace tifs::sim
