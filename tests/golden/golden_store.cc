#include "tests/golden/golden_store.h"

#include <sys/sysmacros.h>

#include <string>

#include "fs/data/extent_blocks.h"
#include "fs/records.h"
#include "fs/schema.h"

namespace tifs::golden {
namespace {

using fs::FileSystem;
using fs::HandleId;
using fs::InodeNumber;
using fs::kRootInode;
using fs::XattrFlag;

constexpr uint64_t kHashSeed = 0x0123456789abcdef;

// The attribute form of an ACL (linux/posix_acl_xattr.h): u::rwx,u:1001:rw-,g::r-x,m::rwx,o::---.
constexpr std::string_view kAcl(
    "\x02\0\0\0"
    "\x01\0\x07\0\xff\xff\xff\xff"
    "\x02\0\x06\0\xe9\x03\0\0"
    "\x04\0\x05\0\xff\xff\xff\xff"
    "\x10\0\x07\0\xff\xff\xff\xff"
    "\x20\0\x00\0\xff\xff\xff\xff",
    44);

class GoldenBuilder {
 public:
  explicit GoldenBuilder(Blocks blocks) : blocks_(blocks) {}

  Result<Dump> Build() {
    TRY(Format());
    fs_ = TRY(OpenGolden(blocks_, store_, device_, clock_));
    TRY(MakeFiles());
    TRY(MakeSpecialFiles());
    TRY(MakeAttributes());
    TRY(MakeHoles());
    TRY(MoveThings());
    TRY(LeaveWork());
    TRY(fs_->Sync());
    Dump dump = TRY(Dump::Of(store_, device_));
    TRY(fs_->Release(orphan_, orphan_handle_));
    return dump;
  }

 private:
  Status Format() {
    fs::FormatOptions options;
    options.name = "golden";
    options.block_size_bytes = kBlockBytes;
    options.capacity_bytes = uint64_t{1} << 40;
    options.max_inodes = 10'000;
    options.extents = blocks_ == Blocks::kInDataFile;
    TRY(fs::Format(store_, clock_, options));
    // Nothing has been named yet, so the seed may still change.
    const auto txn = TRY(store_.Begin());
    const std::string meta_key(fs::Schema().Meta().view());
    fs::MetaRecord meta = TRY(fs::MetaRecord::Decode((*TRY(txn->Get(meta_key))).view()));
    for (size_t i = 0; i < meta.uuid.size(); ++i) meta.uuid[i] = static_cast<uint8_t>(0xa0 + i);
    meta.hash_seed = kHashSeed;
    TRY(txn->Put(meta_key, meta.Encode()));
    return txn->Commit();
  }

  const fs::OpContext& Tick() {
    clock_.Advance(std::chrono::milliseconds(1001));
    return context_;
  }

  Result<InodeNumber> MakeDirectory(InodeNumber parent, std::string_view name, uint32_t mode) {
    return TRY(fs_->Mkdir(Tick(), parent, name, mode)).attributes.inode;
  }

  Result<InodeNumber> MakeFile(InodeNumber parent, std::string_view name, uint32_t mode,
                               std::string_view data) {
    const auto created = TRY(fs_->Create(Tick(), parent, name, mode, {}));
    const InodeNumber inode = created.entry.attributes.inode;
    if (!data.empty()) TRY(Write(inode, 0, data));
    TRY(fs_->Release(inode, created.file.handle));
    return inode;
  }

  Status Write(InodeNumber inode, uint64_t offset_bytes, std::string_view data) {
    TRY(fs_->Write(Tick(), inode, {}, offset_bytes, data, {}));
    return {};
  }

  Status MakeFiles() {
    const InodeNumber a = TRY(MakeDirectory(kRootInode, "a", 0755));
    const InodeNumber in_line = TRY(MakeFile(a, "inline", 0640, "in line"));
    fs::AttributeChanges changes;
    changes.uid = 1000;
    changes.gid = 100;
    changes.atime = {.now = false, .time = {1, 2}};
    changes.mtime = {.now = false, .time = {-1, 999'999'999}};
    TRY(fs_->SetAttributes(Tick(), in_line, changes));
    const InodeNumber two = TRY(MakeFile(a, "two_blocks", 0644, std::string(5000, 'b')));
    TRY(fs_->Link(Tick(), two, kRootInode, "hard"));
    TRY(MakeFile(a, "empty", 0600, ""));
    TRY(MakeFile(a, "program", 04755, "#!"));
    TRY(MakeFile(kRootInode, std::string(fs::kMaxNameBytes, 'n'), 0644, "long name"));
    TRY(MakeFile(kRootInode, "\xff\n\\ \x01", 0644, "odd name"));
    return {};
  }

