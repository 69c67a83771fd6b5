#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "kv/kv.h"

// The records of sessions (docs/kv_schema.md); what they mean together is docs/consistency.md,
// "Many mounts: sessions".
namespace tifs::fs {

// A mount of a file system that many may mount. Never reused within a file system. 0 is none.
struct SessionId {
  uint64_t value = 0;
  auto operator<=>(const SessionId&) const = default;
};

enum class SessionState : uint8_t {
  kAlive = 1,
  kDead = 2,       // marked: it changes nothing any more, and what it has is taken away
  kExclusive = 3,  // works on the file system alone, without heartbeats: nobody may join
};

struct SessionRecord {
  SessionId id;  // from the key
  SessionState state = SessionState::kAlive;
  uint64_t count = 0;       // of heartbeats
  kv::Timestamp seen = 0;   // up to which it has looked at orphans
  kv::Timestamp bound = 0;  // nothing of it commits, and it answers nothing, above
  uint32_t timeout_ms = 0;
  Timespec joined;
  uint32_t pid = 0;
  std::string host;
  std::string mount_point;

  std::string Encode() const;
  static Result<SessionRecord> Decode(SessionId id, std::string_view value);
};

// What a session may have added to the space and inodes in use since it joined, transactions under
// way included; less than nothing where it has removed more.
struct ReservationRecord {
  int64_t bytes = 0;
  int64_t inodes = 0;
  // What it really had when it wrote this.
  int64_t used_bytes = 0;
  int64_t used_inodes = 0;

  std::string Encode() const;
  static Result<ReservationRecord> Decode(std::string_view value);
};

// What sessions that are gone have left of that, added to the usage record.
struct SettledRecord {
  int64_t bytes = 0;
  int64_t inodes = 0;
  bool exact = true;         // else an upper bound: one of them died
  kv::Timestamp wanted = 0;  // when a session last found no room and asked for what is not used

  std::string Encode() const;
  static Result<SettledRecord> Decode(std::string_view value);
};

// The value of Schema::NextSession.
std::string EncodeNextSession(uint64_t next);
Result<uint64_t> DecodeNextSession(std::string_view value);

}  // namespace tifs::fs
