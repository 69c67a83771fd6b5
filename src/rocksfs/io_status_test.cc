#include "rocksfs/io_status.h"

#include <gtest/gtest.h>

#include <string>

namespace tifs::rocksfs {
namespace {

TEST(IoStatusTest, AFullVolumeIsWhatRocksDbRecoversFrom) {
  const rocksdb::IOStatus status = ToIOStatus(Error(ErrorCode::kNoSpace, "volume"), "/db/1.sst");
  EXPECT_TRUE(status.IsIOError());
  EXPECT_TRUE(status.IsNoSpace());
  EXPECT_TRUE(status.GetRetryable());
  EXPECT_FALSE(status.GetDataLoss());
}

TEST(IoStatusTest, AFailedDeviceIsNotToBeTriedAgain) {
  for (const ErrorCode code : {ErrorCode::kIo, ErrorCode::kReadOnly, ErrorCode::kBadHandle}) {
    const rocksdb::IOStatus status = ToIOStatus(Error(code, "volume"), "/db/1.sst");
    EXPECT_TRUE(status.IsIOError());
    EXPECT_EQ(status.subcode(), rocksdb::Status::kNone);
    EXPECT_FALSE(status.GetRetryable());
    EXPECT_FALSE(status.GetDataLoss());
  }
}

TEST(IoStatusTest, OthersKeepTheirMeaning) {
  EXPECT_TRUE(ToIOStatus(Error(ErrorCode::kNotFound, "volume"), "x").IsPathNotFound());
  EXPECT_TRUE(IsMissing(ToIOStatus(Error(ErrorCode::kNotFound, "volume"), "x")));
  EXPECT_TRUE(IsMissing(rocksdb::IOStatus::NotFound()));
  EXPECT_FALSE(IsMissing(ToIOStatus(Error(ErrorCode::kIo, "volume"), "x")));
  EXPECT_TRUE(ToIOStatus(Error(ErrorCode::kCorrupt, "volume"), "x").IsCorruption());
  EXPECT_TRUE(ToIOStatus(Error(ErrorCode::kNotSupported, "volume"), "x").IsNotSupported());
  EXPECT_TRUE(ToIOStatus(Error(ErrorCode::kInvalid, "volume"), "x").IsInvalidArgument());
  EXPECT_TRUE(ToIOStatus(Status(), "x").ok());
}

TEST(IoStatusTest, AHostileNameCannotForgeALine) {
  const std::string text =
      ToIOStatus(Error(ErrorCode::kIo, "volume"), "/db/a\nERROR \x1b[31m").ToString();
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
  EXPECT_NE(text.find("/db/a"), std::string::npos) << text;
}

}  // namespace
}  // namespace tifs::rocksfs
