#include "sim/power_supply.h"

namespace tifs::sim {

void PowerSupply::Attach(Medium& medium) {
  MutexLock lock(mutex_);
  media_.push_back(&medium);
}

void PowerSupply::Detach(Medium& medium) {
  MutexLock lock(mutex_);
  std::erase(media_, &medium);
}

void PowerSupply::CutAfter(uint64_t calls) {
  MutexLock lock(mutex_);
  if (calls == 0) off_ = true;
  cut_at_ = calls_ + calls - 1;
}

bool PowerSupply::IsOff() const {
  MutexLock lock(mutex_);
  return off_;
}

void PowerSupply::TurnOn(Random& random) {
  std::vector<Medium*> media;
  {
    MutexLock lock(mutex_);
    media = media_;
  }
  for (Medium* medium : media) medium->Survive(random);
  MutexLock lock(mutex_);
  cut_at_ = UINT64_MAX;
  off_ = false;
}

std::optional<uint64_t> PowerSupply::CountCall() {
  MutexLock lock(mutex_);
  const uint64_t before = calls_++;
  if (before >= cut_at_) off_ = true;
  if (off_) return std::nullopt;
  return before;
}

uint64_t PowerSupply::calls() const {
  MutexLock lock(mutex_);
  return calls_;
}

}  // namespace tifs::sim
