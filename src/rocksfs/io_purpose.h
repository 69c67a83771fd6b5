#pragma once

#include <rocksdb/env.h>

#include <cstdint>

#include "block/io_class.h"

// On whose behalf RocksDB reads and writes. RocksDB 7.8 does not say so; it can be told from the
// thread, from the priority that a file was given, and from that of the single call.
namespace tifs::rocksfs {

// What the calling thread is for.
enum class ThreadKind : uint8_t {
  kUser,
  kFlush,       // of RocksDB's high pool, which also flushes in the low one if it has no threads
  kCompaction,  // of its low or bottom pool, and what such a thread started (subcompactions)
};

// By what RocksDB notes of its pools' threads (IOStatsContext::thread_pool_id), else by the name of
// the thread, which those that it starts inherit. Costs some nanoseconds.
ThreadKind CurrentThreadKind();

// A read, with the priority that came with it: that of ReadOptions, which is IO_LOW for compaction
// and IO_TOTAL, none, for all who do not set it. A user's read of low priority has time as well.
block::IoClass ClassOfRead(ThreadKind thread, rocksdb::Env::IOPriority priority);

// Bytes of a table or blob file, with the priority that the file was given: IO_HIGH for flushes,
// IO_LOW for compactions, IO_USER for either while writers are held up by them, IO_TOTAL, none, for
// what users write themselves (SstFileWriter). `is_table` is false for all other files, such as
// MANIFESTs: those are small, and somebody waits.
block::IoClass ClassOfWrite(ThreadKind thread, rocksdb::Env::IOPriority priority, bool is_table);

}  // namespace tifs::rocksfs
