#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs::cli {

// The layout of an embedded store's directory (0700; all files 0600):
//   tifs.store   says that the directory is ours, and by which layout
//   tifs.volume  which volume the rest of the store lies on, if it does; see volume_record.h
//   tifs.owner   who works on it; see store_owner.h
//   tifs.reserve space set aside for opening it on a full disk; see space_reserve.h
//   kv/          the key-value store; of one on a volume, its log of commits and small files
//   blocks       the bytes of large files, beside it (docs/extents.md); not of one on a volume
enum class StoreState : uint8_t {
  kAbsent,   // there is nothing at the path
  kEmpty,    // an empty directory (or one with an empty lost+found, as a new disk has)
  kForeign,  // something that is not ours
  kOurs,     // ours, of a layout that we know
  kNewer,    // ours, of a layout that we do not know
};

Result<StoreState> InspectStoreDirectory(const std::string& directory);

// Creates the directory if it is absent (its parent must be there) and makes it 0700.
Status CreateStoreDirectory(const std::string& directory);
// Layouts: what is in the directory. A release refuses those that it does not know.
inline constexpr unsigned kPlainLayout = 1;
inline constexpr unsigned kVolumeLayout = 2;  // tables and data file lie on a volume

// Says, durably, that the directory is ours. Precondition: it is empty or ours.
Status MarkStoreDirectory(const std::string& directory, unsigned layout);
// Replaces a file of the directory (mode 0600): durable when it returns, and the old or the new
// after a crash before.
Status ReplaceStoreFile(const std::string& directory, std::string_view name, std::string_view text);
// Deletes one durably; well if there is none.
Status RemoveStoreFile(const std::string& directory, std::string_view name);
// Takes the mark away, for a format that failed.
void UnmarkStoreDirectory(const std::string& directory);
// Deletes all that the store keeps in it; it stays ours. Precondition: kOurs, and owned by the
// caller.
Status EmptyStoreDirectory(const std::string& directory);
// Takes away what others may do with the directory. True if there was something.
Result<bool> TightenStoreDirectory(const std::string& directory);

// Whether files of a store are there without the one by which they are found (kv/CURRENT): of a
// store that was damaged, as against a format that was interrupted.
bool HasLostItsStore(const std::string& directory);
// Whether there is a key-value store in it, whole or half made.
bool HasKvStore(const std::string& directory);

std::string KvDirectoryOf(const std::string& directory);
std::string BlocksFileOf(const std::string& directory);

}  // namespace tifs::cli
