#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace tifs {
namespace {

Result<int> Half(int number) {
  if (number % 2 != 0) return Error(ErrorCode::kInvalid, "half", std::to_string(number));
  return number / 2;
}

Result<int> Quarter(int number) {
  const int half = TRY(Half(number));
  return TRY(Half(half));
}

Status CheckEven(int number, bool& went_on) {
  TRY(Half(number));
  went_on = true;
  return OkStatus();
}

Result<std::unique_ptr<std::string>> MakeOwned(bool fail) {
  if (fail) return Error(ErrorCode::kNoMemory, "make");
  return std::make_unique<std::string>("owned");
}

Result<size_t> LengthOfOwned(bool fail) {
  std::unique_ptr<std::string> owned = TRY(MakeOwned(fail));
  return owned->size();
}

TEST(ResultTest, IsAValueOrAnError) {
  Result<int> good = Half(4);
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 2);
  Result<int> bad = Half(3);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code(), ErrorCode::kInvalid);
}

TEST(ResultTest, ConvertsFromWhatTheValueIsMadeFrom) {
  Result<std::string> text = "literal";
  EXPECT_EQ(text->size(), 7u);
}

TEST(ResultTest, AStatusIsFineUntilItIsAnError) {
  EXPECT_TRUE(Status().ok());
  EXPECT_TRUE(OkStatus().ok());
  EXPECT_FALSE(Status(Error(ErrorCode::kBusy, "unmount")).ok());
}

TEST(TryTest, YieldsTheValue) {
  Result<int> quarter = Quarter(12);
  ASSERT_TRUE(quarter);
  EXPECT_EQ(*quarter, 3);
}

TEST(TryTest, ReturnsTheErrorWithItsDetail) {
  EXPECT_EQ(Quarter(5).error().detail(), "5");
  EXPECT_EQ(Quarter(6).error().detail(), "3");
}

TEST(TryTest, StopsThere) {
  bool went_on = false;
  EXPECT_FALSE(CheckEven(1, went_on));
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(CheckEven(2, went_on));
  EXPECT_TRUE(went_on);
}

TEST(TryTest, MovesWhatCannotBeCopied) {
  EXPECT_EQ(*LengthOfOwned(false), 5u);
  EXPECT_EQ(LengthOfOwned(true).error().code(), ErrorCode::kNoMemory);
}

TEST(TryTest, TakesALvalueAsWell) {
  auto through = [](Result<int>& result) -> Result<int> { return TRY(result) + 1; };
  Result<int> one = 1;
  EXPECT_EQ(*through(one), 2);
  Result<int> bad = Error(ErrorCode::kIo, "read");
  EXPECT_EQ(through(bad).error().code(), ErrorCode::kIo);
}

}  // namespace
}  // namespace tifs
