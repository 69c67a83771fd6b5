#include "volume/journal.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "block/io_class.h"

namespace tifs::volume {
namespace {

// Of both copies, in one submission.
constexpr uint64_t kBlocksAtOnce = 64;

}  // namespace

Journal::Journal(GuardedDevice& device, const Superblock& superblock, Position position)
    : device_(device),
      superblock_(superblock),
      next_sequence_(position.next_sequence),
      keep_(position.keep),
      checkpoint_position_(position.checkpoint),
      durable_below_(position.next_sequence) {}

// --- room ---

uint64_t Journal::FreeBlocks() const {
  const uint64_t used = next_sequence_ - keep_ + BlocksFor(waiting_.size());
  CHECK(used <= superblock_.journal_blocks);
  return superblock_.journal_blocks - used;
}

bool Journal::HasRoom() const {
  MutexLock lock(mutex_);
  return (reserved_ + 1) * kReservedBlocks <= FreeBlocks();
}

bool Journal::TryReserve() {
  MutexLock lock(mutex_);
  if ((reserved_ + 1) * kReservedBlocks > FreeBlocks()) return false;
  ++reserved_;
  return true;
}

void Journal::Unreserve() {
  MutexLock lock(mutex_);
  CHECK(reserved_ > 0);
  --reserved_;
  changed_.NotifyAll();
}

bool Journal::WaitForRoom() {
  MutexLock lock(mutex_);
  if (reserved_ == 0 || next_sequence_ - keep_ > superblock_.journal_blocks / 2) return false;
  changed_.Wait(mutex_);
  return true;
}

// --- records ---

uint64_t Journal::Append(const Record& record) {
  MutexLock lock(mutex_);
  CHECK(reserved_ > 0);
  EncodeRecord(record, waiting_);
  return ++last_number_;
}

uint64_t Journal::last_number() const {
  MutexLock lock(mutex_);
  return last_number_;
}

uint64_t Journal::durable_number() const {
  MutexLock lock(mutex_);
  return durable_number_;
}

bool Journal::WantsCommit() const {
  MutexLock lock(mutex_);
  const uint64_t limit = std::min<uint64_t>(superblock_.journal_blocks / 8, 64);
  return BlocksFor(waiting_.size()) > limit;
}

void Journal::SealWaiting() {
  if (waiting_.empty()) return;
  const uint64_t blocks = BlocksFor(waiting_.size());
  sealed_.push_back({next_sequence_, last_number_, std::exchange(waiting_, {})});
  next_sequence_ += blocks;
}

uint64_t Journal::Seal() {
  MutexLock lock(mutex_);
  SealWaiting();
  return next_sequence_;
}

Status Journal::Commit(uint64_t number) {
  MutexLock lock(mutex_);
  while (durable_number_ < number) {
    TRY(device_.Check());
    if (committing_) {
      changed_.Wait(mutex_);
      continue;
    }
    committing_ = true;
    Status committed = CommitWaiting();
    committing_ = false;
    changed_.NotifyAll();
    if (!committed) return committed;
  }
  return {};
}

Status Journal::CommitWaiting() {
  // Whoever commits, others wait for it.
  const block::IoScope foreground(block::IoClass::kForeground);
  SealWaiting();
  const std::deque<Batch> batches = std::exchange(sealed_, {});
  const uint64_t upto = last_number_;
  const uint64_t end = next_sequence_;
  const uint64_t durable_below = durable_below_;
  mutex_.Unlock();
  Status written = WriteBatches(batches, durable_below);
  if (written) written = device_.Flush(FlushKind::kJournal);
  mutex_.Lock();
  if (!written) return written;
  durable_number_ = upto;
  blocks_ += end - durable_below_;
  durable_below_ = end;
  ++commits_;
  return {};
}

Status Journal::WriteBatches(const std::deque<Batch>& batches, uint64_t durable_below) {
  if (buffer_.empty()) {
    auto buffer = device_.AllocateBuffer(2 * kBlocksAtOnce * kBlockBytes);
    if (!buffer) {
      // The records are applied in memory already: without them nothing may follow.
      device_.Latch(buffer.error());
      return std::move(buffer).error();
    }
    buffer_ = std::move(*buffer);
  }
  for (const Batch& batch : batches) {
    std::vector<std::string_view> payloads;
    std::string_view rest = batch.payload;
    uint64_t sequence = batch.sequence;
    uint32_t first_flag = BlockHeader::kFirst;
    while (!rest.empty()) {
      payloads.push_back(rest.substr(0, kPayloadBytes));
      rest.remove_prefix(payloads.back().size());
      if (!rest.empty() && payloads.size() < kBlocksAtOnce) continue;
      const BlockHeader first{.kind = BlockKind::kJournal,
                              .uuid = superblock_.uuid,
                              .sequence = sequence,
                              .generation = superblock_.generation,
                              .mark = durable_below,
                              .flags = std::exchange(first_flag, 0)};
      TRY(WriteBlocks(payloads, first, rest.empty() ? BlockHeader::kLast : 0));
      sequence += payloads.size();
      payloads.clear();
    }
  }
  return {};
}

Status Journal::WriteBlocks(std::span<const std::string_view> payloads, const BlockHeader& first,
                            uint32_t last_flags) {
  std::vector<block::IoRequest> requests;
  for (size_t copy = 0; copy < 2; ++copy) {
    const size_t copy_at = copy * kBlocksAtOnce * kBlockBytes;
    for (size_t i = 0; i < payloads.size(); ++i) {
      const uint64_t index = (first.sequence + i) % superblock_.journal_blocks;
      const std::span<char, kBlockBytes> block(buffer_.data() + copy_at + i * kBlockBytes,
                                               kBlockBytes);
      BlockHeader header = first;
      header.sequence += i;
      header.offset_bytes = superblock_.journal_offsets[copy] + index * kBlockBytes;
      header.payload_bytes = static_cast<uint32_t>(payloads[i].size());
      header.flags = (i == 0 ? first.flags : 0) | (i + 1 == payloads.size() ? last_flags : 0);
      std::memcpy(block.data() + kHeaderBytes, payloads[i].data(), payloads[i].size());
      SealBlock(header, block);
      const bool goes_on = i != 0 && index != 0;
      if (goes_on) {
        requests.back().size_bytes += kBlockBytes;
      } else {
        requests.push_back(block::IoRequest::Write(header.offset_bytes, block));
      }
    }
  }
  return device_.RunWrites(requests);
}

// --- checkpoints ---

void Journal::CheckpointBegan(uint64_t position) {
  MutexLock lock(mutex_);
  checkpoint_position_ = position;
}

void Journal::Release(uint64_t keep) {
  MutexLock lock(mutex_);
  CHECK(keep >= keep_);
  keep_ = keep;
  changed_.NotifyAll();
}

bool Journal::WantsCheckpoint() const {
  MutexLock lock(mutex_);
  return next_sequence_ - checkpoint_position_ >= superblock_.journal_blocks / 4;
}

uint64_t Journal::next_sequence() const {
  MutexLock lock(mutex_);
  return next_sequence_;
}

uint64_t Journal::records() const { return last_number(); }

uint64_t Journal::blocks() const {
  MutexLock lock(mutex_);
  return blocks_;
}

uint64_t Journal::commits() const {
  MutexLock lock(mutex_);
  return commits_;
}

}  // namespace tifs::volume
