#include "fs/check_paths.h"

#include <algorithm>
#include <vector>

#include "fs/records.h"

namespace tifs::fs {
namespace {

// Longer paths are cut at their beginning.
constexpr size_t kMaxPathBytes = 4096;

}  // namespace

void CheckPaths::Need(InodeNumber inode) {
  while (inode.value != 0 && inode != kRootInode) {
    const InodeNumber parent = parent_of_(inode);
    if (!names_.try_emplace(inode.value, Name{parent, {}}).second) return;
    inode = parent;
  }
}

Status CheckPaths::Load(kv::Transaction& txn, const Schema& schema) {
  if (names_.empty()) return {};
  const KeySpan all = schema.AllOf(Schema::Scope::kDentry);
  return txn.Scan(all.range(), 0, kv::Direction::kForward,
                  [&](std::string_view key, std::string_view value) {
                    const auto parsed = schema.ParseDentry(key);
                    const auto dentry = DentryRecord::Decode(value);
                    if (!parsed || !dentry) return true;
                    const auto found = names_.find(dentry->inode.value);
                    if (found == names_.end() || !found->second.name.empty()) return true;
                    if (found->second.parent == parsed->parent) found->second.name = parsed->name;
                    return true;
                  });
}

std::string CheckPaths::PathOf(InodeNumber inode) const {
  if (inode == kRootInode) return "/";
  const auto found = names_.find(inode.value);
  if (found == names_.end() || found->second.name.empty()) return {};
  return PathOf(found->second.parent, found->second.name);
}

std::string CheckPaths::PathOf(InodeNumber parent, std::string_view name) const {
  std::vector<std::string_view> parts = {name};
  size_t bytes = name.size();
  std::string start;
  while (parent != kRootInode) {
    const auto found = names_.find(parent.value);
    if (found == names_.end() || found->second.name.empty()) {
      start = "#" + std::to_string(parent.value);
      break;
    }
    parts.push_back(found->second.name);
    bytes += 1 + found->second.name.size();
    if (bytes > kMaxPathBytes) {  // or a cycle
      start = "...";
      break;
    }
    parent = found->second.parent;
  }
  std::string path = std::move(start);
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) path.append("/").append(*part);
  return path;
}

}  // namespace tifs::fs
