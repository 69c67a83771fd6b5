#include "tests/crash/volume_model.h"

#include <algorithm>
#include <utility>

namespace tifs::volume {

std::string OpText(const VolumeOp& op) {
  static constexpr const char* kNames[] = {"create",   "append",  "write",      "truncate",
                                           "allocate", "sync",    "close",      "rename",
                                           "link",     "unlink",  "mkdir",      "rmdir",
                                           "syncdir",  "syncvol", "checkpoint", "reopen-volume"};
  std::string text = kNames[static_cast<size_t>(op.kind)];
  if (!op.path.empty()) text += " " + op.path;
  if (!op.to.empty()) text += " " + op.to;
  if (op.offset != 0) text += " at " + std::to_string(op.offset);
  if (op.size != 0) text += " size " + std::to_string(op.size);
  return text;
}

VolumeModel::VolumeModel(const Tree& tree) {
  std::map<uint64_t, int> by_inode;
  for (const auto& [path, entry] : tree) {
    names_[path] = std::nullopt;
    if (entry.is_directory) continue;
    if (entry.inode != 0) {
      const auto [at, is_new] = by_inode.try_emplace(entry.inode, next_file_);
      names_[path] = at->second;
      if (!is_new) continue;
    }
    names_[path] = next_file_;
    files_[next_file_++] = {entry.bytes, entry.bytes, {}};
  }
  TakeSnapshot();
}

std::optional<int> VolumeModel::FileAt(const std::string& path) const {
  const auto at = names_.find(path);
  return at != names_.end() ? at->second : std::nullopt;
}

bool VolumeModel::HasName(int file) const {
  return std::ranges::any_of(names_, [&](const auto& name) { return name.second == file; });
}

bool VolumeModel::IsDirectory(const std::string& path) const {
  const auto at = names_.find(path);
  return path.empty() || (at != names_.end() && !at->second);
}

bool VolumeModel::HasParent(const std::string& path) const {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || IsDirectory(path.substr(0, slash));
}

bool VolumeModel::IsEmpty(const std::string& directory) const {
  const auto next = names_.upper_bound(directory + "/");
  return next == names_.end() || !next->first.starts_with(directory + "/");
}

void VolumeModel::TakeSnapshot() {
  Snapshot snapshot{names_, {}};
  for (const auto& [path, file] : names_) {
    if (file) snapshot.logged[*file] = files_.at(*file).logged;
  }
  snapshots_.push_back(std::move(snapshot));
}

bool VolumeModel::Apply(const VolumeOp& op, std::string_view fill) {
  const bool done = Do(op, fill);
  TakeSnapshot();
  return done;
}

bool VolumeModel::Do(const VolumeOp& op, std::string_view fill) {
  using Kind = VolumeOp::Kind;
  const std::optional<int> file = FileAt(op.path);
  switch (op.kind) {
    case Kind::kCreate:
      if (names_.contains(op.path) || !HasParent(op.path)) return false;
      open_.insert(next_file_);
      files_[next_file_] = {};
      names_[op.path] = next_file_++;
      return true;
    case Kind::kAppend: return file && Write(*file, files_.at(*file).bytes.size(), fill);
    case Kind::kWriteAt: return file && Write(*file, op.offset, fill);
    case Kind::kTruncate: return file && Truncate(*file, op.size);
    case Kind::kAllocate:
      if (file) open_.insert(*file);
      return file.has_value();
    case Kind::kSync:
      if (!file) return false;
      open_.insert(*file);
      Sync(*file);
      return true;
    case Kind::kClose: return file && open_.erase(*file) == 1;
    case Kind::kRename: return Rename(op.path, op.to);
    case Kind::kLink:
      if (!file || names_.contains(op.to) || !HasParent(op.to)) return false;
      names_[op.to] = *file;
      return true;
    case Kind::kUnlink: return file && names_.erase(op.path) == 1;
    case Kind::kMakeDirectory:
      if (names_.contains(op.path) || !HasParent(op.path)) return false;
      names_[op.path] = std::nullopt;
      return true;
    case Kind::kRemoveDirectory:
      return !op.path.empty() && IsDirectory(op.path) && IsEmpty(op.path) &&
             names_.erase(op.path) == 1;
    case Kind::kSyncDirectory: return IsDirectory(op.path);
    case Kind::kReopenVolume: open_.clear(); [[fallthrough]];
    case Kind::kSyncVolume:
      for (auto& [number, each] : files_) {
        if (!open_.contains(number)) Sync(number);
      }
      return true;
    case Kind::kCheckpoint: return true;
  }
  return false;
}

bool VolumeModel::Write(int number, uint64_t offset, std::string_view bytes) {
  ModelFile& file = files_.at(number);
  open_.insert(number);
  std::string written(bytes);
  if (!bytes.empty() && offset > file.bytes.size()) {
    written.insert(0, offset - file.bytes.size(), '\0');
    offset = file.bytes.size();
  }
  if (written.empty()) return true;
  file.bytes.resize(std::max<uint64_t>(file.bytes.size(), offset + written.size()));
  file.bytes.replace(offset, written.size(), written);
  file.events.push_back({Event::Kind::kWrite, snapshots_.size(), offset, std::move(written)});
  return true;
}

bool VolumeModel::Truncate(int number, uint64_t size) {
  ModelFile& file = files_.at(number);
  open_.insert(number);
  if (size > file.bytes.size()) {
    return Write(number, file.bytes.size(), std::string(size - file.bytes.size(), '\0'));
  }
  if (size == file.bytes.size()) return true;
  file.bytes.resize(size);
  if (size < file.logged.size()) file.logged.resize(size);
  file.events.push_back({Event::Kind::kCut, snapshots_.size(), size, {}});
  return true;
}

void VolumeModel::Sync(int number) {
  ModelFile& file = files_.at(number);
  file.logged = file.bytes;
  file.events.push_back({Event::Kind::kSync, snapshots_.size(), 0, {}});
}

bool VolumeModel::Rename(const std::string& from, const std::string& to) {
  const auto source = names_.find(from);
  if (source == names_.end() || to.empty() || !HasParent(to)) return false;
  if (from == to) return true;
  const bool is_directory = !source->second;
  if (is_directory && to.starts_with(from + "/")) return false;
  const auto target = names_.find(to);
  if (target != names_.end()) {
    if (!target->second != is_directory) return false;
    if (is_directory && !IsEmpty(to)) return false;
    if (!is_directory && target->second == source->second) return true;
  }
  Names moved;
  for (auto at = names_.lower_bound(from); at != names_.end();) {
    const bool below = at->first.starts_with(from + "/");
    if (at->first != from && !below) {
      // Other names sort between "d" and "d/x".
      at = at->first.starts_with(from) ? std::next(at) : names_.end();
      continue;
    }
    moved[to + at->first.substr(from.size())] = at->second;
    at = names_.erase(at);
  }
  for (auto& [path, file] : moved) names_[path] = file;
  return true;
}

Tree VolumeModel::Visible() const {
  Tree tree;
  for (const auto& [path, file] : names_) {
    tree[path] = file ? TreeEntry{false, files_.at(*file).bytes} : TreeEntry{true, {}};
  }
  return tree;
}

// Whether a byte of a file that is as logged after operation `at` may be another than was logged:
// one that was written since the file's last sync, and not after a later cut of that place (whose
// record would have had to be durable first).
bool VolumeModel::MayBe(const ModelFile& file, size_t at, size_t begun, uint64_t offset,
                        char byte) const {
  bool may_be = false;
  for (const Event& event : file.events) {
    if (event.op > begun) break;
    switch (event.kind) {
      case Event::Kind::kSync:
        if (event.op <= at) may_be = false;
        break;
      case Event::Kind::kCut:
        if (event.op > at && event.offset <= offset) return may_be;
        break;
      case Event::Kind::kWrite:
        may_be = may_be || (offset >= event.offset && offset - event.offset < event.bytes.size() &&
                            event.bytes[offset - event.offset] == byte);
    }
  }
  return may_be;
}

std::string VolumeModel::CheckSnapshot(const Tree& found, size_t at, size_t begun) const {
  const Snapshot& wanted = snapshots_[at];
  for (const auto& [path, file] : wanted.names) {
    const auto entry = found.find(path);
    if (entry == found.end()) return path + " is missing";
    if (entry->second.is_directory != !file) return path + " is of another kind";
    if (!file) continue;
    const std::string& logged = wanted.logged.at(*file);
    const std::string& bytes = entry->second.bytes;
    if (bytes.size() != logged.size()) {
      return path + " has " + std::to_string(bytes.size()) + " bytes, not " +
             std::to_string(logged.size());
    }
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] != logged[i] && !MayBe(files_.at(*file), at, begun, i, bytes[i])) {
        return path + " has a wrong byte at " + std::to_string(i);
      }
    }
  }
  for (const auto& [path, entry] : found) {
    if (!wanted.names.contains(path)) return path + " should not be there";
  }
  return {};
}

std::string VolumeModel::Check(const Tree& found, size_t durable, size_t begun) const {
  std::string why;
  for (size_t at = begun + 1; at-- > durable;) {
    const std::string problem = CheckSnapshot(found, at, begun);
    if (problem.empty()) return {};
    why += "\n  not as after operation " + std::to_string(at) + ": " + problem;
  }
  return why;
}

}  // namespace tifs::volume
