#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/claimed_store.h"
#include "cli/cluster_address.h"
#include "cli/cluster_names.h"
#include "cli/cluster_owner.h"
#include "cli/uri.h"
#include "kv/tikv/tikv_kv.h"

namespace tifs::cli {

// A file system in a TiKV cluster, at a tikv:// URI: a keyspace of its own, whose number the
// cluster's table of names says. The order of a format, so that a crash at any point leaves what
// the next format of that name discards without being asked:
//   1. the name gets a number: unfinished
//   2. the file system, in one transaction
//   3. the name: ready
// and of a destruction, which goes on from wherever it ended when it is begun again: the name is
// marked, all keys are deleted in bounded steps, the name goes.
class ClusterStore : public ClaimedStore {
 public:
  ClusterStore(Uri uri, ClusterAddress address, std::unique_ptr<ClusterOwner> owner)
      : uri_(std::move(uri)), address_(std::move(address)), owner_(std::move(owner)) {}
  ~ClusterStore() override { Close(); }

  Status Open(Mode mode, uint64_t memory_bytes) override;
  kv::Store& store() override { return *kv_; }
  Result<std::unique_ptr<fs::BlockStore>> OpenBlocks(bool read_only) override;
  Result<uint64_t> DataFileBytes() override;
  Result<std::optional<std::string>> HiddenLoss() override;
  Status FinishFormat() override;
  void Close() override;
  Status Destroy() override;
  void Discard() override;

  StoreOwner& owner() override { return owner_->owner(); }
  std::string directory() const override { return owner_->directory(); }
  std::optional<VolumePlace> volume() const override { return std::nullopt; }
  std::vector<std::pair<std::string, uint64_t>> Figures() override;

 private:
  // The table of names, and what it says of ours.
  Status FindName();
  Status OpenKeyspace();
  // Keeps out whoever would mount it. kBusy, explained: somebody has.
  Status CloseForGood();
  // Deletes all keys of the file system.
  Status DeleteKeys();
  Error Explain(const Error& error) const;

  const Uri uri_;
  const ClusterAddress address_;
  const std::unique_ptr<ClusterOwner> owner_;
  std::unique_ptr<kv::Store> names_store_;
  std::unique_ptr<ClusterNames> names_;
  std::optional<ClusterNames::FileSystem> entry_;
  std::unique_ptr<kv::Store> kv_;
};

// The table of names of a cluster, to be looked at. Errors are explained.
Result<std::vector<ClusterNames::FileSystem>> ListCluster(const Uri& cluster);

}  // namespace tifs::cli
