#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

// Which file lies where, and under which names: arithmetic on paths, without I/O.
namespace tifs::rocksfs {

enum class Side : uint8_t { kVolume, kBase };

// Where a new file of this name is created. On the volume: tables (.sst, .ldb), blob files and
// MANIFESTs; all else on the base: WALs, CURRENT, IDENTITY, OPTIONS, LOG, LOCK. What RocksDB and
// its backups write under a temporary name (".000012.sst.tmp") belongs where the final name does;
// ".dbtmp" is CURRENT's, IDENTITY's and OPTIONS'. Only the last component of `path` counts.
Side PlacementOf(std::string_view path);

// Whether it is a table or blob file, as a whole or under a temporary name.
bool IsTable(std::string_view path);

// The names of one file on both sides.
struct SidePaths {
  std::string base;    // absolute, without ".", ".." and repeated slashes
  std::string volume;  // below the root; empty: the root itself
};

// A root mirrors the tree below a directory of the base file system. A path in or below that
// directory means itself; any other P means directory + P. So with "/d" both "/d/kv" and "/kv" are
// "/d/kv" on the base and "kv" on the volume. ".." is resolved by its letters, never above "/".
class PathMap {
 public:
  // kInvalid for a directory that is not absolute or holds a NUL.
  static Result<PathMap> Make(std::string_view directory);

  // kInvalid for a path that is not absolute or holds a NUL.
  Result<SidePaths> Map(std::string_view path) const;
  const std::string& directory() const { return directory_; }

 private:
  explicit PathMap(std::string directory) : directory_(std::move(directory)) {}

  std::string directory_;  // "/" or without a slash at the end
};

// All but the last component: "/a" of "/a/b", "/" of "/a", "a" of "a/b", "" of "a".
std::string_view ParentOf(std::string_view path);

}  // namespace tifs::rocksfs
