#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fs/types.h"
#include "kv/kv.h"

namespace tifs::fs {

// A key in place: no allocation. Converts to the bytes that the store takes.
class Key {
 public:
  operator std::string_view() const { return {bytes_.data(), size_}; }  // NOLINT: implicit
  std::string_view view() const { return *this; }

 private:
  friend class KeyWriter;
  std::array<char, 304> bytes_;
  size_t size_ = 0;
};

// What one file's or directory's neighbouring keys span; keeps the keys that kv::KeyRange views.
struct KeySpan {
  Key begin;
  Key end;
  kv::KeyRange range() const { return {begin, end}; }
};

// The only place that makes or parses a key; the layout is docs/kv_schema.md. A key is the prefix
// of the file system, a scope byte, then big-endian integers, so that related keys are neighbours.
class Schema {
 public:
  static constexpr size_t kMaxPrefixBytes = 16;

  enum class Scope : uint8_t {
    kGlobal = 0,     // meta, next inode, tree
    kInode = 1,      // inodes and directory stripes
    kBlock = 2,      // file blocks
    kHold = 3,       // unlinked inodes that a session has open
    kDentry = 4,     // directory entries
    kXattr = 5,      // extended attributes
    kSession = 6,    // sessions
    kLeftover = 8,   // work that an operation left: orphans, clears
    kUsage = 9,      // space and inodes in use
    kDeferred = 10,  // writes to the data file
  };

  // `prefix`: what every key begins with, at most kMaxPrefixBytes. `hash_seed`: from Meta; it
  // orders the entries of directories.
  explicit Schema(std::string prefix = {}, uint64_t hash_seed = 0);

  Key Meta() const;
  // The next number of a shard: of those below the first number of the next shard.
  Key NextInode(uint16_t shard = 0) const;
  // Written by whoever joins, works alone, or puts an end to the file system.
  Key NextSession() const;
  // Written by every move of a directory between directories, so that two such moves conflict.
  Key Tree() const;
  Key Inode(InodeNumber inode) const;
  Key Stripe(InodeNumber directory, uint16_t stripe) const;
  Key Block(InodeNumber inode, BlockIndex index) const;
  Key Dentry(InodeNumber parent, std::string_view name) const;
  Key Xattr(InodeNumber inode, std::string_view name) const;
  Key Leftover(kv::Timestamp begun, InodeNumber inode) const;
  Key Hold(InodeNumber inode, uint64_t session) const;
  Key Session(uint64_t session) const;
  // What is in use, of a session (its reservation) or, for 0, of nobody.
  Key Usage(uint64_t session = 0) const;
  // What sessions that are gone have left of theirs.
  Key SettledUsage() const { return Usage(UINT64_MAX); }
  Key Deferred(uint64_t number) const;

  KeySpan AllOf(Scope scope) const;
  // Every key of this file system.
  KeySpan Everything() const;
  // Blocks with begin <= index < end.
  KeySpan Blocks(InodeNumber inode, BlockIndex begin, BlockIndex end) const;
  // Entries whose hash is at least `first_hash`.
  KeySpan Dentries(InodeNumber parent, uint64_t first_hash = 0) const;
  KeySpan Xattrs(InodeNumber inode) const;
  KeySpan Holds(InodeNumber inode) const;

  // Numbers of sessions are below.
  static constexpr uint64_t kMaxSession = UINT64_MAX - 1;
  // Inode numbers are the shard that was asked for and, below so many bits, a number in it.
  static constexpr int kInodeShardBits = 46;
  static constexpr uint16_t kInodeShards = 32;

  // The number of a deferred write.
  std::optional<uint64_t> ParseDeferred(std::string_view key) const;

  // Where a name stands in its directory: 56 bits, at least kFirstNameHash.
  uint64_t NameHash(std::string_view name) const;
  static constexpr uint64_t kFirstNameHash = 1;
  static constexpr int kNameHashBits = 56;

  // A key's parts, or nothing if it is not a well-formed key of that scope. Views into the key.
  struct DentryKey {
    InodeNumber parent;
    uint64_t hash = 0;
    std::string_view name;
  };
  struct InodeKey {
    InodeNumber inode;
    std::optional<uint16_t> stripe;
  };
  struct BlockKey {
    InodeNumber inode;
    BlockIndex index;
  };
  struct XattrKey {
    InodeNumber inode;
    std::string_view name;
  };
  struct LeftoverKey {
    kv::Timestamp begun = 0;
    InodeNumber inode;
  };
  std::optional<InodeKey> ParseInode(std::string_view key) const;
  std::optional<BlockKey> ParseBlock(std::string_view key) const;
  std::optional<DentryKey> ParseDentry(std::string_view key) const;
  std::optional<XattrKey> ParseXattr(std::string_view key) const;
  std::optional<LeftoverKey> ParseLeftover(std::string_view key) const;
  struct HoldKey {
    InodeNumber inode;
    uint64_t session = 0;
  };
  std::optional<HoldKey> ParseHold(std::string_view key) const;
  std::optional<uint64_t> ParseSession(std::string_view key) const;
  std::optional<uint64_t> ParseUsage(std::string_view key) const;

  const std::string& prefix() const { return prefix_; }

 private:
  std::optional<std::string_view> BodyOf(std::string_view key, Scope scope) const;

  const std::string prefix_;
  const uint64_t hash_seed_;
};

}  // namespace tifs::fs
