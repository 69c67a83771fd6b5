#include "cli/volume_extent_device.h"

#include <string>
#include <utility>
#include <vector>

#include "base/sync.h"
#include "fs/data/write_behind.h"

namespace tifs::cli {
namespace {

class VolumeExtentDevice : public fs::ExtentDevice {
 public:
  VolumeExtentDevice(std::unique_ptr<volume::SparseFile> file, bool write_behind,
                     std::shared_ptr<block::IoCounter> counter)
      : counter_(std::move(counter)), file_(std::move(file)) {
    if (!write_behind) return;
    write_behind_ =
        std::make_unique<fs::WriteBehind>([this](uint64_t offset_bytes, std::string_view data) {
          const block::IoScope scope = Scope();
          Status written = file_->WriteAt(offset_bytes, data);
          if (!written) NoteLost(offset_bytes, data.size());
          return written;
        });
  }

  Status Read(uint64_t offset_bytes, std::span<char> out) override {
    Await(offset_bytes, out.size());
    TRY(CheckNotLost(offset_bytes, out.size()));
    const block::IoScope scope = Scope();
    return file_->ReadAt(offset_bytes, out);
  }
  Status Write(uint64_t offset_bytes, std::string_view data) override {
    const block::IoScope scope = Scope();
    if (!write_behind_) return file_->WriteAt(offset_bytes, data);
    Await(offset_bytes, data.size());
    // So that a lack of space is known now.
    TRY(file_->Allocate(offset_bytes, data.size()));
    write_behind_->Submit(offset_bytes, data);
    return {};
  }
  Status Discard(uint64_t offset_bytes, uint64_t length_bytes) override {
    Await(offset_bytes, length_bytes);
    return file_->Discard(offset_bytes, length_bytes);
  }
  Status Truncate(uint64_t size_bytes) override {
    TRY(Drain());
    const block::IoScope scope = Scope();
    return file_->Truncate(size_bytes);
  }
  Status Sync() override {
    TRY(Drain());
    const block::IoScope scope = Scope();
    return file_->Sync();
  }
  Result<uint64_t> NextData(uint64_t offset_bytes) override {
    TRY(Drain());
    return file_->NextData(offset_bytes);
  }
  Result<uint64_t> Size() override {
    TRY(Drain());
    return file_->size_bytes();
  }

 private:
  // Users wait for what they read and sync, and soon for what they write: memory is bounded.
  block::IoScope Scope() const {
    return block::IoScope(block::IoClass::kForeground, counter_.get());
  }
  void Await(uint64_t offset_bytes, uint64_t length_bytes) {
    if (write_behind_) write_behind_->Await(offset_bytes, length_bytes);
  }
  void NoteLost(uint64_t offset_bytes, uint64_t length_bytes) {
    MutexLock lock(mutex_);
    lost_.push_back({offset_bytes, offset_bytes + length_bytes});
  }
  // What was accepted and could not be written must not read as what was there before.
  Status CheckNotLost(uint64_t offset_bytes, uint64_t length_bytes) {
    MutexLock lock(mutex_);
    for (const Range& range : lost_) {
      if (range.begin < offset_bytes + length_bytes && offset_bytes < range.end) {
        return Error(ErrorCode::kIo, "data file", "what was written there is lost");
      }
    }
    return {};
  }
  Status Drain() { return write_behind_ ? write_behind_->Drain() : OkStatus(); }

  struct Range {
    uint64_t begin, end;
  };

  const std::shared_ptr<block::IoCounter> counter_;
  const std::unique_ptr<volume::SparseFile> file_;
  Mutex mutex_;
  // Few: after a write that failed the volume takes no more.
  std::vector<Range> lost_ GUARDED_BY(mutex_);
  std::unique_ptr<fs::WriteBehind> write_behind_;  // ends before the file does
};

}  // namespace

Result<std::unique_ptr<fs::ExtentDevice>> OpenVolumeExtentDevice(
    volume::Root& root, std::string_view path, const VolumeExtentOptions& options) {
  auto file = TRY(root.OpenSparse(
      path, {.write = !options.read_only, .keep_free_bytes = options.keep_free_bytes}));
  return std::unique_ptr<fs::ExtentDevice>(std::make_unique<VolumeExtentDevice>(
      std::move(file), options.write_behind && !options.read_only, options.counter));
}

}  // namespace tifs::cli
