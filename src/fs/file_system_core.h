#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "fs/background.h"
#include "fs/file_system.h"
#include "fs/mutation.h"
#include "fs/ops/ops.h"

namespace tifs::fs {

// What is behind FileSystem: the state of the mount, and how its operations are run: measured, as
// transactions, once more where space came back, with files' latches and handles around them.
class FileSystem::Core {
 public:
  Core(kv::Store& store, Clock& clock, FileSystemOptions options, const MetaRecord& meta,
       std::unique_ptr<BlockStore> blocks)
      : mount(store, clock, std::move(options), meta, std::move(blocks)), background(mount) {
    mount.read_only = mount.options.read_only;
  }

  ~Core() {
    // Its thread tells the background.
    if (mount.session != nullptr) mount.session->Stop();
  }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Times and counts an operation.
  template <typename Body>
  auto Measured(Op op, Body&& body) {
    OpMetrics& metrics = mount.metrics.ops[static_cast<size_t>(op)];
    LatencyTimer timer(metrics.latency);
    auto result = body();
    if (!result && !IsAnswer(op, result.error().code())) metrics.errors.Add();
    return result;
  }

  template <typename Body>
  auto Read(Op op, const OpContext& context, Body&& body) {
    return Measured(op, [&] { return Query(mount, context, body); });
  }

  // Runs a changing operation; where there is no space, waits for what others left to be reclaimed.
  template <typename Body>
  auto Change(const OpContext& context, Body&& body) -> std::invoke_result_t<Body&, Operation&> {
    auto result = Mutate(mount, context, body);
    if (!result && result.error().code() == ErrorCode::kNoSpace && MayFreeSpace()) {
      background.FreeSpace();
      result = Mutate(mount, context, body);
    }
    // Others may give back what they have reserved, with their next heartbeats.
    const auto give_up = mount.clock.Monotonic() + kRoomPatience;
    while (!result && result.error().code() == ErrorCode::kNoSpace && MayGetRoom() &&
           mount.clock.Monotonic() < give_up) {
      mount.clock.SleepFor(kRoomInterval);
      background.FreeSpace();
      result = Mutate(mount, context, body);
    }
    if (result && mount.options.sync) TRY(Sync());
    return result;
  }

  template <typename Body>
  auto Write(Op op, const OpContext& context, Body&& body) {
    return Measured(op, [&] { return Change(context, body); });
  }

  // As Change, for a body that may find too many clears waiting on `inode`.
  template <typename Body>
  auto ChangeClearing(const OpContext& context, InodeNumber inode, Body&& body)
      -> std::invoke_result_t<Body&, Operation&> {
    for (;;) {
      auto result = Change(context, body);
      if (result || result.error().code() != ErrorCode::kTooLarge) return result;
      TRY(Change(context, [&](Operation& op) { return ops::ClearStep(op, inode); }));
    }
  }

  Status GiveUpPreallocation(const OpContext& context, InodeNumber inode, uint64_t begin_bytes,
                             uint64_t end_bytes) {
    while (!TRY(Change(context, [&](Operation& op) {
      return ops::GiveUpPreallocation(op, inode, begin_bytes, end_bytes);
    }))) {
    }
    return {};
  }

  Result<Entry> SetAttributes(const OpContext& context, InodeNumber inode,
                              const AttributeChanges& changes, bool through_handle) {
    std::optional<MutexLock> latch;
    if (changes.size_bytes) latch.emplace(mount.ContentLatch(inode));
    const ops::ChangedAttributes changed = TRY(ChangeClearing(context, inode, [&](Operation& op) {
      return ops::SetAttributes(op, inode, changes, through_handle);
    }));
    if (!changed.reserved_beyond) return changed.entry;
    TRY(GiveUpPreallocation(context, inode, *changes.size_bytes, UINT64_MAX));
    return Query(mount, context, [&](Operation& op) { return ops::GetAttributes(op, inode); });
  }

  Status Sync() { return background.Sync(); }

  // What files may still take, of the limit and of the medium.
  uint64_t FreeBytes(const kv::SpaceUsage& below) const {
    const uint64_t limit = mount.space.limits().bytes;
    uint64_t below_free =
        below.available_bytes - std::min(below.available_bytes, SpaceAccount::kMediumReserveBytes);
    if (below.total_bytes == 0) below_free = kUnknownFreeBytes;
    if (limit == 0) return below_free;
    return std::min(limit - std::min(limit, mount.space.used_bytes()), below_free);
  }

  // kNoSpace if so much cannot be reserved even if all that the file has lies in the range: said at
  // once, before parts of it are taken.
  Status CheckRoom(const OpContext& context, InodeNumber inode, uint64_t length_bytes) {
    for (bool freed = false;; freed = true) {
      const Entry file =
          TRY(Query(mount, context, [&](Operation& op) { return ops::GetAttributes(op, inode); }));
      if (mount.session != nullptr) TRY(mount.space.RefreshOthers());
      const uint64_t has = std::min(file.attributes.allocated_bytes, length_bytes);
      if (length_bytes - has <= FreeBytes(TRY(mount.store.Space()))) return {};
      if (freed || !MayFreeSpace()) return Error(ErrorCode::kNoSpace, "fallocate");
      background.FreeSpace();
    }
  }

  // All that was done before is durable and counted; what has not begun is refused.
  Status BecomeReadOnly() {
    if (mount.read_only) return {};
    TRY(background.Tidy());
    mount.read_only = true;
    mount.space.AwaitOperations();
    const auto store_all = [&]() -> Status {
      TRY(Sync());
      TRY(mount.blocks->Settle());
      TRY(mount.space.Close());
      return mount.store.Sync();
    };
    Status stored = store_all();
    if (!stored) {
      mount.read_only = false;
      (void)mount.space.Reopen();
    }
    return stored;
  }

