#pragma once

#include <array>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "fs/atime_table.h"
#include "fs/data/block_store.h"
#include "fs/file_system.h"
#include "fs/handles.h"
#include "fs/inode_allocator.h"
#include "fs/leftover_queue.h"
#include "fs/op_context.h"
#include "fs/record_store.h"
#include "fs/records.h"
#include "fs/removed_directories.h"
#include "fs/schema.h"
#include "fs/session.h"
#include "fs/space_account.h"
#include "kv/run_transaction.h"

namespace tifs::fs {

// All that the operations of one mounted file system share; made by FileSystem::Open.
struct MountState {
  MountState(kv::Store& the_store, Clock& the_clock, FileSystemOptions the_options,
             const MetaRecord& the_meta, std::unique_ptr<BlockStore> the_blocks)
      : store(the_store),
        clock(the_clock),
        options(std::move(the_options)),
        meta(the_meta),
        schema({}, the_meta.hash_seed),
        runner(the_store, the_clock, options.retry),
        inode_allocator(runner, schema),
        space(runner, schema, {the_meta.capacity_bytes, the_meta.max_inodes}),
        blocks(std::move(the_blocks)) {
    if (!options.shared) return;
    session = std::make_unique<Session>(the_store, the_clock, schema, handles, options.session);
    space.Share(*session);
    runner.SetAdmission([this](kv::Transaction& txn) { return session->Admit(txn); });
  }

  kv::Store& store;
  Clock& clock;
  const FileSystemOptions options;
  const MetaRecord meta;
  const Schema schema;
  InodeNumber root = kRootInode;
  std::atomic<bool> read_only{false};
  // Something was committed since the last Sync began.
  std::atomic<bool> unsynced{false};

  kv::TransactionRunner runner;
  InodeAllocator inode_allocator;
  SpaceAccount space;
  HandleTable handles;
  AtimeTable atimes;
  LeftoverQueue leftovers;
  RemovedDirectories removed_directories;
  // Held through an operation that changes a file's contents: one at a time for a file, so that
  // they queue here rather than conflict in the store, and that bytes may be written before they
  // commit.
  Mutex& ContentLatch(InodeNumber inode) {
    return content_latches[inode.value % content_latches.size()];
  }
  const std::unique_ptr<BlockStore> blocks;
  // Of a file system that others may have mounted as well; else null.
  std::unique_ptr<Session> session;
  FileSystemMetrics metrics;

  std::array<Mutex, 128> content_latches;

  // Which stripe of a directory this mount writes.
  uint16_t own_stripe() const {
    if (session == nullptr) return 0;
    return static_cast<uint16_t>(session->id().value % meta.directory_stripes);
  }
  CacheFor cache() const;
};

// One attempt of one operation: the transaction, who asks, when, and what must follow if it
// commits.
class Operation {
 public:
  Operation(MountState& mount_state, kv::Transaction& transaction, const OpContext& op_context)
      : mount(mount_state),
        txn(transaction),
        blocks(transaction),
        context(op_context),
        records(transaction, mount_state.schema, mount_state.meta.directory_stripes,
                &mount_state.metrics.corrupt_values),
        now(mount_state.clock.RealTime()) {}
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  MountState& mount;
  kv::Transaction& txn;
  BlockTransaction blocks;
  const OpContext& context;
  RecordStore records;
  const Timespec now;
  SpaceDelta space;

  // Charges `bytes` (which may be negative) to a file and to the limits.
  void Charge(InodeRecord& inode, int64_t bytes) {
    inode.charged_bytes += static_cast<uint64_t>(bytes);
    space.bytes += bytes;
  }

  // The inode's contents are read: moves its access time as the mount's mode wants.
  void WasRead(const InodeRecord& inode);
  // The inode has lost its last link in this transaction: it is deleted now where it is small and
  // not open, else it becomes an orphan for the reclaimer. Takes the record as it is, with nlink 0.
  Status Unlinked(InodeRecord& inode);
  // Leaves work for the background, queued once this commits.
  Status Leave(InodeNumber inode, LeftoverKind kind);
  // The transaction has committed: lets the background see what was left.
  void Committed();

 private:
  bool committed_ = false;
  std::vector<Leftover> left_;
  std::vector<InodeNumber> deleting_;  // whose deletion is reserved in the handle table
  std::optional<Attributes> removed_;  // of a directory, if the caller may still know it
};

// Marks a change of an inode's contents (`contents`) or only of its attributes.
void Touch(InodeRecord& inode, Timespec now, bool contents);

// What stat tells of an inode; `stripes` of a directory, else ignored.
Attributes AttributesOf(const MountState& mount, const InodeRecord& inode,
                        const StripeRecord& stripes);
// Loads what is missing for that.
Result<Entry> EntryOf(Operation& op, const InodeRecord& inode);

}  // namespace tifs::fs
