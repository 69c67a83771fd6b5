#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "block/dma_buffer.h"

// A disk, or what stands for one. What every kind promises, and tests/conformance holds it to:
//
// - **Shapes.** Offsets and lengths are multiples of the logical block, buffers are aligned to
//   `buffer_alignment_bytes`. Anything else is kInvalid before anything is transferred.
// - **Whole or an error.** A request that is done well has transferred all of its bytes; short
//   transfers and interrupted calls are continued below this line. After an error any part of a
//   write may have happened, now or later, and what a read left in its buffer means nothing.
// - **Done is not durable.** A write that is done is seen by every later read. It survives a loss
//   of power only if it was done before the submission of a Flush that was then done without error,
//   or if it was itself written through (Durability::kThrough). What is neither may, after a loss
//   of power, be there, be missing, or be torn, in any order; the unit that is never torn is the
//   logical block.
// - **A failed write or Flush is final.** Later flushes may succeed without the bytes: whoever
//   needs them durable must stop trusting the device, never retry into success.
// - **Requests in flight together** have no order. Where they overlap, and one of them writes, each
//   byte is that of one or the other.
// - **Discard** is a hint that the bytes are no longer needed, and it is unordered and undurable as
//   a write is. What a discarded range reads as is unspecified, also from one read to the next,
//   unless `discard_reads_zeros`.
//
// Errors name the device, offset and length in their detail: kInvalid (shape, or beyond the end),
// kReadOnly, kNotSupported (discard), kNoSpace (a sparse file whose file system is full),
// kNoMemory, and kIo for all else, with the system's words.
namespace tifs::block {

// What never changes while a device is open. The size may: see BlockDevice::RefreshSize.
struct Geometry {
  // The logical block: the unit of offsets and lengths, and the one that a power cut never tears.
  // A power of two, at least 512.
  uint32_t block_bytes = 512;
  // A power of two; of the first byte of every buffer.
  uint32_t buffer_alignment_bytes = 1;
  // A write of at most this, that does not cross a multiple of this, survives as a whole or not at
  // all. A power of two, at least `block_bytes`.
  uint32_t atomic_write_bytes = 512;
  // The most that goes to the device at once. Larger requests are taken, too, and done in pieces
  // one after the other.
  uint32_t max_transfer_bytes = 1 << 20;
  // Without it whatever is done is durable; Flush is then allowed and costs nothing.
  bool has_flush = true;
  // Durability::kThrough is one command. Without it, it is a write and a flush.
  bool has_fua = false;
  bool has_discard = false;
  bool discard_reads_zeros = false;
};

enum class IoKind : uint8_t { kRead, kWrite, kFlush, kDiscard };

enum class Durability : uint8_t {
  kOnFlush,  // with the next Flush
  kThrough,  // when the write is done (FUA)
};

// One transfer. The caller's, and neither moved nor touched from its submission until it is done;
// the same holds for the buffer.
struct IoRequest {
  static IoRequest Read(uint64_t offset_bytes, std::span<char> out) {
    return {.kind = IoKind::kRead,
            .offset_bytes = offset_bytes,
            .size_bytes = out.size(),
            .buffer = out.data()};
  }
  // The device only reads `data`.
  static IoRequest Write(uint64_t offset_bytes, std::span<const char> data,
                         Durability durability = Durability::kOnFlush) {
    return {.kind = IoKind::kWrite,
            .durability = durability,
            .offset_bytes = offset_bytes,
            .size_bytes = data.size(),
            .buffer = const_cast<char*>(data.data())};
  }
  static IoRequest Flush() { return {.kind = IoKind::kFlush}; }
  static IoRequest Discard(uint64_t offset_bytes, uint64_t size_bytes) {
    return {.kind = IoKind::kDiscard, .offset_bytes = offset_bytes, .size_bytes = size_bytes};
  }

  IoKind kind = IoKind::kRead;
  Durability durability = Durability::kOnFlush;  // writes
  // Whether `status` is the outcome. Cleared when the request is submitted.
  bool done = false;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  char* buffer = nullptr;
  uint64_t tag = 0;  // the caller's, untouched
  Status status = {};
};

// Requests in flight on behalf of one thread, which makes every call. To be destroyed before its
// device; destruction waits for what is in flight.
class IoQueue {
 public:
  virtual ~IoQueue() = default;

