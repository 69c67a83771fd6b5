#include "sim/model_acl.h"

#include <algorithm>

namespace tifs::sim {
namespace {

constexpr uint32_t kVersion = 2;
constexpr uint32_t kNoId = UINT32_MAX;

uint32_t LittleEndian(std::string_view bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

void AppendLittleEndian(std::string& out, uint32_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

bool IsNamed(const ModelAcl::Entry& entry) {
  return entry.tag == ModelAcl::kUser || entry.tag == ModelAcl::kGroup;
}

}  // namespace

Result<std::optional<ModelAcl>> ModelAcl::Parse(std::string_view bytes) {
  if (bytes.empty()) return std::optional<ModelAcl>();
  if (bytes.size() < 4) return Error(ErrorCode::kInvalid, "model: acl");
  if (LittleEndian(bytes, 0, 4) != kVersion) return Error(ErrorCode::kNotSupported, "model: acl");
  if ((bytes.size() - 4) % 8 != 0) return Error(ErrorCode::kInvalid, "model: acl");
  ModelAcl acl;
  for (size_t at = 4; at < bytes.size(); at += 8) {
    const uint16_t tag = LittleEndian(bytes, at, 2);
    const bool is_known = tag == kUserObject || tag == kUser || tag == kGroupObject ||
                          tag == kGroup || tag == kMask || tag == kOther;
    if (!is_known) return Error(ErrorCode::kInvalid, "model: acl");
    Entry entry{tag, static_cast<uint16_t>(LittleEndian(bytes, at + 2, 2)),
                LittleEndian(bytes, at + 4, 4)};
    if (!IsNamed(entry)) entry.id = kNoId;
    acl.entries_.push_back(entry);
  }
  if (acl.entries_.empty()) return std::optional<ModelAcl>();
  return std::optional<ModelAcl>(std::move(acl));
}

std::string ModelAcl::Format() const {
  std::string out;
  AppendLittleEndian(out, kVersion, 4);
  for (const Entry& entry : entries_) {
    AppendLittleEndian(out, entry.tag, 2);
    AppendLittleEndian(out, entry.permissions, 2);
    AppendLittleEndian(out, entry.id, 4);
  }
  return out;
}

bool ModelAcl::IsValid() const {
  const auto count = [&](uint16_t tag) { return std::ranges::count(entries_, tag, &Entry::tag); };
  for (const uint16_t tag : {kUserObject, kGroupObject, kOther}) {
    if (count(tag) != 1) return false;
  }
  if (count(kMask) > 1) return false;
  if (std::ranges::any_of(entries_, IsNamed) && count(kMask) == 0) return false;
  return std::ranges::is_sorted(entries_, {}, &Entry::tag) &&
         std::ranges::all_of(entries_, [](const Entry& entry) {
           return entry.permissions <= 7 && (!IsNamed(entry) || entry.id != kNoId);
         });
}

ModelAcl::Entry* ModelAcl::Find(Tag tag) {
  const auto found = std::ranges::find(entries_, tag, &Entry::tag);
  return found == entries_.end() ? nullptr : &*found;
}

const ModelAcl::Entry* ModelAcl::Find(Tag tag) const {
  return const_cast<ModelAcl*>(this)->Find(tag);
}

uint32_t ModelAcl::ModeBits() const {
  const Entry* group = Find(kMask) ? Find(kMask) : Find(kGroupObject);
  return Find(kUserObject)->permissions << 6 | group->permissions << 3 | Find(kOther)->permissions;
}

bool ModelAcl::IsMinimal() const { return entries_.size() == 3; }

void ModelAcl::SetMode(uint32_t mode) {
  Entry* group = Find(kMask) ? Find(kMask) : Find(kGroupObject);
  Find(kUserObject)->permissions = mode >> 6 & 7;
  group->permissions = mode >> 3 & 7;
  Find(kOther)->permissions = mode & 7;
}

ModelAcl ModelAcl::Inherit(uint32_t& mode) const {
  ModelAcl inherited = *this;
  inherited.SetMode(mode & ModeBits());
  mode = (mode & ~0777u) | inherited.ModeBits();
  return inherited;
}

bool ModelAcl::Grants(uint32_t wanted, bool is_owner, uint32_t uid, uint32_t owning_gid,
                      const std::vector<uint32_t>& groups) const {
  const auto allows = [&](const Entry& entry) { return (entry.permissions & wanted) == wanted; };
  const auto mask_allows = [&] { return !Find(kMask) || allows(*Find(kMask)); };
  if (is_owner) return allows(*Find(kUserObject));
  for (const Entry& entry : entries_) {
    if (entry.tag == kUser && entry.id == uid) return allows(entry) && mask_allows();
  }
  bool is_member = false;
  for (const Entry& entry : entries_) {
    const bool matches =
        (entry.tag == kGroupObject && std::ranges::count(groups, owning_gid) > 0) ||
        (entry.tag == kGroup && std::ranges::count(groups, entry.id) > 0);
    if (!matches) continue;
    is_member = true;
    if (allows(entry)) return mask_allows();
  }
  return !is_member && allows(*Find(kOther));
}

}  // namespace tifs::sim
