// The model against two mounts of one file system, operations going to the one and the other in
// turn.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "fs/fs_check.h"
#include "kv/tikv/tikv_kv.h"
#include "tests/sim/comparison.h"
#include "tests/sim/file_system_ops.h"
#include "tests/sim/model_ops.h"
#include "tests/sim/operation.h"
#include "tests/sim/path_target.h"
#include "tests/sim/shrink.h"
#include "tests/sim/test_options.h"
#include "tests/tikv/store/cluster.h"
#include "tests/tikv/store/loopback_transport.h"

namespace tifs::tikv_store {
namespace {

using sim::FileSystemOps;
using sim::InodeOps;

// Each operation goes to another mount than the one before, but what has a handle goes to the mount
// that it was opened on.
class AlternatingOps : public InodeOps {
 public:
  AlternatingOps(FileSystemOps& first, FileSystemOps& second) : sides_{&first, &second} {}

  Inode Root() override { return sides_[0]->Root(); }
  Result<fs::Attributes> Lookup(const Context& context, Inode parent,
                                std::string_view name) override {
    return Next().Lookup(context, parent, name);
  }
  Result<fs::Attributes> Mknod(const Context& context, Inode parent, std::string_view name,
                               uint32_t mode, uint32_t rdev) override {
    return Next().Mknod(context, parent, name, mode, rdev);
  }
  Result<fs::Attributes> Mkdir(const Context& context, Inode parent, std::string_view name,
                               uint32_t mode) override {
    return Next().Mkdir(context, parent, name, mode);
  }
  Result<fs::Attributes> Symlink(const Context& context, Inode parent, std::string_view name,
                                 std::string_view target) override {
    return Next().Symlink(context, parent, name, target);
  }
  Result<fs::Attributes> Link(const Context& context, Inode inode, Inode new_parent,
                              std::string_view new_name) override {
    return Next().Link(context, inode, new_parent, new_name);
  }
  Status Unlink(const Context& context, Inode parent, std::string_view name) override {
    return Next().Unlink(context, parent, name);
  }
  Status Rmdir(const Context& context, Inode parent, std::string_view name) override {
    return Next().Rmdir(context, parent, name);
  }
  Status Rename(const Context& context, Inode parent, std::string_view name, Inode new_parent,
                std::string_view new_name, uint32_t flags) override {
    return Next().Rename(context, parent, name, new_parent, new_name, flags);
  }
  Result<std::string> Readlink(const Context& context, Inode inode) override {
    return Next().Readlink(context, inode);
  }
  Result<std::map<std::string, Listed>> List(const Context& context, Inode inode) override {
    return Next().List(context, inode);
  }
  Result<fs::Attributes> GetAttributes(const Context& context, Inode inode) override {
    return Next().GetAttributes(context, inode);
  }
  Result<fs::Attributes> SetAttributes(const Context& context, Inode inode,
                                       const fs::AttributeChanges& changes,
                                       Handle handle) override {
    return Of(handle).SetAttributes(context, inode, changes, Inner(handle));
  }
  Status Access(const Context& context, Inode inode, int mask) override {
    return Next().Access(context, inode, mask);
  }
  Result<Created> Create(const Context& context, Inode parent, std::string_view name, uint32_t mode,
                         fs::OpenFlags flags) override {
    Created created = TRY(Next().Create(context, parent, name, mode, flags));
    created.handle = Outer(created.handle);
    return created;
  }
  Result<Handle> Open(const Context& context, Inode inode, fs::OpenFlags flags) override {
    return Outer(TRY(Next().Open(context, inode, flags)));
  }
  Result<Handle> OpenDirectory(const Context& context, Inode inode) override {
    return Outer(TRY(Next().OpenDirectory(context, inode)));
  }
  void Release(Inode inode, Handle handle, bool is_directory) override {
    Of(handle).Release(inode, Inner(handle), is_directory);
  }
  Result<std::string> Read(const Context& context, Inode inode, Handle handle,
                           uint64_t offset_bytes, uint64_t length_bytes) override {
    return Of(handle).Read(context, inode, Inner(handle), offset_bytes, length_bytes);
  }
  Status Write(const Context& context, Inode inode, Handle handle, bool append,
               uint64_t offset_bytes, std::string_view data) override {
    return Of(handle).Write(context, inode, Inner(handle), append, offset_bytes, data);
  }
  Status Fsync(const Context& context, Inode inode) override {
    return Next().Fsync(context, inode);
  }
  Status Allocate(const Context& context, Inode inode, Handle handle, fs::AllocateMode mode,
                  uint64_t offset_bytes, uint64_t length_bytes) override {
    return Of(handle).Allocate(context, inode, Inner(handle), mode, offset_bytes, length_bytes);
  }
  sim::Outcome Seek(const Context& context, Inode inode, Handle handle, uint64_t offset_bytes,
                    fs::SeekWhence whence) override {
    return Of(handle).Seek(context, inode, Inner(handle), offset_bytes, whence);
  }
  Result<uint64_t> CopyRange(const Context& context, Inode source, Handle source_handle,
                             uint64_t source_offset_bytes, Inode target, Handle target_handle,
                             uint64_t target_offset_bytes, uint64_t length_bytes) override {
    return Of(target_handle)
        .CopyRange(context, source, Inner(source_handle), source_offset_bytes, target,
                   Inner(target_handle), target_offset_bytes, length_bytes);
  }
  Result<std::string> GetXattr(const Context& context, Inode inode,
                               std::string_view name) override {
    return Next().GetXattr(context, inode, name);
  }
  Status SetXattr(const Context& context, Inode inode, std::string_view name,
                  std::string_view value, fs::XattrFlag flag) override {
    return Next().SetXattr(context, inode, name, value, flag);
  }
  Result<std::vector<std::string>> ListXattrs(const Context& context, Inode inode) override {
    return Next().ListXattrs(context, inode);
  }
  Status RemoveXattr(const Context& context, Inode inode, std::string_view name) override {
    return Next().RemoveXattr(context, inode, name);
  }
  Status Sync() override { return Next().Sync(); }
  Status Background(uint64_t steps) override {
    FileSystemOps& side = Next();
    TRY(side.file_system().Beat());
    return side.Background(steps);
  }
  Status Remount() override {
    TRY(sides_[0]->Remount());
    return sides_[1]->Remount();
  }

