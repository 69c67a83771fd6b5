// Damages a file system on an embedded store on purpose: damage_store STORE_DIRECTORY WHAT
// [ARGUMENT ...]. What a disk, a bug or a hostile client might leave; tests look at what the
// commands make of it.
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "fs/records.h"
#include "fs/schema.h"
#include "kv/rocks/rocks_kv.h"

namespace tifs {
namespace {

using Arguments = std::vector<std::string>;

constexpr uint64_t kNoSuchInode = 999'999'999;
constexpr uint64_t kUnknownFeature = uint64_t{1} << 63;

fs::InodeNumber InodeOf(const std::string& text) {
  return fs::InodeNumber{std::strtoull(text.c_str(), nullptr, 10)};
}

class Damage {
 public:
  Damage(kv::Store& store, fs::MetaRecord meta)
      : store_(store), meta_(std::move(meta)), schema_({}, meta_.hash_seed) {}

  Status Do(const std::string& what, const Arguments& arguments) {
    if (what == "dangling-entry") {
      const fs::DentryRecord entry{.inode = {kNoSuchInode}, .type_mode = S_IFREG};
      return Put(schema_.Dentry(fs::kRootInode, arguments.at(0)), entry.Encode());
    }
    if (what == "lose-entry") return Delete(schema_.Dentry(fs::kRootInode, arguments.at(0)));
    if (what == "garbage-inode") return Put(schema_.Inode(InodeOf(arguments.at(0))), "\xff\xff");
    if (what == "garbage-entry") {
      return Put(schema_.Dentry(fs::kRootInode, arguments.at(0)), "\x01garbage that is too long");
    }
    if (what == "garbage-block") {
      return Put(schema_.Block(InodeOf(arguments.at(0)), fs::BlockIndex{0}), "\xff");
    }
    if (what == "stray-block") {
      return Put(schema_.Block({kNoSuchInode}, fs::BlockIndex{0}), "\x01");
    }
    if (what == "wrong-nlink") {
      auto inode = TRY(Load(arguments.at(0)));
      inode.nlink += 5;
      return Put(schema_.Inode(inode.number), inode.Encode());
    }
    if (what == "no-target") {  // of a symbolic link
      auto inode = TRY(Load(arguments.at(0)));
      inode.inline_data.clear();
      inode.size_bytes = 0;
      return Put(schema_.Inode(inode.number), inode.Encode());
    }
    if (what == "bad-version") {
      auto inode = TRY(Load(arguments.at(0)));
      std::string value = inode.Encode();
      value[0] = '\x7f';
      return Put(schema_.Inode(inode.number), value);
    }
    if (what == "share-slot") {  // the first block of the second inode names that of the first
      const auto value = TRY(store_.GetLatest(schema_.Block(InodeOf(arguments.at(0)), {0})));
      if (!value) return Error(ErrorCode::kNotFound, "block");
      return Put(schema_.Block(InodeOf(arguments.at(1)), {0}), value->view());
    }
    if (what == "wrong-usage") {
      return Put(schema_.Usage(), fs::UsageRecord{1 << 30, 12345, true}.Encode());
    }
    if (what == "newer-format") meta_.format_version = 99;
    if (what == "unknown-incompatible") meta_.incompatible |= kUnknownFeature;
    if (what == "unknown-read-only-compatible") meta_.read_only_compatible |= kUnknownFeature;
    if (what == "unknown-compatible") meta_.compatible |= kUnknownFeature;
    return Put(schema_.Meta(), meta_.Encode());
  }

 private:
  Result<fs::InodeRecord> Load(const std::string& number) {
    const fs::InodeNumber inode = InodeOf(number);
    const auto value = TRY(store_.GetLatest(schema_.Inode(inode)));
    if (!value) return Error(ErrorCode::kNotFound, "inode");
    return fs::InodeRecord::Decode(inode, value->view());
  }
  Status Put(std::string_view key, std::string_view value) {
    const auto transaction = TRY(store_.Begin());
    TRY(transaction->Put(key, value));
    return transaction->Commit();
  }
  Status Delete(std::string_view key) {
    const auto transaction = TRY(store_.Begin());
    TRY(transaction->Delete(key));
    return transaction->Commit();
  }

  kv::Store& store_;
  fs::MetaRecord meta_;
  const fs::Schema schema_;
};

Status Run(const std::string& directory, const std::string& what, const Arguments& arguments) {
  kv::RocksOptions options;
  options.path = directory + "/kv";
  const auto store = TRY(kv::RocksKv::Open(options));
  const auto value = TRY(store->GetLatest(fs::Schema().Meta()));
  if (!value) return Error(ErrorCode::kNotFound, "meta");
  Damage damage(*store, TRY(fs::MetaRecord::Decode(value->view())));
  TRY(damage.Do(what, arguments));
  return store->Sync();
}

}  // namespace
}  // namespace tifs

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: damage_store STORE_DIRECTORY WHAT [ARGUMENT ...]\n");
    return 2;
  }
  const tifs::Status status = tifs::Run(argv[1], argv[2], {argv + 3, argv + argc});
  if (!status) std::fprintf(stderr, "damage_store: %s\n", status.error().ToString().c_str());
  return status ? 0 : 1;
}
