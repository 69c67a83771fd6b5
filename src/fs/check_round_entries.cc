#include <algorithm>

#include "base/coding.h"
#include "fs/check_round.h"

namespace tifs::fs {
namespace {

// What no operation would create: the kernel fails a whole listing for it.
bool IsName(std::string_view name) {
  return name != "." && name != ".." && name.find('/') == name.npos && name.find('\0') == name.npos;
}

// What takes the place of an inode of which only the number and what hangs on it are known: its
// owner and mode are lost, so that nobody but root may have it.
Status MakeAnew(RecordStore& records, Clock& clock, InodeNumber number, InodeNumber parent,
                std::optional<uint64_t> file_bytes) {
  InodeRecord inode;
  inode.number = number;
  inode.change = 1;
  inode.atime = inode.mtime = inode.ctime = inode.btime = clock.RealTime();
  if (file_bytes) {
    inode.mode = S_IFREG | 0600;
    inode.nlink = 1;
    inode.size_bytes = *file_bytes;
    inode.Set(InodeRecord::kHasBlocks);
  } else {
    inode.mode = S_IFDIR | 0700;
    inode.nlink = 2;
    inode.parent = parent.value == 0 ? kRootInode : parent;
  }
  return records.StoreInode(inode);
}

}  // namespace

Result<CheckRound::Lost*> CheckRound::Lose(InodeNumber number) {
  const auto found = lost_.find(number.value);
  if (found != lost_.end()) return &found->second;
  if (lost_.size() == kMaxKept) return nullptr;
  Lost lost;
  lost.is_directory = number == kRootInode || TRY(LooksLikeDirectory(number));
  if (!lost.is_directory) lost.size_bytes = TRY(EndOfBlocks(number));
  lost.is_file = lost.size_bytes > 0;
  return &lost_.emplace(number.value, lost).first->second;
}

bool CheckRound::WillBe(InodeNumber inode) const {
  const auto lost = lost_.find(inode.value);
  return lost != lost_.end() && (lost->second.is_directory || lost->second.is_file);
}

Status CheckRound::ScanDentries() {
  return ScanScope(Schema::Scope::kDentry, [&](std::string_view key, std::string_view value) {
    return AddDentry(key, value);
  });
}

void CheckRound::ReportEntry(std::string what, const Schema::DentryKey& parsed,
                             std::string_view key) {
  Report(
      Kind::kMalformed, std::move(what),
      {.inode = {}, .parent = parsed.parent, .name = std::string(parsed.name)},
      [key = std::string(key)](RecordStore& records) { return records.transaction().Delete(key); });
}

Status CheckRound::AddDentry(std::string_view key, std::string_view value) {
  const auto parsed = schema_.ParseDentry(key);
  if (!parsed) {
    ReportKey("malformed entry", key);
    return {};
  }
  auto dentry = DentryRecord::Decode(value);
  if (dentry && !IsInodeNumber(dentry->inode)) dentry = Error(ErrorCode::kCorrupt, "entry");
  const bool is_name = IsName(parsed->name);
  if (!dentry || !is_name || dentry->inode == kRootInode) {
    const char* what = "corrupt entry";
    if (!is_name) what = "entry of a name that cannot be";
    if (is_name && dentry) what = "entry that leads back to the root";
    ReportEntry(what, *parsed, key);
    return {};
  }
  if (parsed->hash != schema_.NameHash(parsed->name)) {
    Report(Kind::kMalformed, "entry where no lookup finds it",
           {.inode = {}, .parent = parsed->parent, .name = std::string(parsed->name)},
           [key = std::string(key), parent = parsed->parent, name = std::string(parsed->name),
            dentry = *dentry](RecordStore& records) -> Status {
             if (!TRY(records.LoadDentry(parent, name))) {
               TRY(records.StoreDentry(parent, name, dentry));
             }
             return records.transaction().Delete(key);
           });
    return {};
  }
  Inode* parent = Find(parsed->parent);
  Inode* child = Find(dentry->inode);
  if (parent == nullptr && child != nullptr && IsInodeNumber(parsed->parent)) {
    // It looks like a directory: this entry lies in it.
    if (TRY(Lose(parsed->parent)) == nullptr) {
      Postpone();
      return {};
    }
  } else if (parent == nullptr ? !WillBe(parsed->parent) : !parent->IsDirectory()) {
    ReportEntry("entry of no directory", *parsed, key);
    return {};
  }
  if (child == nullptr) return AddLostChild(*parsed, *dentry, parent, key);
  AddChild(*parsed, *dentry, parent, *child, key);
  return {};
}

// An entry of an inode that cannot be read or is not there. It stays if the inode is made anew.
// `parent`: null if that is to be made anew, too.
Status CheckRound::AddLostChild(const Schema::DentryKey& parsed, const DentryRecord& dentry,
                                Inode* parent, std::string_view key) {
  Lost* lost = TRY(Lose(dentry.inode));
  if (lost == nullptr) {
    Postpone();
    return {};
  }
  if (S_ISDIR(dentry.type_mode) && !lost->is_file) lost->is_directory = true;
  if (!lost->is_directory && !lost->is_file) {
    ReportEntry("entry that leads nowhere: " + InodeText(dentry.inode) +
                    (lost->is_unreadable ? " cannot be read" : " is missing"),
                parsed, key);
    return {};
  }
  if (lost->parent.value == 0) lost->parent = parsed.parent;
  if (parent == nullptr) return {};
  parent->has_children = true;
  --parent->entries;
  if (lost->is_directory) --parent->subdirectories;
  return {};
}

// `parent`: null if it is to be made anew.
void CheckRound::AddChild(const Schema::DentryKey& parsed, const DentryRecord& dentry,
                          Inode* parent, Inode& child, std::string_view key) {
  if (child.IsDirectory() && (child.is_entered || child.parent != parsed.parent.value)) {
    if (misplaced_.size() == kMaxKept) {
      Postpone();
    } else {
      misplaced_.push_back(
          {std::string(key), parsed.parent, dentry.inode, std::string(parsed.name)});
    }
    return;
  }
  if (child.is_untyped && (child.mode & S_IFMT) == 0 && !S_ISDIR(dentry.type_mode) &&
      InodeRecord::IsMode(dentry.type_mode)) {
    child.mode |= dentry.type_mode;
  } else if (!child.is_untyped && (child.mode & S_IFMT) != dentry.type_mode) {
    Report(Kind::kCount, "entry of a wrong type",
           {.inode = {}, .parent = parsed.parent, .name = std::string(parsed.name)},
           [key = std::string(key), inode = dentry.inode, mode = child.mode](RecordStore& records) {
             return records.transaction().Put(key, DentryRecord{inode, mode & S_IFMT}.Encode());
           });
  }
  child.is_entered = true;
  if (!child.IsDirectory() && child.links == 0) child.parent = parsed.parent.value;
  ++child.links;
  if (parent == nullptr) return;
  parent->has_children = true;
  --parent->entries;
  if (child.IsDirectory()) --parent->subdirectories;
}

// A directory has one name, in the directory that it says is its parent. If it has none there, the
// first that it has elsewhere is believed.
void CheckRound::PlaceDirectories() {
  for (const Misplaced& misplaced : misplaced_) {
    Inode& child = *Find(misplaced.child);
    const Schema::DentryKey entry{misplaced.parent, 0, misplaced.name};
    if (child.is_entered) {
      ReportEntry(
          "entry that leads nowhere: directory " + InodeText(misplaced.child) + " has another name",
          entry, misplaced.key);
      continue;
    }
    Report(Kind::kMalformed,
           "directory " + InodeText(misplaced.child) + " names another parent than it has",
           {.inode = {}, .parent = misplaced.parent, .name = misplaced.name},
           [number = misplaced.child, parent = misplaced.parent](RecordStore& records) -> Status {
             InodeRecord record = TRY(records.LoadInode(number));
             record.parent = parent;
             return records.StoreInode(record);
           });
    child.is_entered = true;
    child.parent = misplaced.parent.value;
    ++child.links;
    if (Inode* parent = Find(misplaced.parent); parent != nullptr) {
      parent->has_children = true;
      --parent->entries;
      --parent->subdirectories;
    }
  }
}

void CheckRound::CheckLost() {
  for (const auto& [value, lost] : lost_) {
    const InodeNumber number{value};
    if (!lost.is_unreadable && !WillBe(number)) continue;  // nothing but the entries named it
    std::string what =
        std::string(lost.is_unreadable ? "corrupt " : "missing ") + InodeText(number);
    if (number == kRootInode) {
      what = std::string("the root directory is ") + (lost.is_unreadable ? "corrupt" : "missing");
    }
    Mend mend;
    if (lost.is_directory) {
      what += ": of a directory, only its entries are left";
      mend = [number, parent = number == kRootInode ? number : lost.parent,
              &clock = clock_](RecordStore& records) {
        return MakeAnew(records, clock, number, parent, std::nullopt);
      };
    } else if (lost.is_file) {
      what += ": of a file, only its blocks are left";
      mend = [number, size_bytes = lost.size_bytes, &clock = clock_](RecordStore& records) {
        return MakeAnew(records, clock, number, {}, size_bytes);
      };
    } else {
      what += lost.is_unlinked ? ": it was unlinked" : ": nothing of it is left";
      mend = [number](RecordStore& records) { return records.DeleteInode(number); };
    }
    Report(Kind::kMalformed, std::move(what), {.inode = number}, std::move(mend));
  }
}

}  // namespace tifs::fs
