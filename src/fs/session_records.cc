#include "fs/session_records.h"

#include "base/coding.h"

namespace tifs::fs {
namespace {

constexpr uint8_t kValueVersion = 1;
// So that sums of many do not overflow.
constexpr int64_t kMaxShare = INT64_MAX / 1024;
constexpr size_t kMaxTextBytes = 4096;

Error Corrupt(const char* what) { return Error(ErrorCode::kCorrupt, what); }

bool IsShare(int64_t value) { return value >= -kMaxShare && value <= kMaxShare; }

void EncodeSigned(Encoder& encoder, int64_t value) { encoder.Fixed(static_cast<uint64_t>(value)); }

int64_t DecodeSigned(Decoder& decoder) { return static_cast<int64_t>(decoder.Fixed<uint64_t>()); }

}  // namespace

std::string SessionRecord::Encode() const {
  std::string value;
  Encoder encoder(value);
  encoder.Fixed(kValueVersion);
  encoder.Fixed(static_cast<uint8_t>(state));
  encoder.Fixed(count);
  encoder.Fixed(seen);
  encoder.Fixed(bound);
  encoder.Fixed(timeout_ms);
  encoder.Fixed(static_cast<uint64_t>(joined.seconds));
  encoder.Fixed(joined.nanoseconds);
  encoder.Fixed(pid);
  encoder.Counted(host);
  encoder.Counted(mount_point);
  return value;
}

Result<SessionRecord> SessionRecord::Decode(SessionId id, std::string_view value) {
  Decoder decoder(value);
  if (decoder.Fixed<uint8_t>() != kValueVersion) return Corrupt("session version");
  SessionRecord record;
  record.id = id;
  const auto state = decoder.Fixed<uint8_t>();
  record.count = decoder.Fixed<uint64_t>();
  record.seen = decoder.Fixed<uint64_t>();
  record.bound = decoder.Fixed<uint64_t>();
  record.timeout_ms = decoder.Fixed<uint32_t>();
  record.joined.seconds = static_cast<int64_t>(decoder.Fixed<uint64_t>());
  record.joined.nanoseconds = decoder.Fixed<uint32_t>();
  record.pid = decoder.Fixed<uint32_t>();
  record.host = decoder.Counted();
  record.mount_point = decoder.Counted();
  if (!decoder.done()) return Corrupt("session length");
  if (state < 1 || state > 3) return Corrupt("session state");
  if (record.joined.nanoseconds >= 1'000'000'000) return Corrupt("session time");
  if (record.host.size() > kMaxTextBytes || record.mount_point.size() > kMaxTextBytes) {
    return Corrupt("session text");
  }
  record.state = static_cast<SessionState>(state);
  return record;
}

std::string ReservationRecord::Encode() const {
  std::string value;
  Encoder encoder(value);
  encoder.Fixed(kValueVersion);
  for (const int64_t field : {bytes, inodes, used_bytes, used_inodes}) {
    EncodeSigned(encoder, field);
  }
  return value;
}

Result<ReservationRecord> ReservationRecord::Decode(std::string_view value) {
  Decoder decoder(value);
  if (decoder.Fixed<uint8_t>() != kValueVersion) return Corrupt("reservation version");
  ReservationRecord record;
  for (int64_t* field : {&record.bytes, &record.inodes, &record.used_bytes, &record.used_inodes}) {
    *field = DecodeSigned(decoder);
    if (!IsShare(*field)) return Corrupt("reservation");
  }
  if (!decoder.done()) return Corrupt("reservation length");
  return record;
}

std::string SettledRecord::Encode() const {
  std::string value;
  Encoder encoder(value);
  encoder.Fixed(kValueVersion);
  EncodeSigned(encoder, bytes);
  EncodeSigned(encoder, inodes);
  encoder.Fixed(static_cast<uint8_t>(exact));
  encoder.Fixed(wanted);
  return value;
}

Result<SettledRecord> SettledRecord::Decode(std::string_view value) {
  Decoder decoder(value);
  if (decoder.Fixed<uint8_t>() != kValueVersion) return Corrupt("settled usage version");
  SettledRecord record;
  record.bytes = DecodeSigned(decoder);
  record.inodes = DecodeSigned(decoder);
  const auto exact = decoder.Fixed<uint8_t>();
  record.wanted = decoder.Fixed<uint64_t>();
  if (!decoder.done()) return Corrupt("settled usage length");
  if (exact > 1 || !IsShare(record.bytes) || !IsShare(record.inodes)) {
    return Corrupt("settled usage");
  }
  record.exact = exact == 1;
  return record;
}

std::string EncodeNextSession(uint64_t next) {
  std::string value;
  Encoder encoder(value);
  encoder.Fixed(kValueVersion);
  encoder.Fixed(next);
  return value;
}

Result<uint64_t> DecodeNextSession(std::string_view value) {
  Decoder decoder(value);
  const auto version = decoder.Fixed<uint8_t>();
  const auto next = decoder.Fixed<uint64_t>();
  if (!decoder.done() || version != kValueVersion || next == 0) return Corrupt("next session");
  return next;
}

}  // namespace tifs::fs
