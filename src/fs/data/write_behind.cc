#include "fs/data/write_behind.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/log.h"

namespace tifs::fs {

void WriteBehind::Free::operator()(char* buffer) const { std::free(buffer); }

WriteBehind::WriteBehind(Write write) : write_(std::move(write)) {
  for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { Run(); });
}

WriteBehind::~WriteBehind() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    queued_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

WriteBehind::Buffer WriteBehind::TakeBuffer() {
  while (idle_.empty() && buffers_ == kBuffers) finished_.Wait(mutex_);
  if (idle_.empty()) {
    ++buffers_;
    Buffer buffer(static_cast<char*>(std::aligned_alloc(kAlignment, kBufferBytes)));
    CHECK(buffer != nullptr);
    return buffer;
  }
  Buffer buffer = std::move(idle_.back());
  idle_.pop_back();
  return buffer;
}

void WriteBehind::Submit(uint64_t offset_bytes, std::string_view data) {
  while (!data.empty()) {
    Piece piece;
    piece.offset_bytes = offset_bytes;
    piece.size_bytes = std::min(data.size(), kBufferBytes);
    {
      MutexLock lock(mutex_);
      piece.buffer = TakeBuffer();
    }
    std::memcpy(piece.buffer.get(), data.data(), piece.size_bytes);
    offset_bytes += piece.size_bytes;
    data.remove_prefix(piece.size_bytes);
    MutexLock lock(mutex_);
    piece.number = next_number_++;
    pending_.push_back({piece.offset_bytes, piece.offset_bytes + piece.size_bytes, piece.number});
    queue_.push_back(std::move(piece));
    queued_.NotifyOne();
  }
}

bool WriteBehind::Overlaps(uint64_t offset_bytes, uint64_t length_bytes) const {
  return std::ranges::any_of(pending_, [&](const Range& range) {
    return range.begin < offset_bytes + length_bytes && offset_bytes < range.end;
  });
}

void WriteBehind::Await(uint64_t offset_bytes, uint64_t length_bytes) {
  MutexLock lock(mutex_);
  while (Overlaps(offset_bytes, length_bytes)) finished_.Wait(mutex_);
}

Status WriteBehind::Drain() {
  MutexLock lock(mutex_);
  const uint64_t end = next_number_;
  while (std::ranges::any_of(pending_, [&](const Range& range) { return range.number < end; })) {
    finished_.Wait(mutex_);
  }
  if (!failed_) return failed_.error().Clone();
  return {};
}

void WriteBehind::Run() {
  MutexLock lock(mutex_);
  for (;;) {
    while (queue_.empty() && !stopping_) queued_.Wait(mutex_);
    if (queue_.empty()) return;
    Piece piece = std::move(queue_.front());
    queue_.pop_front();
    mutex_.Unlock();
    Status written = write_(piece.offset_bytes, {piece.buffer.get(), piece.size_bytes});
    mutex_.Lock();
    if (!written) {
      LogError("{}", written.error().ToString());
      if (failed_) failed_ = std::move(written);
    }
    std::erase_if(pending_, [&](const Range& range) { return range.number == piece.number; });
    idle_.push_back(std::move(piece.buffer));
    finished_.NotifyAll();
  }
}

}  // namespace tifs::fs
