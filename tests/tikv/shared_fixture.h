#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fs/file_system.h"
#include "fs/fs_check.h"
#include "fs/session_list.h"
#include "kv/tikv/tikv_kv.h"
#include "tests/must.h"
#include "tests/tikv/store/cluster.h"
#include "tests/tikv/store/loopback_transport.h"

// Several mounts of one file system on a cluster in this process, each with a client of its own, on
// a clock that only the test moves. They have no threads: the test makes their heartbeats.
namespace tifs::tikv_store {

using fs::FileSystem;
using fs::InodeNumber;
using kv::tikv::TikvKv;
using std::chrono::milliseconds;
using std::chrono::seconds;

enum class CommitWay { kOnePhase, kAsync, kTwoPhases };

struct SharedMount {
  std::unique_ptr<TikvKv> store;
  std::unique_ptr<FileSystem> fs;

  FileSystem* operator->() { return fs.get(); }
};

class SharedTest : public ::testing::Test {
 protected:
  static constexpr seconds kTimeout{20};

  void Format(uint64_t capacity_bytes = 0, uint64_t max_inodes = 0) {
    fs::FormatOptions options;
    options.block_size_bytes = 4096;
    options.directory_stripes = 4;
    options.capacity_bytes = capacity_bytes;
    options.max_inodes = max_inodes;
    Must(fs::Format(*outside_, clock_, options));
  }
  std::unique_ptr<TikvKv> NewClient(CommitWay way = CommitWay::kOnePhase) {
    kv::tikv::TikvOptions options;
    options.pd_addresses = {"pd0:2379"};
    options.one_phase = way == CommitWay::kOnePhase;
    options.async_commit = way != CommitWay::kTwoPhases;
    options.commit_floor = kv::tikv::CommitFloor::kStart;
    return Must(TikvKv::Open(options, MakeLoopbackTransport(cluster_), clock_));
  }
  SharedMount NewMount(CommitWay way = CommitWay::kOnePhase) {
    SharedMount mount;
    mount.store = NewClient(way);
    fs::FileSystemOptions options;
    options.cache_mode = fs::CacheMode::kStrict;
    options.shared = true;
    options.session.host = "host";
    options.session.thread = false;
    options.background_thread = false;
    mount.fs = Must(FileSystem::Open(*mount.store, clock_, options));
    return mount;
  }

  // --- what a process would do; root, in the root directory ---
  static const fs::OpContext& Root() {
    static const fs::OpContext context;
    return context;
  }
  static InodeNumber Create(SharedMount& mount, std::string_view name,
                            std::string_view bytes = {}) {
    auto created = Must(mount->Create(Root(), fs::kRootInode, name, 0644, {.write = true}));
    const InodeNumber inode = created.entry.attributes.inode;
    if (!bytes.empty()) Must(mount->Write(Root(), inode, created.file.handle, 0, bytes, {}));
    Must(mount->Release(inode, created.file.handle));
    return inode;
  }
  static std::optional<fs::Attributes> Find(SharedMount& mount, std::string_view name,
                                            InodeNumber parent = fs::kRootInode) {
    auto entry = mount->Lookup(Root(), parent, name);
    if (!entry) {
      EXPECT_EQ(entry.error().code(), ErrorCode::kNotFound) << entry.error().ToString();
      return std::nullopt;
    }
    return entry->attributes;
  }
  static Result<std::string> Read(SharedMount& mount, InodeNumber inode, fs::HandleId handle = {}) {
    std::string bytes(1 << 16, '\0');
    bytes.resize(TRY(mount->Read(Root(), inode, handle, 0, bytes)));
    return bytes;
  }
  static std::map<std::string, uint64_t> List(SharedMount& mount) {
    std::map<std::string, uint64_t> names;
    Must(mount->ReadDirectory(Root(), fs::kRootInode, 0, 0, false, [&](const auto& entry) {
      names.emplace(entry.name, entry.inode.value);
      return true;
    }));
    return names;
  }
  static ErrorCode CodeOf(const Status& status) {
    return status ? static_cast<ErrorCode>(-1) : status.error().code();
  }
  template <typename T>
  static ErrorCode CodeOf(const Result<T>& result) {
    return result ? static_cast<ErrorCode>(-1) : result.error().code();
  }

  // Heartbeats and background work of all, until nothing is left to do.
  template <typename... Mounts>
  static void Settle(Mounts&... mounts) {
    for (int round = 0; round < 6; ++round) {
      (Must(mounts->Beat()), ...);
      const auto work = [](SharedMount& mount) {
        while (Must(mount->RunBackgroundStep())) {
        }
      };
      (work(mounts), ...);
    }
  }
  // Time goes by without a sign of life of anybody but `watcher`, which marks the others as dead.
  void LetOthersBeSilent(SharedMount& watcher) {
    Must(watcher->Beat());
    for (int i = 0; i < 4; ++i) {
      clock_.Advance(kTimeout * 3 / 10);
      Must(watcher->Beat());
    }
  }
  // And ends them.
  void LetOthersDie(SharedMount& watcher) {
    LetOthersBeSilent(watcher);
    Must(watcher->Beat());  // finds them marked
    while (Must(watcher->RunBackgroundStep())) {
    }
  }
  // One that is dead finds out, and joins anew.
  static void Rejoin(SharedMount& mount) {
    (void)mount->Beat();
    Must(mount->Beat());
  }
  // What fsck finds, with nobody's mount asked.
  std::string Check() {
    const fs::CheckReport report = Must(fs::Check(*outside_, clock_, {}));
    std::string text;
    for (const fs::CheckFinding& finding : report.findings) text += finding.what + "\n";
    if (report.orphans != 0) text += std::to_string(report.orphans) + " orphans\n";
    return text;
  }
  uint64_t SessionCount() { return Must(fs::ListSessions(*outside_, clock_)).size(); }

  ManualClock clock_;
  Cluster cluster_{3, clock_};
  std::unique_ptr<TikvKv> outside_ = NewClient();
};

}  // namespace tifs::tikv_store
