#include "kv/rocks/recent_values.h"

#include <gtest/gtest.h>

#include <string>

namespace tifs::kv {
namespace {

constexpr const char* kUnknown = "(unknown)";
constexpr const char* kAbsent = "(absent)";

std::string Find(RecentValues& values, std::string_view key, uint64_t begun_after) {
  std::string found;
  const auto take = [&](const std::string* value) { found = value ? *value : kAbsent; };
  return values.Find(key, begun_after, take) ? found : kUnknown;
}

TEST(RecentValuesTest, WhatWasWrittenIsForThoseWhoBeganAfter) {
  RecentValues values;
  values.BeforeWrite("k", 7);
  values.AfterWrite("k", "new", 7);
  EXPECT_EQ(Find(values, "k", 6), kUnknown);
  EXPECT_EQ(Find(values, "k", 7), "new");
  EXPECT_EQ(Find(values, "k", 8), "new");
  EXPECT_EQ(Find(values, "other", 8), kUnknown);
}

TEST(RecentValuesTest, AWriteTakesTheValueOutBeforeItHappens) {
  RecentValues values;
  values.NoteRead("k", "old", 5);
  EXPECT_EQ(Find(values, "k", 5), "old");
  values.BeforeWrite("k", 6);
  EXPECT_EQ(Find(values, "k", 5), kUnknown);
  EXPECT_EQ(Find(values, "k", 6), kUnknown);
}

TEST(RecentValuesTest, WhatWasReadBesideALaterWriteIsNotKept) {
  RecentValues values;
  values.BeforeWrite("k", 6);
  values.NoteRead("k", "old", 5);
  EXPECT_EQ(Find(values, "k", 9), kUnknown);
  values.AfterWrite("k", "new", 6);
  values.NoteRead("k", "old", 5);
  EXPECT_EQ(Find(values, "k", 9), "new");
}

TEST(RecentValuesTest, AWriteThatFailedLeavesNothing) {
  RecentValues values;
  values.NoteRead("k", "old", 5);
  values.BeforeWrite("k", 6);  // and never AfterWrite
  EXPECT_EQ(Find(values, "k", 5), kUnknown);
  values.NoteRead("k", "old", 5);
  EXPECT_EQ(Find(values, "k", 6), kUnknown);
  values.NoteRead("k", "old", 6);
  EXPECT_EQ(Find(values, "k", 6), "old");
}

TEST(RecentValuesTest, AbsenceIsKnownToo) {
  RecentValues values;
  values.NoteRead("k", std::nullopt, 5);
  EXPECT_EQ(Find(values, "k", 5), kAbsent);
  values.BeforeWrite("k", 6);
  values.AfterWrite("k", "", 6);
  EXPECT_EQ(Find(values, "k", 6), "");
  values.BeforeWrite("k", 7);
  values.AfterWrite("k", std::nullopt, 7);
  EXPECT_EQ(Find(values, "k", 7), kAbsent);
}

TEST(RecentValuesTest, LargeOnesAreNotKept) {
  RecentValues values;
  values.NoteRead("k", "old", 5);
  values.BeforeWrite("k", 6);
  values.AfterWrite("k", std::string(RecentValues::kMaxValueBytes + 1, 'x'), 6);
  EXPECT_EQ(Find(values, "k", 6), kUnknown);
  const std::string key(RecentValues::kMaxKeyBytes + 1, 'k');
  values.NoteRead(key, "v", 6);
  EXPECT_EQ(Find(values, key, 6), kUnknown);
}

}  // namespace
}  // namespace tifs::kv
