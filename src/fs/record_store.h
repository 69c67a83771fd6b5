#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "fs/records.h"
#include "fs/schema.h"
#include "fs/types.h"
#include "kv/kv.h"

namespace tifs::fs {

// Whether a load brings the in-line data too; a record loaded without must not be stored.
enum class InlineData : uint8_t { kLoad, kSkip };

// Loads and stores typed values through one transaction: the only place that does. A malformed
// value is logged and answers kCorrupt.
class RecordStore {
 public:
  // `corrupt_values` may be nullptr. All outlive this.
  RecordStore(kv::Transaction& transaction, const Schema& schema, uint16_t directory_stripes,
              Counter* corrupt_values)
      : transaction_(transaction),
        schema_(schema),
        directory_stripes_(directory_stripes),
        corrupt_values_(corrupt_values) {}

  // kStale if there is none, or one that is being deleted.
  Result<InodeRecord> LoadInode(InodeNumber inode, InlineData inline_data = InlineData::kLoad);
  // Also one that is being deleted.
  Result<InodeRecord> LoadInodeToReclaim(InodeNumber inode);
  // One answer each, in order; nothing where there is none or it is corrupt. In-line data is
  // skipped.
  Result<std::vector<std::optional<InodeRecord>>> LoadInodes(
      const std::vector<InodeNumber>& inodes);
  Status StoreInode(const InodeRecord& record);
  Status DeleteInode(InodeNumber inode);

  // A stripe that was never written is empty.
  Result<StripeRecord> LoadStripe(InodeNumber directory, uint16_t stripe);
  // The sum of counts and changes and the latest times of all stripes.
  Result<StripeRecord> LoadStripes(InodeNumber directory);
  Status StoreStripe(InodeNumber directory, uint16_t stripe, const StripeRecord& record);
  // Conflicts with whatever adds or removes entries meanwhile.
  Status LockStripes(InodeNumber directory);
  // As LockStripes; sets the times of all stripes back, so that the inode's own count.
  Status ResetStripeTimes(InodeNumber directory);
  Status DeleteStripes(InodeNumber directory);

  Result<std::optional<DentryRecord>> LoadDentry(InodeNumber parent, std::string_view name);
  Status StoreDentry(InodeNumber parent, std::string_view name, const DentryRecord& record);
  Status DeleteDentry(InodeNumber parent, std::string_view name);

  Result<std::optional<std::string>> LoadXattr(InodeNumber inode, std::string_view name);
  Status StoreXattr(InodeNumber inode, std::string_view name, std::string_view value);
  Status DeleteXattr(InodeNumber inode, std::string_view name);

  // Puts a leftover under this transaction's timestamp and returns that.
  Result<kv::Timestamp> AddLeftover(InodeNumber inode, LeftoverKind kind);
  Status DeleteLeftover(kv::Timestamp begun, InodeNumber inode);
  // Writes a leftover as it is, so that whoever locks it meanwhile conflicts.
  Status TouchLeftover(kv::Timestamp begun, InodeNumber inode, LeftoverKind kind);

  kv::Transaction& transaction() { return transaction_; }
  const Schema& schema() const { return schema_; }

 private:
  // All of them, in order, in one round trip.
  Result<std::vector<StripeRecord>> LoadEachStripe(InodeNumber directory);
  template <typename Record>
  Result<Record> Checked(Result<Record> decoded, std::string_view key);

  kv::Transaction& transaction_;
  const Schema& schema_;
  const uint16_t directory_stripes_;
  Counter* const corrupt_values_;
};

}  // namespace tifs::fs
