#include "kv/tikv/keyspace.h"

#include "base/coding.h"

namespace tifs::kv::tikv {
namespace {

constexpr size_t kGroup = 8;
constexpr unsigned char kFull = 0xff;

std::string PrefixOf(uint32_t number) {
  std::string prefix(5, Keyspace::kFirstByte);
  StoreBigEndian(prefix.data() + 1, number);
  return prefix;
}

std::string AfterPrefix(uint32_t number) {
  if (number != UINT32_MAX) return PrefixOf(number + 1);
  return std::string(1, Keyspace::kFirstByte + 1);
}

}  // namespace

Keyspace::Keyspace(uint32_t number) : begin_(PrefixOf(number)), end_(AfterPrefix(number)) {}

std::string Keyspace::Encode(std::string_view key) const {
  std::string encoded;
  encoded.reserve(begin_.size() + key.size());
  return encoded.append(begin_).append(key);
}

Result<std::string_view> Keyspace::Decode(std::string_view key) const {
  if (!key.starts_with(begin_)) {
    return Error(ErrorCode::kCorrupt, "tikv: a key of another keyspace", EscapeForLog(key));
  }
  return key.substr(begin_.size());
}

std::string EncodeMemcomparable(std::string_view key) {
  std::string encoded;
  encoded.reserve((key.size() / kGroup + 1) * (kGroup + 1));
  for (;;) {
    const std::string_view group = key.substr(0, kGroup);
    encoded.append(group).append(kGroup - group.size(), '\0');
    encoded.push_back(static_cast<char>(kFull - (kGroup - group.size())));
    if (group.size() < kGroup) return encoded;
    key.remove_prefix(kGroup);
  }
}

Result<std::string> DecodeMemcomparable(std::string_view encoded) {
  const auto bad = [] { return Error(ErrorCode::kCorrupt, "tikv: a bound is not memcomparable"); };
  std::string key;
  for (;;) {
    if (encoded.size() < kGroup + 1) return bad();
    const size_t padding = kFull - static_cast<unsigned char>(encoded[kGroup]);
    if (padding > kGroup) return bad();
    const size_t size = kGroup - padding;
    if (encoded.substr(size, padding).find_first_not_of('\0') != std::string_view::npos) {
      return bad();
    }
    key.append(encoded.substr(0, size));
    encoded.remove_prefix(kGroup + 1);
    if (padding > 0) break;
  }
  if (!encoded.empty()) return bad();
  return key;
}

}  // namespace tifs::kv::tikv
