#include "fs/schema.h"

#include <xxhash.h>

#include "base/check.h"
#include "base/coding.h"

namespace tifs::fs {

class KeyWriter {
 public:
  KeyWriter(std::string_view prefix, Schema::Scope scope) {
    Bytes(prefix);
    Integer(static_cast<uint8_t>(scope));
  }
  explicit KeyWriter(std::string_view prefix) { Bytes(prefix); }

  template <typename T>
  KeyWriter& Integer(T value) {
    CHECK(key_.size_ + sizeof(T) <= key_.bytes_.size());
    StoreBigEndian(key_.bytes_.data() + key_.size_, value);
    key_.size_ += sizeof(T);
    return *this;
  }
  // The low 56 bits.
  KeyWriter& Integer56(uint64_t value) {
    Integer(static_cast<uint8_t>(value >> 48));
    Integer(static_cast<uint16_t>(value >> 32));
    return Integer(static_cast<uint32_t>(value));
  }
  KeyWriter& Bytes(std::string_view bytes) {
    CHECK(key_.size_ + bytes.size() <= key_.bytes_.size());
    std::memcpy(key_.bytes_.data() + key_.size_, bytes.data(), bytes.size());
    key_.size_ += bytes.size();
    return *this;
  }
  Key Done() const { return key_; }

 private:
  Key key_;
};

namespace {

// The smallest key above every key that begins with `prefix`; empty: no bound.
std::string AfterPrefix(std::string prefix) {
  while (!prefix.empty()) {
    if (static_cast<uint8_t>(prefix.back()) != 0xff) {
      prefix.back() = static_cast<char>(prefix.back() + 1);
      break;
    }
    prefix.pop_back();
  }
  return prefix;
}

}  // namespace

Schema::Schema(std::string prefix, uint64_t hash_seed)
    : prefix_(std::move(prefix)), hash_seed_(hash_seed) {
  CHECK(prefix_.size() <= kMaxPrefixBytes);
}

Key Schema::Meta() const { return KeyWriter(prefix_, Scope::kGlobal).Bytes("meta").Done(); }
Key Schema::NextInode(uint16_t shard) const {
  KeyWriter key(prefix_, Scope::kGlobal);
  key.Bytes("next_inode");
  if (shard != 0) key.Integer(shard);
  return key.Done();
}
Key Schema::NextSession() const {
  return KeyWriter(prefix_, Scope::kGlobal).Bytes("next_session").Done();
}
Key Schema::Tree() const { return KeyWriter(prefix_, Scope::kGlobal).Bytes("tree").Done(); }

Key Schema::Inode(InodeNumber inode) const {
  return KeyWriter(prefix_, Scope::kInode).Integer(inode.value).Done();
}

Key Schema::Stripe(InodeNumber directory, uint16_t stripe) const {
  return KeyWriter(prefix_, Scope::kInode).Integer(directory.value).Integer(stripe).Done();
}

Key Schema::Block(InodeNumber inode, BlockIndex index) const {
  return KeyWriter(prefix_, Scope::kBlock).Integer(inode.value).Integer(index.value).Done();
}

Key Schema::Dentry(InodeNumber parent, std::string_view name) const {
  return KeyWriter(prefix_, Scope::kDentry)
      .Integer(parent.value)
      .Integer56(NameHash(name))
      .Bytes(name)
      .Done();
}

Key Schema::Xattr(InodeNumber inode, std::string_view name) const {
  return KeyWriter(prefix_, Scope::kXattr).Integer(inode.value).Bytes(name).Done();
}

Key Schema::Leftover(kv::Timestamp begun, InodeNumber inode) const {
  return KeyWriter(prefix_, Scope::kLeftover).Integer(begun).Integer(inode.value).Done();
}

Key Schema::Hold(InodeNumber inode, uint64_t session) const {
  return KeyWriter(prefix_, Scope::kHold).Integer(inode.value).Integer(session).Done();
}

Key Schema::Session(uint64_t session) const {
  return KeyWriter(prefix_, Scope::kSession).Integer(session).Done();
}

Key Schema::Usage(uint64_t session) const {
  return KeyWriter(prefix_, Scope::kUsage).Integer(session).Done();
}

Key Schema::Deferred(uint64_t number) const {
  return KeyWriter(prefix_, Scope::kDeferred).Integer(number).Done();
}

KeySpan Schema::AllOf(Scope scope) const {
  return {KeyWriter(prefix_, scope).Done(),
          KeyWriter(prefix_).Integer(static_cast<uint8_t>(static_cast<uint8_t>(scope) + 1)).Done()};
}

KeySpan Schema::Everything() const {
  return {KeyWriter(prefix_).Done(), KeyWriter(AfterPrefix(prefix_)).Done()};
}

KeySpan Schema::Blocks(InodeNumber inode, BlockIndex begin, BlockIndex end) const {
  return {Block(inode, begin), Block(inode, end)};
}

KeySpan Schema::Dentries(InodeNumber parent, uint64_t first_hash) const {
  return {
      KeyWriter(prefix_, Scope::kDentry).Integer(parent.value).Integer56(first_hash).Done(),
      KeyWriter(prefix_, Scope::kDentry).Integer(parent.value + 1).Done(),
  };
}

KeySpan Schema::Xattrs(InodeNumber inode) const {
  return {Xattr(inode, ""), Xattr(InodeNumber{inode.value + 1}, "")};
}

KeySpan Schema::Holds(InodeNumber inode) const {
  return {KeyWriter(prefix_, Scope::kHold).Integer(inode.value).Done(),
          KeyWriter(prefix_, Scope::kHold).Integer(inode.value + 1).Done()};
}

uint64_t Schema::NameHash(std::string_view name) const {
  const uint64_t hash =
      XXH3_64bits_withSeed(name.data(), name.size(), hash_seed_) >> (64 - kNameHashBits);
  return hash < kFirstNameHash ? kFirstNameHash : hash;
}

std::optional<std::string_view> Schema::BodyOf(std::string_view key, Scope scope) const {
  if (!key.starts_with(prefix_)) return std::nullopt;
  key.remove_prefix(prefix_.size());
  if (key.empty() || key.front() != static_cast<char>(scope)) return std::nullopt;
  return key.substr(1);
}

std::optional<Schema::InodeKey> Schema::ParseInode(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kInode);
  if (!body) return std::nullopt;
  if (body->size() == 8) return InodeKey{{LoadBigEndian<uint64_t>(body->data())}, std::nullopt};
  if (body->size() != 10) return std::nullopt;
  return InodeKey{{LoadBigEndian<uint64_t>(body->data())},
                  LoadBigEndian<uint16_t>(body->data() + 8)};
}

