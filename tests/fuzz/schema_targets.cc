// Keys: what is made is parsed back, sorts as docs/kv_schema.md says, and lies where it should;
// what is not a key is not taken for one.
#include <array>
#include <tuple>

#include "base/coding.h"
#include "fs/schema.h"
#include "fuzz_target.h"

namespace tifs::fuzz {
namespace {

using fs::BlockIndex;
using fs::InodeNumber;
using fs::Key;
using fs::Schema;

// Two of everything that a key is made of.
struct Parts {
  uint64_t inode = 0;
  uint64_t index = 0;
  uint16_t stripe = 0;
  std::string_view name;
};

struct SchemaInput {
  std::string_view prefix;
  uint64_t hash_seed = 0;
  std::array<Parts, 2> parts;
};

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= fs::kMaxNameBytes &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

std::optional<SchemaInput> Read(std::string_view bytes) {
  Decoder decoder(bytes);
  SchemaInput input;
  input.prefix = decoder.Raw(decoder.Fixed<uint8_t>());
  input.hash_seed = decoder.Fixed<uint64_t>();
  for (Parts& parts : input.parts) {
    parts.inode = decoder.Fixed<uint64_t>();
    parts.index = decoder.Fixed<uint64_t>();
    parts.stripe = decoder.Fixed<uint16_t>();
    parts.name = decoder.Raw(decoder.Fixed<uint8_t>());
    if (!IsName(parts.name)) return std::nullopt;
  }
  if (!decoder.ok() || input.prefix.size() > Schema::kMaxPrefixBytes) return std::nullopt;
  return input;
}

std::string MakeSchemaInput(Random& random) {
  std::string bytes;
  Encoder encoder(bytes);
  const std::string prefix = RandomBytes(random, random.Below(Schema::kMaxPrefixBytes + 1));
  encoder.Fixed(static_cast<uint8_t>(prefix.size()));
  encoder.Raw(prefix);
  encoder.Fixed(random.Next());
  uint64_t inode = 0;
  for (int i = 0; i < 2; ++i) {
    if (i == 0 || random.OneIn(2)) inode = RandomInteger(random);
    encoder.Fixed(inode);
    encoder.Fixed(RandomInteger(random));
    encoder.Fixed(static_cast<uint16_t>(RandomInteger(random)));
    std::string name = RandomBytes(random, 1 + random.Below(fs::kMaxNameBytes));
    for (char& c : name) {
      if (c == '/' || c == '\0') c = 'n';
    }
    encoder.Fixed(static_cast<uint8_t>(name.size()));
    encoder.Raw(name);
  }
  return bytes;
}

bool Contains(const fs::KeySpan& span, std::string_view key) {
  const std::string_view begin = span.begin, end = span.end;
  return begin <= key && (end.empty() || key < end);
}

// How many parsers take the key: exactly one may.
int ParsersThatTake(const Schema& schema, std::string_view key) {
  return schema.ParseInode(key).has_value() + schema.ParseBlock(key).has_value() +
         schema.ParseDentry(key).has_value() + schema.ParseXattr(key).has_value() +
         schema.ParseLeftover(key).has_value() + schema.ParseHold(key).has_value() +
         schema.ParseSession(key).has_value() + schema.ParseUsage(key).has_value();
}

std::string CheckInodeKeys(const Schema& schema, const Parts& parts) {
  const auto inode = schema.ParseInode(schema.Inode({parts.inode}));
  if (!inode || inode->inode.value != parts.inode || inode->stripe) return "inode key";
  const auto stripe = schema.ParseInode(schema.Stripe({parts.inode}, parts.stripe));
  if (!stripe || stripe->inode.value != parts.inode || stripe->stripe != parts.stripe) {
    return "stripe key";
  }
  if (!(schema.Inode({parts.inode}).view() < schema.Stripe({parts.inode}, parts.stripe).view())) {
    return "an inode comes before its stripes";
  }
  return {};
}

std::string CheckOtherKeys(const Schema& schema, const Parts& parts) {
  const auto block = schema.ParseBlock(schema.Block({parts.inode}, {parts.index}));
  if (!block || block->inode.value != parts.inode || block->index.value != parts.index) {
    return "block key";
  }
  const Key dentry_key = schema.Dentry({parts.inode}, parts.name);
  const auto dentry = schema.ParseDentry(dentry_key);
  if (!dentry || dentry->parent.value != parts.inode || dentry->name != parts.name ||
      dentry->hash != schema.NameHash(parts.name) || dentry->hash < Schema::kFirstNameHash) {
    return "dentry key";
  }
  const Key xattr_key = schema.Xattr({parts.inode}, parts.name);
  const auto xattr = schema.ParseXattr(xattr_key);
  if (!xattr || xattr->inode.value != parts.inode || xattr->name != parts.name) return "xattr key";
  const auto leftover = schema.ParseLeftover(schema.Leftover(parts.index, {parts.inode}));
  if (!leftover || leftover->begun != parts.index || leftover->inode.value != parts.inode) {
    return "leftover key";
  }
  const auto hold = schema.ParseHold(schema.Hold({parts.inode}, parts.index));
  if (!hold || hold->inode.value != parts.inode || hold->session != parts.index) return "hold key";
  if (schema.ParseSession(schema.Session(parts.index)) != parts.index) return "session key";
  if (schema.ParseUsage(schema.Usage(parts.index)) != parts.index) return "usage key";
  return {};
}

std::string CheckSpans(const Schema& schema, const Parts& parts) {
  using Scope = Schema::Scope;
  const std::array<std::pair<Scope, Key>, 12> keys = {{
      {Scope::kGlobal, schema.Meta()},
      {Scope::kGlobal, schema.NextInode()},
      {Scope::kGlobal, schema.Tree()},
      {Scope::kInode, schema.Inode({parts.inode})},
      {Scope::kInode, schema.Stripe({parts.inode}, parts.stripe)},
      {Scope::kBlock, schema.Block({parts.inode}, {parts.index})},
      {Scope::kDentry, schema.Dentry({parts.inode}, parts.name)},
      {Scope::kXattr, schema.Xattr({parts.inode}, parts.name)},
      {Scope::kLeftover, schema.Leftover(parts.index, {parts.inode})},
      {Scope::kHold, schema.Hold({parts.inode}, parts.index)},
      {Scope::kSession, schema.Session(parts.index)},
      {Scope::kUsage, schema.Usage(parts.index)},
  }};
  for (const auto& [scope, key] : keys) {
    if (!Contains(schema.Everything(), key)) return "a key outside of Everything()";
    for (const auto& [other_scope, other_key] : keys) {
      if (Contains(schema.AllOf(other_scope), key) != (scope == other_scope)) {
        return "a key outside of its scope, or in another";
      }
    }
    if (ParsersThatTake(schema, key) != (scope == Scope::kGlobal ? 0 : 1)) return "two meanings";
  }
  // The spans of one file or directory end before the next number, which the largest has none of.
  if (parts.inode == UINT64_MAX) return {};
  const Key dentry = schema.Dentry({parts.inode}, parts.name);
  const uint64_t hash = schema.NameHash(parts.name);
  if (!Contains(schema.Dentries({parts.inode}), dentry) ||
      !Contains(schema.Dentries({parts.inode}, hash), dentry) ||
      Contains(schema.Dentries({parts.inode}, hash + 1), dentry)) {
    return "a dentry outside of its directory's span";
  }
  if (!Contains(schema.Xattrs({parts.inode}), schema.Xattr({parts.inode}, parts.name))) {
    return "an xattr outside of its inode's span";
  }
  return {};
}

std::string CheckOrder(const Schema& schema, const Parts& a, const Parts& b) {
  const auto agree = [](const Key& left, const Key& right, std::strong_ordering wanted) {
    return (left.view() <=> right.view()) == wanted;
  };
  if (!agree(schema.Inode({a.inode}), schema.Inode({b.inode}), a.inode <=> b.inode)) {
    return "inodes out of order";
  }
  if (!agree(schema.Stripe({a.inode}, a.stripe), schema.Stripe({b.inode}, b.stripe),
             std::tie(a.inode, a.stripe) <=> std::tie(b.inode, b.stripe))) {
    return "stripes out of order";
  }
  if (!agree(schema.Block({a.inode}, {a.index}), schema.Block({b.inode}, {b.index}),
             std::tie(a.inode, a.index) <=> std::tie(b.inode, b.index))) {
    return "blocks out of order";
  }
  if (!agree(schema.Leftover(a.index, {a.inode}), schema.Leftover(b.index, {b.inode}),
             std::tie(a.index, a.inode) <=> std::tie(b.index, b.inode))) {
    return "leftovers out of order";
  }
  const uint64_t hash_a = schema.NameHash(a.name), hash_b = schema.NameHash(b.name);
  if (!agree(schema.Dentry({a.inode}, a.name), schema.Dentry({b.inode}, b.name),
             std::tie(a.inode, hash_a, a.name) <=> std::tie(b.inode, hash_b, b.name))) {
    return "dentries out of order";
  }
  const BlockIndex end{b.index};
  const bool within = a.inode == b.inode && a.index < b.index;
  const fs::KeySpan before = schema.Blocks({b.inode}, {0}, end);
  if (Contains(before, schema.Block({a.inode}, {a.index})) != within && b.index != 0) {
    return "a span of blocks holds others";
  }
  return {};
}

std::string RunMadeKeys(std::string_view bytes) {
  const auto input = Read(bytes);
  if (!input) return {};
  const Schema schema{std::string(input->prefix), input->hash_seed};
  for (const Parts& parts : input->parts) {
    for (auto* check : {CheckInodeKeys, CheckOtherKeys, CheckSpans}) {
      if (std::string problem = check(schema, parts); !problem.empty()) return problem;
    }
  }
  return CheckOrder(schema, input->parts[0], input->parts[1]);
}

// Any bytes as a key: it is refused, or making it again from its parts gives the same bytes.
std::string RunGivenKey(std::string_view key) {
  const Schema schema("F", 1);
  if (ParsersThatTake(schema, key) > 1) return "two meanings";
  if (const auto inode = schema.ParseInode(key)) {
    const Key again =
        inode->stripe ? schema.Stripe(inode->inode, *inode->stripe) : schema.Inode(inode->inode);
    if (again.view() != key) return "inode key";
  }
  if (const auto block = schema.ParseBlock(key)) {
    if (schema.Block(block->inode, block->index).view() != key) return "block key";
  }
  if (const auto dentry = schema.ParseDentry(key)) {
    if (dentry->name.empty() || dentry->name.size() > fs::kMaxNameBytes) return "dentry name";
    // Not every hash is the name's: a check of the file system reports those.
    if (dentry->hash == schema.NameHash(dentry->name) &&
        schema.Dentry(dentry->parent, dentry->name).view() != key) {
      return "dentry key";
    }
  }
  if (const auto xattr = schema.ParseXattr(key)) {
    if (schema.Xattr(xattr->inode, xattr->name).view() != key) return "xattr key";
  }
  if (const auto leftover = schema.ParseLeftover(key)) {
    if (schema.Leftover(leftover->begun, leftover->inode).view() != key) return "leftover key";
  }
  if (const auto hold = schema.ParseHold(key)) {
    if (schema.Hold(hold->inode, hold->session).view() != key) return "hold key";
  }
  if (const auto session = schema.ParseSession(key)) {
    if (schema.Session(*session).view() != key) return "session key";
  }
  if (const auto usage = schema.ParseUsage(key)) {
    if (schema.Usage(*usage).view() != key) return "usage key";
  }
  return {};
}

std::string MakeKey(Random& random) {
  const Schema schema("F", 1);
  const uint64_t inode = RandomInteger(random);
  switch (random.Below(9)) {
    case 6: return std::string(schema.Hold({inode}, RandomInteger(random)).view());
    case 7: return std::string(schema.Session(inode).view());
    case 8: return std::string(schema.Usage(inode).view());
    case 0: return std::string(schema.Inode({inode}).view());
    case 1: return std::string(schema.Stripe({inode}, static_cast<uint16_t>(random.Next())).view());
    case 2: return std::string(schema.Block({inode}, {RandomInteger(random)}).view());
    case 3: return std::string(schema.Leftover(RandomInteger(random), {inode}).view());
    case 4: {
      const std::string name(1 + random.Below(fs::kMaxXattrNameBytes), 'x');
      return std::string(schema.Xattr({inode}, name).view());
    }
    default: {
      const std::string name(1 + random.Below(fs::kMaxNameBytes), 'd');
      return std::string(schema.Dentry({inode}, name).view());
    }
  }
}

constexpr Target kTargets[] = {
    {"schema_made_keys", RunMadeKeys, MakeSchemaInput},
    {"schema_given_key", RunGivenKey, MakeKey},
};

}  // namespace

std::span<const Target> SchemaTargets() { return kTargets; }

}  // namespace tifs::fuzz
