#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/result.h"
#include "fs/record_store.h"
#include "fs/records.h"
#include "fs/types.h"

// What fsck finds and cannot put back where it belongs goes to the root's lost+found, which is made
// if it is missing (another name, if a file has that one).
namespace tifs::fs {

// Gives an inode without a name one there: "#NUMBER", or with "-1" and so on behind it if that is
// taken.
Status LinkToLostAndFound(RecordStore& records, Clock& clock, InodeNumber inode);

// Makes a file there, of root's and for root alone, whose only block is the given one of the data
// file: "slot-NUMBER". Nothing else may name the slot once the transaction has committed.
Status KeepSlotInLostAndFound(RecordStore& records, Clock& clock, const MetaRecord& meta,
                              uint64_t slot, uint32_t length_bytes);

}  // namespace tifs::fs
