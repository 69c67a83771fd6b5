#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "base/sync.h"
#include "fs/data/extent_device.h"

namespace tifs::fs {

// Bytes in memory, for tests: counts syncs, and fails them on demand.
class MemExtentDevice : public ExtentDevice {
 public:
  Status Read(uint64_t offset_bytes, std::span<char> out) override {
    MutexLock lock(mutex_);
    std::fill(out.begin(), out.end(), '\0');
    if (offset_bytes >= bytes_.size()) return {};
    bytes_.copy(out.data(), out.size(), offset_bytes);
    return {};
  }
  Status Write(uint64_t offset_bytes, std::string_view data) override {
    MutexLock lock(mutex_);
    if (full_) return Error(ErrorCode::kNoSpace, "memory");
    if (bytes_.size() < offset_bytes + data.size()) bytes_.resize(offset_bytes + data.size());
    bytes_.replace(offset_bytes, data.size(), data);
    return {};
  }
  Status Discard(uint64_t offset_bytes, uint64_t length_bytes) override {
    MutexLock lock(mutex_);
    const uint64_t end = std::min<uint64_t>(bytes_.size(), offset_bytes + length_bytes);
    if (offset_bytes < end) std::memset(bytes_.data() + offset_bytes, 0, end - offset_bytes);
    return {};
  }
  Status Truncate(uint64_t size_bytes) override {
    MutexLock lock(mutex_);
    bytes_.resize(size_bytes);
    return {};
  }
  Status Sync() override {
    ++syncs_;
    if (failing_) return Error(ErrorCode::kIo, "memory");
    return {};
  }
  Result<uint64_t> NextData(uint64_t offset_bytes) override {
    MutexLock lock(mutex_);
    const size_t found = bytes_.find_first_not_of('\0', offset_bytes);
    return found == std::string::npos ? std::max<uint64_t>(offset_bytes, bytes_.size())
                                      : uint64_t{found};
  }
  Result<uint64_t> Size() override {
    MutexLock lock(mutex_);
    return uint64_t{bytes_.size()};
  }

  uint64_t syncs() const { return syncs_; }
  void set_failing(bool failing) { failing_ = failing; }
  void set_full(bool full) { full_ = full; }
  // All of it, as it stands.
  std::string bytes() const {
    MutexLock lock(mutex_);
    return bytes_;
  }

 private:
  mutable Mutex mutex_;
  std::string bytes_ GUARDED_BY(mutex_);
  std::atomic<uint64_t> syncs_{0};
  std::atomic<bool> failing_{false};
  std::atomic<bool> full_{false};
};

// Passes everything on to a device that outlives it, such as one that several mounts use in turn.
class BorrowedExtentDevice : public ExtentDevice {
 public:
  explicit BorrowedExtentDevice(ExtentDevice& device) : device_(device) {}
  Status Read(uint64_t offset_bytes, std::span<char> out) override {
    return device_.Read(offset_bytes, out);
  }
  Status Write(uint64_t offset_bytes, std::string_view data) override {
    return device_.Write(offset_bytes, data);
  }
  Status Discard(uint64_t offset_bytes, uint64_t length_bytes) override {
    return device_.Discard(offset_bytes, length_bytes);
  }
  Status Truncate(uint64_t size_bytes) override { return device_.Truncate(size_bytes); }
  Status Sync() override { return device_.Sync(); }
  Result<uint64_t> NextData(uint64_t offset_bytes) override {
    return device_.NextData(offset_bytes);
  }
  Result<uint64_t> Size() override { return device_.Size(); }

 private:
  ExtentDevice& device_;
};

}  // namespace tifs::fs