 private:
  FileSystemOps& Next() {
    at_ = 1 - at_;
    return *sides_[at_];
  }
  FileSystemOps& Of(Handle handle) {
    return handle.value == 0 ? Next() : *sides_[handle.value % 2];
  }
  Handle Outer(Handle handle) const { return {2 * handle.value + at_}; }
  static Handle Inner(Handle handle) { return {handle.value / 2}; }

  const std::array<FileSystemOps*, 2> sides_;
  size_t at_ = 0;
};

// Two mounts, each with a client of its own, and the model.
class TwoMounts {
 public:
  TwoMounts(uint64_t seed, uint32_t faults_permille) {
    fs::FormatOptions format;
    format.block_size_bytes = kBlockBytes;
    format.directory_stripes = 2;
    CHECK(fs::Format(*clients_[0], clock_, format).ok());
    cluster_.Randomly(seed, faults_permille);
    for (size_t i = 0; i < 2; ++i) {
      sides_[i] = std::make_unique<FileSystemOps>([this, i] { return Open(*clients_[i]); });
    }
    alternating_ = std::make_unique<AlternatingOps>(*sides_[0], *sides_[1]);
    candidate_ = std::make_unique<sim::PathTarget>(*alternating_);
    comparison_.atimes = false;  // each keeps those that it moved
    comparison_.charges = false;
  }

  // Why the two do not do what the model does; empty: they do.
  std::string Run(const std::vector<sim::Operation>& operations) {
    constexpr size_t kCompareEvery = 64;
    for (size_t i = 0; i < operations.size(); ++i) {
      clock_.Advance(std::chrono::milliseconds(10));
      const sim::Outcome actual = candidate_->Apply(operations[i], false);
      const sim::Outcome expected = oracle_.Apply(operations[i], false);
      std::string why = CompareOutcomes(operations[i], expected, actual, comparison_);
      if (why.empty()) why = candidate_->Complaint();
      if (!why.empty()) return operations[i].ToString() + ": " + why;
      if (i % kCompareEvery == kCompareEvery - 1) why = Compare();
      if (!why.empty()) return why;
    }
    return Finish();
  }

