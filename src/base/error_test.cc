#include "base/error.h"

#include <gtest/gtest.h>

namespace tifs {
namespace {

TEST(ErrorTest, IsSmall) { EXPECT_LE(sizeof(Error), 24u); }

TEST(ErrorTest, SaysWhatWhereAndWhy) {
  EXPECT_EQ(Error(ErrorCode::kNotFound, "lookup").ToString(), "NotFound: lookup");
  EXPECT_EQ(Error(ErrorCode::kCorrupt, "inode", "version 9").ToString(),
            "Corrupt: inode: version 9");
  EXPECT_EQ(ErrorCodeName(ErrorCode::kDeadlineExceeded), "DeadlineExceeded");
}

TEST(ErrorTest, APlainErrorHasNoDetail) {
  Error error(ErrorCode::kExists, "create");
  EXPECT_EQ(error.detail(), "");
  EXPECT_STREQ(error.context(), "create");
}

TEST(ErrorTest, ACloneIsEqualAndIndependent) {
  Error error(ErrorCode::kIo, "read", "sector 7");
  Error clone = error.Clone();
  { Error gone = std::move(error); }
  EXPECT_EQ(clone.ToString(), "Io: read: sector 7");
  EXPECT_EQ(Error(ErrorCode::kBusy, "x").Clone().detail(), "");
}

TEST(ErrorTest, HasTheErrnoOfTheSystemCall) {
  EXPECT_EQ(Error(ErrorCode::kNotFound, "").ToErrno(), ENOENT);
  EXPECT_EQ(Error(ErrorCode::kNoAttribute, "").ToErrno(), ENODATA);
  EXPECT_EQ(Error(ErrorCode::kNoSuchOffset, "").ToErrno(), ENXIO);
  EXPECT_EQ(Error(ErrorCode::kCorrupt, "").ToErrno(), EIO);
  EXPECT_EQ(Error(ErrorCode::kDeadlineExceeded, "").ToErrno(), EIO);
}

TEST(ErrorTest, OnlyAConflictMayBeRerunAndOnlyTheUndeterminedMustBeAskedFor) {
  int retryable = 0;
  for (int i = 0; i <= static_cast<int>(ErrorCode::kDeadlineExceeded); ++i) {
    const Error error(static_cast<ErrorCode>(i), "");
    if (error.retry_class() != RetryClass::kNever) ++retryable;
  }
  EXPECT_EQ(retryable, 3);
  EXPECT_EQ(Error(ErrorCode::kConflict, "").retry_class(), RetryClass::kConflict);
  EXPECT_EQ(Error(ErrorCode::kUnavailable, "").retry_class(), RetryClass::kUnavailable);
  EXPECT_EQ(Error(ErrorCode::kUndetermined, "").retry_class(), RetryClass::kUndetermined);
}

TEST(ErrorFromErrnoTest, FindsTheCodeAndNamesTheReason) {
  const Error error = ErrorFromErrno(ENOSPC, "write", "/store/000012.log");
  EXPECT_EQ(error.code(), ErrorCode::kNoSpace);
  EXPECT_EQ(error.detail(), "/store/000012.log: No space left on device");
}

TEST(ErrorFromErrnoTest, AnErrnoWithoutACodeIsAnIoError) {
  const Error error = ErrorFromErrno(EPROTO, "connect");
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_EQ(error.detail(), "Protocol error");
}

TEST(ErrorFromErrnoTest, EioIsIoNotCorruption) {
  EXPECT_EQ(ErrorFromErrno(EIO, "read").code(), ErrorCode::kIo);
}

}  // namespace
}  // namespace tifs
