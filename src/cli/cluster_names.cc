#include "cli/cluster_names.h"

#include <algorithm>
#include <cctype>

#include "base/coding.h"

namespace tifs::cli {
namespace {

constexpr uint8_t kVersion = 1;
constexpr char kNameByte = 'n';
constexpr std::string_view kNextNumberKey = "i";
// 0 is the table's own keyspace.
constexpr uint32_t kFirstNumber = 1;

std::string KeyOf(std::string_view name) { return std::string(1, kNameByte).append(name); }

Result<uint32_t> DecodeNextNumber(std::string_view value) {
  Decoder decoder(value);
  const auto version = decoder.Fixed<uint8_t>();
  const auto next = decoder.Fixed<uint32_t>();
  if (!decoder.done() || version != kVersion || next < kFirstNumber) {
    return Error(ErrorCode::kCorrupt, "next number of the table of names");
  }
  return next;
}

std::string EncodeNextNumber(uint32_t next) {
  std::string value;
  Encoder encoder(value);
  encoder.Fixed(kVersion);
  encoder.Fixed(next);
  return value;
}

// The entry of the name, which must be this very file system's.
Status CheckStill(kv::Transaction& txn, const ClusterNames::FileSystem& file_system) {
  const std::optional<kv::Value> value = TRY(txn.Get(KeyOf(file_system.name)));
  if (value) {
    const auto found = TRY(DecodeClusterName(file_system.name, value->view()));
    if (found.number == file_system.number) return {};
  }
  return Error(ErrorCode::kNotFound, "table of names", file_system.name);
}

}  // namespace

bool ClusterNames::IsName(std::string_view text) {
  if (text.empty() || text.size() > kMaxNameBytes) return false;
  const auto plain = [](unsigned char c) { return c < 0x80 && std::isalnum(c) != 0; };
  return plain(static_cast<unsigned char>(text.front())) &&
         std::ranges::all_of(text, [plain](unsigned char c) {
           return plain(c) || c == '.' || c == '_' || c == '-';
         });
}

std::string EncodeClusterName(const ClusterNames::FileSystem& file_system) {
  std::string value;
  Encoder encoder(value);
  encoder.Fixed(kVersion);
  encoder.Fixed(file_system.number);
  encoder.Fixed(static_cast<uint8_t>(file_system.state));
  return value;
}

Result<ClusterNames::FileSystem> DecodeClusterName(std::string_view name, std::string_view value) {
  Decoder decoder(value);
  const auto version = decoder.Fixed<uint8_t>();
  const auto number = decoder.Fixed<uint32_t>();
  const auto state = decoder.Fixed<uint8_t>();
  const bool known = state >= static_cast<uint8_t>(ClusterNames::State::kUnfinished) &&
                     state <= static_cast<uint8_t>(ClusterNames::State::kDestroyed);
  if (!decoder.done() || version != kVersion || number < kFirstNumber || !known) {
    return Error(ErrorCode::kCorrupt, "table of names", std::string(name));
  }
  return ClusterNames::FileSystem{std::string(name), number,
                                  static_cast<ClusterNames::State>(state)};
}

Result<std::optional<ClusterNames::FileSystem>> ClusterNames::Find(std::string_view name) {
  return runner_.Read([&](kv::Transaction& txn) -> Result<std::optional<FileSystem>> {
    const std::optional<kv::Value> value = TRY(txn.Get(KeyOf(name)));
    if (!value) return std::optional<FileSystem>();
    return std::optional(TRY(DecodeClusterName(name, value->view())));
  });
}

Result<std::vector<ClusterNames::FileSystem>> ClusterNames::List() {
  constexpr char kAfterNames[] = {kNameByte + 1, '\0'};
  return runner_.Read([&](kv::Transaction& txn) -> Result<std::vector<FileSystem>> {
    std::vector<FileSystem> found;
    Status bad;
    const kv::KeyRange names = {{&kNameByte, 1}, {kAfterNames, 1}};
    TRY(txn.Scan(names, 0, kv::Direction::kForward,
                 [&](std::string_view key, std::string_view value) {
                   auto one = DecodeClusterName(key.substr(1), value);
                   if (one) {
                     found.push_back(*std::move(one));
                   } else {
                     bad = std::move(one).error();
                   }
                   return bad.ok();
                 }));
    TRY(std::move(bad));
    return found;
  });
}

Result<ClusterNames::FileSystem> ClusterNames::Add(std::string_view name) {
  return runner_.Run([&](kv::Transaction& txn) -> Result<FileSystem> {
    if (TRY(txn.Get(KeyOf(name)))) {
      return Error(ErrorCode::kExists, "table of names", std::string(name));
    }
    uint32_t number = kFirstNumber;
    if (const auto next = TRY(txn.Get(kNextNumberKey))) {
      number = TRY(DecodeNextNumber(next->view()));
    }
    if (number == UINT32_MAX) return Error(ErrorCode::kNoSpace, "numbers of file systems");
    FileSystem added{std::string(name), number, State::kUnfinished};
    TRY(txn.Put(kNextNumberKey, EncodeNextNumber(number + 1)));
    TRY(txn.Put(KeyOf(name), EncodeClusterName(added)));
    return added;
  });
}

Status ClusterNames::SetState(const FileSystem& file_system, State state) {
  return runner_.Run([&](kv::Transaction& txn) -> Status {
    TRY(CheckStill(txn, file_system));
    return txn.Put(KeyOf(file_system.name),
                   EncodeClusterName({file_system.name, file_system.number, state}));
  });
}

Status ClusterNames::Remove(const FileSystem& file_system) {
  return runner_.Run([&](kv::Transaction& txn) -> Status {
    TRY(CheckStill(txn, file_system));
    return txn.Delete(KeyOf(file_system.name));
  });
}

}  // namespace tifs::cli
