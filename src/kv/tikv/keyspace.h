#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

// The forms that a key has on its way to a cluster. docs/tikv_client.md has the layout.
namespace tifs::kv::tikv {

// The keys of one file system in a cluster that has many.
class Keyspace {
 public:
  static constexpr char kFirstByte = 'F';

  explicit Keyspace(uint32_t number);

  // `key` as the cluster has it.
  std::string Encode(std::string_view key) const;
  // What Encode was given; kCorrupt if `key` is none of ours.
  Result<std::string_view> Decode(std::string_view key) const;

  // All keys of this space k: begin() <= k < end().
  const std::string& begin() const { return begin_; }
  const std::string& end() const { return end_; }

 private:
  std::string begin_;
  std::string end_;
};

// The memcomparable form: groups of eight bytes, each followed by 0xff minus its padding. Sorts as
// the keys do, and no key is a prefix of another.
std::string EncodeMemcomparable(std::string_view key);
Result<std::string> DecodeMemcomparable(std::string_view encoded);

}  // namespace tifs::kv::tikv
