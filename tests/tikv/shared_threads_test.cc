// Two mounts at work at the same time, with all the threads that they have when they serve.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fs/file_system.h"
#include "fs/fs_check.h"
#include "kv/tikv/tikv_kv.h"
#include "tests/must.h"
#include "tests/tikv/store/cluster.h"
#include "tests/tikv/store/loopback_transport.h"

namespace tifs::tikv_store {
namespace {

using fs::FileSystem;
using fs::InodeNumber;
using kv::tikv::TikvKv;

class SharedThreadsTest : public ::testing::Test {
 protected:
  static constexpr int kRounds = 40;
  static constexpr char kLine[] = "0123456789";
  static constexpr size_t kLineBytes = sizeof(kLine) - 1;

  struct Mount {
    std::unique_ptr<TikvKv> store;
    std::unique_ptr<FileSystem> fs;
  };

  void SetUp() override {
    outside_ = NewClient();
    fs::FormatOptions format;
    format.block_size_bytes = 4096;
    format.directory_stripes = 2;
    format.capacity_bytes = 64 << 20;
    Must(fs::Format(*outside_, SystemClock(), format));
  }
  std::unique_ptr<TikvKv> NewClient() {
    kv::tikv::TikvOptions options;
    options.pd_addresses = {"pd0:2379"};
    options.commit_floor = kv::tikv::CommitFloor::kStart;
    return Must(TikvKv::Open(options, MakeLoopbackTransport(cluster_), SystemClock()));
  }
  Mount NewMount() {
    Mount mount;
    mount.store = NewClient();
    fs::FileSystemOptions options;
    options.cache_mode = fs::CacheMode::kStrict;
    options.shared = true;
    // Many heartbeats; and none is missed, however slow the machine is.
    options.session.heartbeat = std::chrono::milliseconds(5);
    options.session.timeout = fs::Session::kLongestTransaction;
    mount.fs = Must(FileSystem::Open(*mount.store, SystemClock(), options));
    return mount;
  }
  static const fs::OpContext& Root() {
    static const fs::OpContext context;
    return context;
  }
  static InodeNumber Create(FileSystem& fs, const std::string& name, std::string_view bytes) {
    auto created = Must(fs.Create(Root(), fs::kRootInode, name, 0644, {.write = true}));
    const InodeNumber inode = created.entry.attributes.inode;
    Must(fs.Write(Root(), inode, created.file.handle, 0, bytes, {}));
    Must(fs.Release(inode, created.file.handle));
    return inode;
  }
  // Appends, and makes files that replace each other.
  static void Work(FileSystem& fs, InodeNumber log, int thread) {
    for (int i = 0; i < kRounds; ++i) {
      Must(fs.Write(Root(), log, {}, 0, kLine, {.at_end = true}));
      const std::string name = "t" + std::to_string(thread) + " " + std::to_string(i);
      Create(fs, name, kLine);
      Must(fs.Rename(Root(), fs::kRootInode, name, fs::kRootInode, "target", 0));
    }
  }
  // What one has open the other unlinks.
  static void OpenAndUnlink(FileSystem& reader, FileSystem& remover) {
    for (int i = 0; i < kRounds; ++i) {
      const std::string name = "open " + std::to_string(i);
      const InodeNumber inode = Create(remover, name, name);
      const auto handle = Must(reader.Open(Root(), inode, {.read = true})).handle;
      Must(remover.Unlink(Root(), fs::kRootInode, name));
      for (int again = 0; again < 3; ++again) {
        std::this_thread::sleep_for(std::chrono::milliseconds(again));
        std::string bytes(100, '\0');
        bytes.resize(Must(reader.Read(Root(), inode, handle, 0, bytes)));
        EXPECT_EQ(bytes, name);
      }
      Must(reader.Release(inode, handle));
    }
  }

  Cluster cluster_{3, SystemClock()};
  std::unique_ptr<TikvKv> outside_;
};

TEST_F(SharedThreadsTest, LoseNothingAndLeaveNothing) {
  Mount a = NewMount();
  Mount b = NewMount();
  const InodeNumber log = Create(*a.fs, "log", "");
  std::vector<std::thread> threads;
  threads.emplace_back([&] { Work(*a.fs, log, 0); });
  threads.emplace_back([&] { Work(*b.fs, log, 1); });
  threads.emplace_back([&] { OpenAndUnlink(*a.fs, *b.fs); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Must(b.fs->GetAttributes(Root(), log)).attributes.size_bytes, 2 * kRounds * kLineBytes);
  EXPECT_TRUE(b.fs->Lookup(Root(), fs::kRootInode, "target").ok());
  a.fs.reset();
  // What the other has left is taken over. Alone, this one need not wait for anybody.
  while (Must(b.fs->Info()).used_inodes > 3) {
    Must(b.fs->RunBackgroundStep());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  b.fs.reset();
  const fs::CheckReport report = Must(fs::Check(*outside_, SystemClock(), {}));
  for (const fs::CheckFinding& finding : report.findings) ADD_FAILURE() << finding.what;
  EXPECT_EQ(report.orphans, 0u);
}

}  // namespace
}  // namespace tifs::tikv_store
