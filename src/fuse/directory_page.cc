#include "fuse/directory_page.h"

#include <linux/fuse.h>

#include <cstring>

#include "base/check.h"
#include "fuse/reply.h"

namespace tifs::fuse {

bool DirectoryPage::Add(const fs::DirectoryEntry& entry) {
  char name[fs::kMaxNameBytes + 1];
  CHECK(entry.name.size() <= fs::kMaxNameBytes);
  std::memcpy(name, entry.name.data(), entry.name.size());
  name[entry.name.size()] = '\0';

  fuse_entry_param param = {};
  const bool dots = entry.name == "." || entry.name == "..";
  // Node 0 says that no attributes come with the entry; the kernel wants none for "." and "..".
  if (with_attributes_ && entry.entry != nullptr && !dots) {
    param = ToEntryParam(nodes_, *entry.entry);
  } else {
    param.attr.st_mode = entry.type_mode;
  }
  param.attr.st_ino = entry.inode.value;

  char* const at = room_.data() + used_bytes_;
  const size_t left = room_.size() - used_bytes_;
  const auto offset = static_cast<off_t>(entry.cookie);
  const size_t needed = with_attributes_
                            ? fuse_add_direntry_plus(nullptr, at, left, name, &param, offset)
                            : fuse_add_direntry(nullptr, at, left, name, &param.attr, offset);
  if (needed > left) return false;
  used_bytes_ += needed;
  return true;
}

size_t DirectoryPage::max_entries() const {
  const size_t smallest = with_attributes_ ? FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + 1)
                                           : FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + 1);
  return room_.size() / smallest;
}

}  // namespace tifs::fuse
