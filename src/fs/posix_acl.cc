#include "fs/posix_acl.h"

#include <algorithm>

#include "base/check.h"
#include "base/coding.h"

namespace tifs::fs {
namespace {

constexpr uint32_t kXattrVersion = 2;

Error Invalid(const char* what) { return Error(ErrorCode::kInvalid, what); }

}  // namespace

PosixAcl::Entry* PosixAcl::Find(uint16_t tag) {
  const auto it = std::ranges::find(entries_, tag, &Entry::tag);
  return it == entries_.end() ? nullptr : &*it;
}

Result<PosixAcl> PosixAcl::Decode(std::string_view xattr) {
  Decoder decoder(xattr);
  if (decoder.Fixed<uint32_t>() != kXattrVersion) return Error(ErrorCode::kNotSupported, "acl");
  PosixAcl acl;
  uint16_t seen = 0;
  uint16_t last_tag = 0;
  while (decoder.remaining() > 0) {
    Entry entry;
    entry.tag = decoder.Fixed<uint16_t>();
    entry.permissions = decoder.Fixed<uint16_t>();
    entry.id = decoder.Fixed<uint32_t>();
    if (!decoder.ok()) return Invalid("acl length");
    if (entry.permissions > 7) return Invalid("acl permissions");
    if (entry.tag < last_tag) return Invalid("acl order");
    last_tag = entry.tag;
    const bool named = entry.tag == kUser || entry.tag == kGroup;
    const bool single = entry.tag == kUserOwner || entry.tag == kGroupOwner || entry.tag == kMask ||
                        entry.tag == kOther;
    if (!named && !single) return Invalid("acl tag");
    if (single && (seen & entry.tag) != 0) return Invalid("acl entry twice");
    if (!named) entry.id = UINT32_MAX;
    seen |= entry.tag;
    acl.entries_.push_back(entry);
  }
  if (!decoder.ok()) return Invalid("acl length");
  constexpr uint16_t kRequired = kUserOwner | kGroupOwner | kOther;
  if ((seen & kRequired) != kRequired) return Invalid("acl lacks an entry");
  if ((seen & (kUser | kGroup)) != 0 && (seen & kMask) == 0) return Invalid("acl lacks a mask");
  return acl;
}

std::string PosixAcl::Encode() const {
  std::string xattr;
  Encoder encoder(xattr);
  encoder.Fixed(kXattrVersion);
  for (const Entry& entry : entries_) {
    encoder.Fixed(entry.tag);
    encoder.Fixed(entry.permissions);
    encoder.Fixed(entry.id);
  }
  return xattr;
}

uint32_t PosixAcl::ModeBits() const {
  const Entry* mask = Find(kMask);
  const Entry* group = mask != nullptr ? mask : Find(kGroupOwner);
  return static_cast<uint32_t>(Find(kUserOwner)->permissions << 6 | group->permissions << 3 |
                               Find(kOther)->permissions);
}

void PosixAcl::SetModeBits(uint32_t mode) {
  Entry* mask = Find(kMask);
  Entry* group = mask != nullptr ? mask : Find(kGroupOwner);
  Find(kUserOwner)->permissions = static_cast<uint16_t>(mode >> 6 & 7);
  group->permissions = static_cast<uint16_t>(mode >> 3 & 7);
  Find(kOther)->permissions = static_cast<uint16_t>(mode & 7);
}

void PosixAcl::NarrowForCreate(uint32_t& mode) {
  SetModeBits(ModeBits() & mode);
  mode = (mode & ~uint32_t{0777}) | ModeBits();
}

bool PosixAcl::Permits(uint32_t owner_uid, uint32_t owner_gid, uint32_t uid, uint32_t gid,
                       std::span<const uint32_t> groups, uint32_t wanted) const {
  const auto grants = [wanted](uint16_t permissions) { return (permissions & wanted) == wanted; };
  const Entry* mask = Find(kMask);
  const uint16_t mask_bits = mask != nullptr ? mask->permissions : 7;
  if (uid == owner_uid) return grants(Find(kUserOwner)->permissions);
  for (const Entry& entry : entries_) {
    if (entry.tag == kUser && entry.id == uid) return grants(entry.permissions & mask_bits);
  }
  const auto in_group = [&](uint32_t id) {
    return id == gid || std::ranges::find(groups, id) != groups.end();
  };
  bool member = false;
  for (const Entry& entry : entries_) {
    const bool matches = (entry.tag == kGroupOwner && in_group(owner_gid)) ||
                         (entry.tag == kGroup && in_group(entry.id));
    if (!matches) continue;
    member = true;
    if (grants(entry.permissions & mask_bits)) return true;
  }
  return !member && grants(Find(kOther)->permissions);
}

}  // namespace tifs::fs
