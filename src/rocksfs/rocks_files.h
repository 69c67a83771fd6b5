#pragma once

#include <rocksdb/file_system.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "block/io_class.h"
#include "rocksfs/async_reads.h"
#include "rocksfs/shared_volume.h"
#include "rocksfs/volume_root.h"
#include "volume/file.h"

// RocksDB's kinds of open files over files of a volume. What holds of all:
//
// - The volume never uses the page cache. `use_direct_reads` makes a file say so, and RocksDB then
//   brings aligned memory, offsets and lengths, which are transferred without a copy; without it
//   any read is fine. Files for writing never ask for alignment (use_direct_io is false): whole
//   blocks go to the device as they are anyway, and RocksDB is spared the padding of the last
//   block, the truncation and the second sync that its direct mode takes.
// - Memory-mapped reads and writes are ordinary ones.
// - There is no cache to be invalidated, so InvalidateCache is done when it is called.
namespace tifs::rocksfs {

// An open file of a volume, and what keeps it open.
struct VolumeFile {
  std::shared_ptr<SharedVolume> volume;  // closed after the file
  std::shared_ptr<volume::File> file;
  std::string path;                           // as the user wrote it, for messages
  std::shared_ptr<block::IoCounter> counter;  // of the file system that opened it
};

// Whether the calling thread, whose IoScope is set, works for a compaction; then it pauses if it
// should leave the processor to foreground reads (IoScheduler::Pace).
bool PaceCompaction(const VolumeFile& file);

std::unique_ptr<rocksdb::FSSequentialFile> NewSequentialFile(VolumeFile file,
                                                             const rocksdb::FileOptions& options);
// `reads` serves ReadAsync.
std::unique_ptr<rocksdb::FSRandomAccessFile> NewRandomAccessFile(
    VolumeFile file, std::shared_ptr<AsyncReads> reads, const rocksdb::FileOptions& options);
// Appends at the end.
std::unique_ptr<rocksdb::FSWritableFile> NewWritableFile(VolumeFile file,
                                                         const rocksdb::FileOptions& options);
std::unique_ptr<rocksdb::FSRandomRWFile> NewRandomRwFile(VolumeFile file);

// A file of the base that is read through us: as it is, but that an asynchronous read is done at
// once, since the handle of another file system would come to our Poll.
std::unique_ptr<rocksdb::FSRandomAccessFile> WrapBaseFile(
    std::unique_ptr<rocksdb::FSRandomAccessFile> file);

// Of a directory on both sides: its Fsync makes all names on the volume durable, and then those of
// the base's directory, since what is on the base (CURRENT) refers to what is on the volume (a
// MANIFEST), never the other way. `base` may be null: the base does not have it.
std::unique_ptr<rocksdb::FSDirectory> NewDirectory(std::shared_ptr<VolumeRoot> root,
                                                   std::unique_ptr<rocksdb::FSDirectory> base,
                                                   std::string path);

}  // namespace tifs::rocksfs
