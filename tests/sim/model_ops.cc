#include "tests/sim/model_ops.h"

#include <algorithm>
#include <cerrno>

namespace tifs::sim {

Result<std::map<std::string, InodeOps::Listed>> ModelOps::List(const Context& context,
                                                               Inode inode) {
  TRY(model_.Open(context, inode, true, false, false));
  model_.Release(inode);
  std::map<std::string, Listed> listed;
  const auto entries = TRY(model_.ReadDirectory(inode));
  for (const auto& [name, child] : entries) {
    listed[name] = Listed{child, model_.GetAttributes(child)->mode & S_IFMT};
  }
  return listed;
}

Outcome ModelOps::Seek(const Context&, Inode inode, Handle, uint64_t offset_bytes,
                       fs::SeekWhence whence) {
  Outcome outcome;
  const ModelFile* const file = model_.Contents(inode);
  const uint64_t size = file->size_bytes();
  if (offset_bytes >= size) {
    outcome.error = ENXIO;
    return outcome;
  }
  Outcome::SeekBounds bounds;
  if (whence == fs::SeekWhence::kData) {
    const std::optional<uint64_t> possible = file->NextMaybeData(offset_bytes);
    const std::optional<uint64_t> certain = file->NextNonZero(offset_bytes);
    if (!possible || *possible >= size) {
      outcome.error = ENXIO;
      return outcome;
    }
    bounds = {*possible, certain.value_or(size - 1), !certain.has_value(),
              [file](uint64_t offset) { return file->MayBeData(offset); }};
    outcome.value = static_cast<int64_t>(*possible);
  } else {
    bounds = {offset_bytes, file->NextHole(offset_bytes), false, [file](uint64_t offset) {
                return offset == file->size_bytes() || file->NextNonZero(offset) != offset;
              }};
    outcome.value = static_cast<int64_t>(bounds.last);
  }
  outcome.seek = bounds;
  return outcome;
}

void ModelOps::Annotate(Inode inode, NodeState& state) {
  const ModelFs::OpenTimes open = model_.TimesMayDiffer(inode);
  state.atime_is_open = open.atime;
  state.mtime_is_open = open.mtime;
  state.ctime_is_open = open.ctime;
  if (model_.Contents(inode) == nullptr) return;
  // A file in its inode may be charged for a little more than its bytes, in units of 512.
  state.max_allocated_bytes = model_.MaxAllocatedBytes(inode) + 4096;
}

void ModelOps::AddTouchedRanges(Inode directory, const std::string& path, Interest& interest) {
  const auto entries = *model_.ReadDirectory(directory);
  for (const auto& [name, child] : entries) {
    const std::string child_path = path.empty() ? name : path + "/" + name;
    if (const ModelFile* const file = model_.Contents(child)) {
      interest[child_path] = file->TouchedRanges();
    }
    if (model_.GetAttributes(child)->IsDirectory()) AddTouchedRanges(child, child_path, interest);
  }
}

fs::InodeNumber ModelOps::InodeAt(const std::string& path) const {
  ModelFs model = model_;
  Inode at = model.root();
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const auto found = model.Lookup({}, at, path.substr(begin, end - begin));
    if (!found) return {};
    at = found->inode;
    begin = end + 1;
  }
  return at;
}

Interest ModelOps::TouchedRanges() {
  Interest interest;
  AddTouchedRanges(model_.root(), "", interest);
  return interest;
}

}  // namespace tifs::sim