std::optional<Schema::BlockKey> Schema::ParseBlock(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kBlock);
  if (!body || body->size() != 16) return std::nullopt;
  return BlockKey{{LoadBigEndian<uint64_t>(body->data())},
                  {LoadBigEndian<uint64_t>(body->data() + 8)}};
}

std::optional<Schema::DentryKey> Schema::ParseDentry(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kDentry);
  if (!body || body->size() < 16 || body->size() > 15 + kMaxNameBytes) return std::nullopt;
  const uint64_t hash = LoadBigEndian<uint64_t>(body->data() + 8) >> 8;
  return DentryKey{{LoadBigEndian<uint64_t>(body->data())}, hash, body->substr(15)};
}

std::optional<Schema::XattrKey> Schema::ParseXattr(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kXattr);
  if (!body || body->size() < 9 || body->size() > 8 + kMaxXattrNameBytes) return std::nullopt;
  return XattrKey{{LoadBigEndian<uint64_t>(body->data())}, body->substr(8)};
}

std::optional<Schema::LeftoverKey> Schema::ParseLeftover(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kLeftover);
  if (!body || body->size() != 16) return std::nullopt;
  return LeftoverKey{LoadBigEndian<uint64_t>(body->data()),
                     {LoadBigEndian<uint64_t>(body->data() + 8)}};
}

std::optional<Schema::HoldKey> Schema::ParseHold(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kHold);
  if (!body || body->size() != 16) return std::nullopt;
  return HoldKey{{LoadBigEndian<uint64_t>(body->data())},
                 LoadBigEndian<uint64_t>(body->data() + 8)};
}

std::optional<uint64_t> Schema::ParseSession(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kSession);
  if (!body || body->size() != 8) return std::nullopt;
  return LoadBigEndian<uint64_t>(body->data());
}

std::optional<uint64_t> Schema::ParseUsage(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kUsage);
  if (!body || body->size() != 8) return std::nullopt;
  return LoadBigEndian<uint64_t>(body->data());
}

std::optional<uint64_t> Schema::ParseDeferred(std::string_view key) const {
  const auto body = BodyOf(key, Scope::kDeferred);
  if (!body || body->size() != 8) return std::nullopt;
  return LoadBigEndian<uint64_t>(body->data());
}

}  // namespace tifs::fs
