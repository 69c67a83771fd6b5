#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "block/block_device.h"

// On whose behalf a thread transfers: for the I/O scheduler and for counting.
namespace tifs::block {

// A persisted or shown order: do not change it.
enum class IoClass : uint8_t {
  kForeground,  // somebody waits for it: reads of users, metadata, all that is not said
  kFlush,       // memory that is written out, which writers may come to wait for
  kCompaction,  // work that keeps later reads cheap
  kMigration,   // moving files between devices, trimming: has time
};
inline constexpr size_t kIoClasses = 4;

// "foreground", "flush", "compaction", "migration".
constexpr std::string_view IoClassName(IoClass io_class) {
  constexpr std::array<std::string_view, kIoClasses> kNames = {"foreground", "flush", "compaction",
                                                               "migration"};
  return kNames[static_cast<size_t>(io_class)];
}

struct IoClassCounts {
  uint64_t reads = 0;
  uint64_t read_bytes = 0;
  uint64_t writes = 0;
  uint64_t write_bytes = 0;
  bool operator==(const IoClassCounts&) const = default;
};

// What was transferred by class. Adding takes no lock, and threads seldom meet: each adds to its
// own shelf. Safe for use by several threads.
class IoCounter {
 public:
  void Add(IoClass io_class, IoKind kind, uint64_t bytes);
  IoClassCounts Counts(IoClass io_class) const;
  // By IoClass.
  std::array<IoClassCounts, kIoClasses> All() const;

 private:
  static constexpr size_t kShelves = 8;
  struct Cell {
    std::atomic<uint64_t> reads{0};
    std::atomic<uint64_t> read_bytes{0};
    std::atomic<uint64_t> writes{0};
    std::atomic<uint64_t> write_bytes{0};
  };
  struct alignas(64) Shelf {
    std::array<Cell, kIoClasses> cells;
  };
  std::array<Shelf, kShelves> shelves_;
};

// What the calling thread's transfers are for, and who counts them (null: nobody), as long as this
// lives; then it is again as it was before. `instance` outlives it. A thread that has said nothing
// is in the foreground. Transfers are made on the thread that asks for them, so this reaches the
// device without passing through what lies between.
class IoScope {
 public:
  explicit IoScope(IoClass io_class) : IoScope(io_class, current_.instance) {}
  IoScope(IoClass io_class, IoCounter* instance) : before_(current_) {
    current_ = {io_class, instance};
  }
  ~IoScope() { current_ = before_; }
  IoScope(const IoScope&) = delete;
  IoScope& operator=(const IoScope&) = delete;

  static IoClass CurrentClass() { return current_.io_class; }
  static IoCounter* CurrentInstance() { return current_.instance; }

 private:
  struct Purpose {
    IoClass io_class = IoClass::kForeground;
    IoCounter* instance = nullptr;
  };
  static thread_local constinit Purpose current_;

  const Purpose before_;
};

}  // namespace tifs::block
