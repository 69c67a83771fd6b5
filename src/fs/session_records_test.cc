#include "fs/session_records.h"

#include <gtest/gtest.h>

#include <string>

#include "fs/persisted_bytes_test_help.h"

namespace tifs::fs {
namespace {

template <typename Decode>
void ExpectRefusesAllElse(const std::string& value, Decode decode) {
  ExpectRefusesCutsAndVersions(value, ErrorCode::kCorrupt, decode);
  EXPECT_FALSE(decode(value + "x").ok());
}

// The examples of docs/kv_schema.md. A persisted value never changes its meaning: if one of these
// fails, the code is wrong.
TEST(SessionRecordsTest, ASessionIsTheBytesOfTheDocument) {
  const std::string value = FromHex(
      "01 01 0500000000000000 1122000000000000 2233000000000000 204e0000"
      "00f1536500000000 01000000 67120000 02000000 6831 04000000 2f6d6e74");
  const SessionRecord record{.id = {7},
                             .state = SessionState::kAlive,
                             .count = 5,
                             .seen = 0x2211,
                             .bound = 0x3322,
                             .timeout_ms = 20000,
                             .joined = {1700000000, 1},
                             .pid = 4711,
                             .host = "h1",
                             .mount_point = "/mnt"};
  EXPECT_EQ(record.Encode(), value);
  const auto decode = [](std::string_view bytes) { return SessionRecord::Decode({7}, bytes); };
  EXPECT_EQ(decode(value)->Encode(), value);
  EXPECT_EQ(decode(value)->id.value, 7u);
  ExpectRefusesAllElse(value, decode);
  std::string state = value;
  state[1] = 4;
  EXPECT_FALSE(decode(state).ok());
  state[1] = 0;
  EXPECT_FALSE(decode(state).ok());
}

TEST(SessionRecordsTest, UsageOfSessionsIsTheBytesOfTheDocument) {
  const std::string reservation =
      FromHex("01 0000001000000000 0040000000000000 ffffffffffffffff 0200000000000000");
  const auto reserved = ReservationRecord{1 << 28, 16384, -1, 2};
  EXPECT_EQ(reserved.Encode(), reservation);
  EXPECT_EQ(ReservationRecord::Decode(reservation)->Encode(), reservation);
  EXPECT_EQ(ReservationRecord::Decode(reservation)->used_bytes, -1);
  ExpectRefusesAllElse(reservation, ReservationRecord::Decode);
  EXPECT_FALSE(ReservationRecord::Decode(ReservationRecord{INT64_MAX, 0, 0, 0}.Encode()).ok());

  const std::string settled = FromHex("01 00f0ffffffffffff 0300000000000000 00 1122000000000000");
  EXPECT_EQ((SettledRecord{-4096, 3, false, 0x2211}.Encode()), settled);
  EXPECT_EQ(SettledRecord::Decode(settled)->Encode(), settled);
  ExpectRefusesAllElse(settled, SettledRecord::Decode);
  EXPECT_FALSE(SettledRecord::Decode(SettledRecord{INT64_MIN, 0, true, 0}.Encode()).ok());

  EXPECT_EQ(EncodeNextSession(8), FromHex("01 0800000000000000"));
  EXPECT_EQ(*DecodeNextSession(EncodeNextSession(8)), 8u);
  EXPECT_FALSE(DecodeNextSession(EncodeNextSession(0)).ok());
  ExpectRefusesAllElse(EncodeNextSession(8), DecodeNextSession);
}

}  // namespace
}  // namespace tifs::fs