  // Starts the first n requests, in no order, and returns n: fewer than given only when
  // `depth()` are in flight. Never blocks for their sake. A request of wrong shape is taken too,
  // and done at the next Poll, with its error.
  virtual size_t Submit(std::span<IoRequest* const> requests) = 0;
  // Waits until at least `at_least` requests are done (or all in flight, if they are fewer), puts
  // as many as there are and fit into `done`, and returns their count. With `at_least` of 0 it
  // only looks.
  virtual size_t Poll(size_t at_least, std::span<IoRequest*> done) = 0;
  // Submitted, and not yet given back by Poll.
  virtual size_t in_flight() const = 0;
  virtual size_t depth() const = 0;
};

// A device that is open. All calls are safe from any thread at any time until its destruction.
class BlockDevice {
 public:
  virtual ~BlockDevice() = default;
  BlockDevice(const BlockDevice&) = delete;
  BlockDevice& operator=(const BlockDevice&) = delete;

  const Geometry& geometry() const { return geometry_; }
  // A multiple of the logical block.
  uint64_t size_bytes() const { return size_bytes_.load(std::memory_order_acquire); }
  // The device as its user wrote it, for messages: "/dev/nvme1n1", "file:/x.img", "mem:1GiB".
  const std::string& identity() const { return identity_; }
  bool read_only() const { return read_only_; }
  // How transfers are made, for people: "io_uring", "pread", "memory".
  virtual std::string_view backend() const { return "memory"; }

  // A queue for the calling thread. `depth` is in [1, 4096]. kNoMemory, or what the system said.
  virtual Result<std::unique_ptr<IoQueue>> OpenQueue(uint32_t depth) = 0;

  // --- blocking calls; without an allocation when nothing fails ---

  Status Read(uint64_t offset_bytes, std::span<char> out);
  Status Write(uint64_t offset_bytes, std::span<const char> data,
               Durability durability = Durability::kOnFlush);
  // Everything whose write was done before this call is durable when it returns without error.
  Status Flush();
  // kNotSupported without `has_discard`.
  Status Discard(uint64_t offset_bytes, uint64_t size_bytes);
  // All `requests` at once, any kinds, any number, without order among them; returns when each is
  // done and has its outcome in its `status`. The answer is the error of the first that has one
  // (and the request keeps a copy).
  Status Run(std::span<IoRequest> requests);

  // Asks how large the device is now, which size_bytes() and the bounds of requests then go by.
  // Returns the new size, be it larger or smaller.
  Result<uint64_t> RefreshSize();

  // Memory for this device's transfers. kNoMemory.
  virtual Result<DmaBuffer> AllocateBuffer(size_t size_bytes);

  // What every call and queue does first: false if `request` is done before it began, since it has
  // not the right shape or is not within the device (then its status says so), or since there is
  // nothing to do.
  bool Prepare(IoRequest& request) const;

 protected:
  BlockDevice(const Geometry& geometry, uint64_t size_bytes, std::string identity, bool read_only);

  // What kinds implement: the calls above without their checks, never for zero bytes. A request may
  // be larger than the largest transfer. DoRun leaves alone what is already `done`.
  virtual Status DoRead(uint64_t offset_bytes, std::span<char> out) = 0;
  virtual Status DoWrite(uint64_t offset_bytes, std::span<const char> data,
                         Durability durability) = 0;
  virtual Status DoFlush() = 0;
  virtual Status DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) = 0;
  // One after the other unless overridden.
  virtual void DoRun(std::span<IoRequest> requests);
  // In bytes, whole blocks. Unless overridden: it never changes.
  virtual Result<uint64_t> DoRefreshSize() { return size_bytes(); }

 private:
  Status Check(const IoRequest& request) const;

  const Geometry geometry_;
  std::atomic<uint64_t> size_bytes_;
  const std::string identity_;
  const bool read_only_;
};

// Hands everything on to `base`, which must outlive it: what decorators derive from. It has the
// geometry, identity and size that `base` had when it was made.
class ForwardingDevice : public BlockDevice {
 public:
  explicit ForwardingDevice(BlockDevice& base);
  Result<std::unique_ptr<IoQueue>> OpenQueue(uint32_t depth) override;
  Result<DmaBuffer> AllocateBuffer(size_t size_bytes) override;
  std::string_view backend() const override { return base_.backend(); }

 protected:
  Status DoRead(uint64_t offset_bytes, std::span<char> out) override;
  Status DoWrite(uint64_t offset_bytes, std::span<const char> data, Durability durability) override;
  Status DoFlush() override;
  Status DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) override;
  void DoRun(std::span<IoRequest> requests) override;
  Result<uint64_t> DoRefreshSize() override;

  BlockDevice& base() { return base_; }

 private:
  BlockDevice& base_;
};

}  // namespace tifs::block