 private:
  static constexpr uint32_t kBlockBytes = 4096;

  std::unique_ptr<kv::tikv::TikvKv> NewClient() {
    kv::tikv::TikvOptions options;
    options.pd_addresses = {"pd0:2379", "pd1:2379"};
    options.commit_floor = kv::tikv::CommitFloor::kStart;
    auto opened = kv::tikv::TikvKv::Open(options, MakeLoopbackTransport(cluster_), cluster_clock_);
    CHECK(opened.ok());
    return *std::move(opened);
  }
  Result<std::unique_ptr<fs::FileSystem>> Open(kv::Store& store) {
    fs::FileSystemOptions options;
    options.cache_mode = fs::CacheMode::kStrict;
    options.shared = true;
    options.session.thread = false;
    options.background_thread = false;
    return fs::FileSystem::Open(store, clock_, options);
  }
  std::string Compare() {
    const sim::Interest interest = model_.TouchedRanges();
    const sim::Tree actual = candidate_->Walk(interest);
    if (!candidate_->Complaint().empty()) return candidate_->Complaint();
    return CompareTrees(oracle_.Walk(interest), actual, comparison_);
  }
  std::string Finish() {
    if (std::string why = Compare(); !why.empty()) return "at the end: " + why;
    cluster_.Randomly(0, 0);
    candidate_->CloseAll();
    oracle_.CloseAll();
    for (int round = 0; round < 6; ++round) {
      for (auto& side : sides_) {
        if (Status beaten = side->file_system().Beat(); !beaten) return beaten.error().ToString();
        if (Status done = side->Background(UINT64_MAX); !done) return done.error().ToString();
      }
    }
    if (std::string why = Compare(); !why.empty()) return "when all is closed: " + why;
    for (auto& side : sides_) {
      if (Status closed = side->Close(); !closed) return closed.error().ToString();
    }
    const auto report = fs::Check(*clients_[0], clock_, {});
    if (!report) return report.error().ToString();
    std::string text;
    for (const auto& finding : report->findings) text += "check: " + finding.what + "\n";
    if (report->orphans != 0) text += std::to_string(report->orphans) + " orphans are left\n";
    return text;
  }

  ManualClock clock_;          // of the file systems
  ManualClock cluster_clock_;  // waiting for the cluster must not move their times
  Cluster cluster_{3, cluster_clock_};
  const std::array<std::unique_ptr<kv::tikv::TikvKv>, 2> clients_{NewClient(), NewClient()};
  std::array<std::unique_ptr<FileSystemOps>, 2> sides_;
  std::unique_ptr<AlternatingOps> alternating_;
  std::unique_ptr<sim::PathTarget> candidate_;
  sim::ModelOps model_{sim::ModelFs(clock_, {kBlockBytes, false})};
  sim::PathTarget oracle_{model_};
  sim::ComparisonOptions comparison_;
};

void ExpectAgreement(const std::string& name, uint32_t faults_permille, uint64_t when_short,
                     uint64_t when_long) {
  const uint64_t steps = sim::Options().steps.value_or(300);
  const uint64_t runs = sim::Options().Runs(when_short, when_long);
  sim::Profile profile;
  profile.block_bytes = 4096;
  for (uint64_t i = 0; i < runs; ++i) {
    const uint64_t seed = sim::Options().Seed(i);
    Random random(seed);
    std::vector<sim::Operation> operations;
    for (uint64_t step = 0; step < steps; ++step) {
      operations.push_back(sim::Generate(random, profile));
    }
    const auto run = [&](const std::vector<sim::Operation>& sequence) {
      return TwoMounts(seed, faults_permille).Run(sequence);
    };
    if (!run(operations).empty()) {
      FAIL() << sim::DescribeFailure(name, seed, operations, run);
    }
  }
}

TEST(TwoMountsModelTest, AgreeWithTheModel) { ExpectAgreement("two mounts", 0, 10, 500); }

TEST(TwoMountsModelTest, AgreeWhileTheClusterFails) {
  ExpectAgreement("two mounts, faults", 30, 6, 500);
}

}  // namespace
}  // namespace tifs::tikv_store