  Status MakeSpecialFiles() {
    TRY(fs_->Symlink(Tick(), kRootInode, "link", "a/two_blocks"));
    TRY(fs_->Symlink(Tick(), kRootInode, "long_link", std::string(fs::kMaxSymlinkBytes, 'l')));
    TRY(fs_->Mknod(Tick(), kRootInode, "fifo", S_IFIFO | 0600, 0));
    TRY(fs_->Mknod(Tick(), kRootInode, "socket", S_IFSOCK | 0600, 0));
    TRY(fs_->Mknod(Tick(), kRootInode, "null", S_IFCHR | 0666, makedev(1, 3)));
    TRY(fs_->Mknod(Tick(), kRootInode, "disk", S_IFBLK | 0660, makedev(8, 17)));
    return {};
  }

  Status MakeAttributes() {
    const InodeNumber file = TRY(MakeFile(kRootInode, "attributes", 0644, ""));
    const std::string binary("\0\xff\0", 3);
    TRY(fs_->SetXattr(Tick(), file, "user.comment", "golden", XattrFlag::kAny));
    TRY(fs_->SetXattr(Tick(), file, "user.empty", "", XattrFlag::kAny));
    TRY(fs_->SetXattr(Tick(), file, "trusted.binary", binary, XattrFlag::kAny));
    TRY(fs_->SetXattr(Tick(), file, "security.capability", "cap", XattrFlag::kAny));
    TRY(fs_->SetXattr(Tick(), file, "system.posix_acl_access", kAcl, XattrFlag::kAny));
    const InodeNumber acl = TRY(MakeDirectory(kRootInode, "acl", 02750));
    TRY(fs_->SetXattr(Tick(), acl, "system.posix_acl_default", kAcl, XattrFlag::kAny));
    TRY(MakeFile(acl, "inherits", 0664, ""));
    TRY(MakeDirectory(acl, "passes_on", 0777));
    return {};
  }

  Status MakeHoles() {
    const InodeNumber sparse = TRY(MakeFile(kRootInode, "sparse", 0644, ""));
    TRY(Write(sparse, (uint64_t{1} << 40) + 5, "z"));
    TRY(Write(sparse, 3 * kBlockBytes + 10, "y"));
    const InodeNumber reserved = TRY(MakeFile(kRootInode, "reserved", 0644, "abc"));
    TRY(fs_->Allocate(Tick(), reserved, {}, {.keep_size = true}, 0, 10 * kBlockBytes));
    const InodeNumber cut = TRY(MakeFile(kRootInode, "cut", 0644, std::string(12'000, 'q')));
    fs::AttributeChanges shorter;
    shorter.size_bytes = kBlockBytes + 100;
    TRY(fs_->SetAttributes(Tick(), cut, shorter));
    return {};
  }

  Status MoveThings() {
    const InodeNumber b = TRY(MakeDirectory(kRootInode, "b", 0700));
    const InodeNumber moved = TRY(MakeDirectory(kRootInode, "moving", 0755));
    TRY(MakeFile(moved, "passenger", 0644, "still here"));
    TRY(fs_->Rename(Tick(), kRootInode, "moving", b, "moved", 0));
    TRY(MakeFile(b, "covered", 0644, "below"));
    TRY(fs_->Rename(Tick(), b, "covered", b, "uncovered",
                    static_cast<uint32_t>(fs::RenameFlag::kWhiteout)));
    TRY(MakeDirectory(kRootInode, "removed", 0755));
    TRY(fs_->Rmdir(Tick(), kRootInode, "removed"));
    return {};
  }

  Status LeaveWork() {
    const InodeNumber cleared =
        TRY(MakeFile(kRootInode, "cleared", 0644, std::string(300 * kBlockBytes, 'c')));
    TRY(fs_->Allocate(Tick(), cleared, {}, {.punch_hole = true}, 10 * kBlockBytes,
                      280 * kBlockBytes));
    TRY(Write(cleared, 100 * kBlockBytes, "live"));
    const auto orphan = TRY(fs_->Create(Tick(), kRootInode, "orphan", 0600, {}));
    orphan_ = orphan.entry.attributes.inode;
    orphan_handle_ = orphan.file.handle;
    TRY(Write(orphan_, 0, std::string(3 * kBlockBytes, 'o')));
    return fs_->Unlink(Tick(), kRootInode, "orphan");
  }

  const Blocks blocks_;
  const fs::OpContext context_;
  kv::MemKv store_;
  fs::MemExtentDevice device_;
  ManualClock clock_;
  std::unique_ptr<FileSystem> fs_;
  InodeNumber orphan_;
  HandleId orphan_handle_;
};

}  // namespace

Result<Dump> MakeGoldenStore(Blocks blocks) { return GoldenBuilder(blocks).Build(); }

Result<std::unique_ptr<fs::FileSystem>> OpenGolden(Blocks blocks, kv::Store& store,
                                                   fs::MemExtentDevice& device, Clock& clock) {
  fs::FileSystemOptions options;
  options.background_thread = false;
  options.atime_mode = fs::AtimeMode::kNoatime;
  if (blocks == Blocks::kInValues) return fs::FileSystem::Open(store, clock, options);
  auto extents =
      std::make_unique<fs::ExtentBlocks>(std::make_unique<fs::BorrowedExtentDevice>(device), clock);
  return fs::FileSystem::Open(store, clock, options, std::move(extents));
}

}  // namespace tifs::golden
