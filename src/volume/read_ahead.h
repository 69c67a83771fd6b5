#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>

#include "base/result.h"
#include "base/sync.h"
#include "volume/guarded_device.h"
#include "volume/transfer_threads.h"

namespace tifs::volume {

class OpenFile;

// Pieces of files that are read before they are asked for, for readers that go from one end of a
// file to the other: the disk works while they do. A piece is given out once. Only of files that
// nobody can change: there is none while a file has a writer. Safe for use by several threads,
// several readers of one file among them.
class ReadAhead {
 public:
  // Smaller reads gain nothing by the hand-over.
  static constexpr size_t kLeastBytes = 128 << 10;
  static constexpr size_t kMostPieceBytes = 2 << 20;
  static constexpr size_t kMostPieces = 16;
  // A piece that was not asked for in so many reads gives way to another; before that, readers for
  // whom there is no room read without it: pushing out what somebody is about to use helps nobody.
  static constexpr uint64_t kPatienceReads = 16 * kMostPieces;

  ReadAhead(TransferThreads& threads, GuardedDevice& disk) : threads_(threads), disk_(disk) {}
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // As OpenFile::ReadAt; and starts to read the next piece, if a thread is idle.
  Result<size_t> Read(OpenFile& file, uint64_t offset_bytes, std::span<char> out) EXCLUDES(mutex_);
  // Drops what was read of the file, which has a writer from now on (OpenFile::has_writers). Called
  // under the tables' lock.
  void Forget(uint64_t inode) EXCLUDES(mutex_);

 private:
  struct Piece;

  // Whether there is room for a piece, or can be made.
  bool HasRoom() REQUIRES(mutex_);
  void Start(OpenFile& file, uint64_t offset_bytes, size_t size_bytes) EXCLUDES(mutex_);
  // The piece that has the byte at `offset_bytes`, which nobody else has then; null if there is
  // none.
  std::shared_ptr<Piece> Take(const OpenFile& file, uint64_t offset_bytes) EXCLUDES(mutex_);

  TransferThreads& threads_;
  GuardedDevice& disk_;
  Mutex mutex_;
  CondVar done_;
  uint64_t reads_ GUARDED_BY(mutex_) = 0;
  // Oldest first.
  std::list<std::shared_ptr<Piece>> pieces_ GUARDED_BY(mutex_);
};

}  // namespace tifs::volume
