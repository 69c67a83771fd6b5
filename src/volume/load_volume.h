#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "block/block_device.h"
#include "volume/extent_allocator.h"
#include "volume/file_table.h"
#include "volume/journal.h"
#include "volume/journal_reader.h"
#include "volume/redo.h"
#include "volume/superblock.h"

namespace tifs::volume {

// Something that is wrong on a device, or was.
struct Finding {
  enum class Severity : uint8_t {
    kWarning,  // got over: there was another copy
    kError,
  };
  Severity severity = Severity::kError;
  std::string text;
};

// A volume in memory, as its checkpoint and journal say.
struct LoadedVolume {
  Superblock superblock;
  size_t superblock_copy = 0;  // which copy that was
  std::unique_ptr<FileTable> table;
  ExtentAllocator free_space;
  Redo redo;
  Journal::Position journal;
  uint64_t checkpoint_number = 0;  // of the one that was loaded
  uint64_t last_checkpoint = 0;    // the highest number that there was
  // As a crash left them, or by damage. They are written twice before anything else.
  std::vector<SingleBlock> single_blocks;
  // It was not closed, or the journal is damaged. Then a checkpoint comes before any other change:
  // what users see from now on must also be what is found without this one.
  bool needs_checkpoint = false;
  std::vector<Finding> findings;  // warnings only, unless there is `damage`
};

struct LoadOptions {
  // Damage in the journal is a finding, and what is before it is loaded.
  bool cut_damaged_journal = false;
  // Extents that are used twice or lie outside are findings, not an error.
  bool report_extents = false;
};

// Reads everything and checks it; writes nothing. kCorrupt, with what is wrong and where.
Result<LoadedVolume> LoadVolume(block::BlockDevice& device, const SuperblockCopies& copies,
                                const LoadOptions& options);

// "kv/db/000123.sst", below the directory of roots; "(deleted)" without a name.
std::string PathOf(const Inode& inode);

}  // namespace tifs::volume
