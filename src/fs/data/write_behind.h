#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/sync.h"

namespace tifs::fs {

// Writes pieces to a file, behind the back of the caller: a piece is copied into aligned memory and
// written by one of two threads, so that the disk works while the next piece is being received.
// Bounded: a caller waits while all buffers are in use. Idle, it uses no CPU.
//
// A piece is not in the file before Await or Drain says so. A failed write is remembered and
// answered by every later Drain: what was lost cannot be written again. Safe for use by several
// threads.
class WriteBehind {
 public:
  static constexpr size_t kBufferBytes = 1 << 20;
  static constexpr size_t kAlignment = 4096;

  // Writes all of `data`, which is aligned to kAlignment, or fails.
  using Write = std::function<Status(uint64_t offset_bytes, std::string_view data)>;

  // `write` is called by this one's threads, until this is gone.
  explicit WriteBehind(Write write);
  // Waits for what is under way.
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // Takes `data`. Pieces of one range in the order of their submission only after Await.
  void Submit(uint64_t offset_bytes, std::string_view data);
  // Returns once no piece that overlaps the range is under way.
  void Await(uint64_t offset_bytes, uint64_t length_bytes);
  // Returns once no piece that was submitted before is under way. kIo if any was ever lost.
  Status Drain();

 private:
  static constexpr size_t kBuffers = 12;
  static constexpr size_t kThreads = 2;

  struct Free {
    void operator()(char* buffer) const;
  };
  using Buffer = std::unique_ptr<char, Free>;
  struct Piece {
    uint64_t offset_bytes = 0;
    size_t size_bytes = 0;
    uint64_t number = 0;
    Buffer buffer;
  };

  void Run();
  Buffer TakeBuffer() REQUIRES(mutex_);
  bool Overlaps(uint64_t offset_bytes, uint64_t length_bytes) const REQUIRES(mutex_);

  const Write write_;
  Mutex mutex_;
  CondVar queued_;
  CondVar finished_;
  std::deque<Piece> queue_ GUARDED_BY(mutex_);
  // What is queued or being written; few.
  struct Range {
    uint64_t begin, end, number;
  };
  std::vector<Range> pending_ GUARDED_BY(mutex_);
  std::vector<Buffer> idle_ GUARDED_BY(mutex_);
  size_t buffers_ GUARDED_BY(mutex_) = 0;
  uint64_t next_number_ GUARDED_BY(mutex_) = 0;
  Status failed_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tifs::fs