  Status BecomeWritable() {
    if (!mount.read_only) return {};
    TRY(mount.space.Reopen());
    mount.read_only = false;
    mount.leftovers.Wake();
    return {};
  }

  Result<Entry> Make(Op op, const OpContext& context, InodeNumber parent, std::string_view name,
                     ops::NewInode new_inode) {
    return Measured(op, [&]() -> Result<Entry> {
      new_inode.number = TRY(AllocateInode());
      return Change(context, [&](Operation& operation) {
        return ops::Create(operation, parent, name, new_inode);
      });
    });
  }

  Result<InodeNumber> AllocateInode() {
    if (mount.read_only) return Error(ErrorCode::kReadOnly, "read-only mount");
    return mount.inode_allocator.Allocate();
  }

  void Release(InodeNumber inode, HandleId handle) {
    if (const auto unlinked = mount.handles.Remove(inode, handle)) {
      mount.leftovers.Push({*unlinked, inode, LeftoverKind::kOrphan});
    }
  }

  // Enters the handle table first and reads the inode second (see HandleTable).
  template <typename Body>
  Result<HandleId> OpenWith(const OpContext& context, InodeNumber inode, bool sync, Body&& check) {
    const HandleId handle = mount.handles.Add(inode, sync);
    if (Status checked = Query(mount, context, check); !checked) {
      Release(inode, handle);
      return std::move(checked).error();
    }
    mount.handles.Confirm(inode);
    return handle;
  }

  OpenedFile Opened(HandleId handle) const {
    const bool exclusive = mount.options.cache_mode == CacheMode::kExclusive;
    // What the kernel's cache answers moves no access time here.
    const bool see_reads = mount.options.atime_mode == AtimeMode::kStrictatime;
    return {handle, exclusive && !see_reads, !exclusive};
  }

  Status ResolveSubdirectory() {
    const OpContext context;
    std::string_view rest = mount.options.subdirectory;
    while (!rest.empty()) {
      const size_t slash = rest.find('/');
      const std::string_view name = rest.substr(0, slash);
      rest = slash == rest.npos ? "" : rest.substr(slash + 1);
      if (name.empty()) continue;
      const Entry entry = TRY(
          Query(mount, context, [&](Operation& op) { return ops::Lookup(op, mount.root, name); }));
      if (!entry.attributes.IsDirectory()) {
        return Error(ErrorCode::kNotDirectory, "subdirectory", mount.options.subdirectory);
      }
      mount.root = entry.attributes.inode;
    }
    return {};
  }

  Status Start() {
    if ((mount.meta.incompatible & MetaRecord::kFeatureExtents) != mount.blocks->features()) {
      return Error(ErrorCode::kInvalid, "open", "file blocks are kept elsewhere");
    }
    TRY(mount.blocks->Attach(mount.store, mount.schema, mount.meta.block_size_bytes,
                             mount.read_only));
    if (mount.session == nullptr) return StartWork();
    TRY(mount.session->Join());
    mount.session->Start(background);
    background.SessionMoved();
    Status started = StartWork();
    if (!started) {
      mount.session->Stop();
      (void)mount.session->Leave({});
    }
    return started;
  }

  Status StartWork() {
    TRY(ResolveSubdirectory());
    TRY(mount.space.Open(mount.read_only));
    // With sessions, others may be at it: whoever is the first looks for what nobody has in hand.
    if (!mount.read_only && mount.session == nullptr) TRY(background.QueueLeftovers());
    if (mount.options.background_thread) background.Start();
    return {};
  }

  Status Close() {
    if (std::exchange(closed_, true)) return {};
    background.Stop();
    Status settled = SettleAll();
    if (mount.session == nullptr) return settled;
    mount.session->Stop();
    Status left = mount.session->Leave(mount.space.UsedExactly());
    TRY(std::move(settled));
    return left;
  }

  Status SettleAll() {
    if (mount.read_only) return {};
    // What was not durable when the store failed never will be.
    if (std::string reason = mount.store.ReadOnlyReason(); !reason.empty()) {
      return Error(ErrorCode::kIo, "close", std::move(reason));
    }
    TRY(background.Tidy());
    TRY(Sync());
    TRY(mount.blocks->Settle());
    TRY(mount.space.Close());
    return mount.store.Sync();
  }

  MountState mount;
  Background background;

 private:
  // Answers that are no failures of an operation.
  static bool IsAnswer(Op op, ErrorCode code) {
    return (op == Op::kLookup && code == ErrorCode::kNotFound) ||
           (op == Op::kGetXattr && code == ErrorCode::kNoAttribute);
  }

  bool MayFreeSpace() {
    return mount.space.needs_recount() || mount.leftovers.size() > 0 || background.busy() ||
           mount.blocks->HasReleased();
  }

  bool MayGetRoom() const { return mount.session != nullptr && !mount.session->is_alone(); }

  // What is said to be free below where that is not known.
  static constexpr uint64_t kUnknownFreeBytes = uint64_t{1} << 40;
  // How long an operation that finds no room waits for it, and how often it looks.
  static constexpr auto kRoomPatience = std::chrono::seconds(5);
  static constexpr auto kRoomInterval = std::chrono::milliseconds(250);

  bool closed_ = false;
};

}  // namespace tifs::fs
