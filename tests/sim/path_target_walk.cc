#include <fmt/format.h>

#include "tests/sim/path_target.h"

namespace tifs::sim {

void PathTarget::WalkInto(Inode directory, const std::string& path, const Interest& interest,
                          Tree& tree, std::map<uint64_t, std::string>& first_paths) {
  const auto listed = ops_.List(context_, directory);
  if (!listed) {
    complaint_ = fmt::format("listing '{}': {}", path, listed.error().ToString());
    return;
  }
  for (const auto& [name, entry] : *listed) {
    const std::string child = path.empty() ? name : path + "/" + name;
    const auto found = ops_.Lookup(context_, directory, name);
    if (!found) {
      complaint_ = fmt::format("'{}' is listed: {}", child, found.error().ToString());
      continue;
    }
    if (found->inode != entry.inode || (found->mode & S_IFMT) != entry.type_mode) {
      complaint_ = fmt::format("'{}' is listed as another inode or type", child);
    }
    NodeState state = StateOf(*found, child, interest);
    state.same_as = first_paths.emplace(found->inode.value, child).first->second;
    tree[child] = std::move(state);
    if (found->IsDirectory()) WalkInto(found->inode, child, interest, tree, first_paths);
  }
}

Tree PathTarget::Walk(const Interest& interest) {
  context_ = {};
  Tree tree;
  std::map<uint64_t, std::string> first_paths;
  if (const auto root = ops_.GetAttributes(context_, ops_.Root())) {
    tree[""] = StateOf(*root, "", interest);
  } else {
    complaint_ = fmt::format("root: {}", root.error().ToString());
  }
  WalkInto(ops_.Root(), "", interest, tree, first_paths);
  return tree;
}

}  // namespace tifs::sim
