#include "rocksfs/io_purpose.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <string>
#include <thread>

namespace tifs::rocksfs {
namespace {

using block::IoClass;
using rocksdb::Env;

TEST(IoPurposeTest, AThreadIsTheUsersUnlessRocksDbNamedItOrTheOneThatStartedIt) {
  EXPECT_EQ(CurrentThreadKind(), ThreadKind::kUser);
  const auto kind_of = [](const std::string& name) {
    ThreadKind kind{};
    std::thread([&] {
      pthread_setname_np(pthread_self(), name.c_str());
      std::thread([&] { kind = CurrentThreadKind(); }).join();
    }).join();
    return kind;
  };
  EXPECT_EQ(kind_of("rocksdb:low"), ThreadKind::kCompaction);
  EXPECT_EQ(kind_of("rocksdb:bottom"), ThreadKind::kCompaction);
  EXPECT_EQ(kind_of("rocksdb:high"), ThreadKind::kFlush);
  EXPECT_EQ(kind_of("rocksdb:user"), ThreadKind::kUser);
  EXPECT_EQ(kind_of("worker"), ThreadKind::kUser);
}

TEST(IoPurposeTest, AReadIsItsThreadsOrOfItsPriority) {
  EXPECT_EQ(ClassOfRead(ThreadKind::kUser, Env::IO_TOTAL), IoClass::kForeground);
  EXPECT_EQ(ClassOfRead(ThreadKind::kUser, Env::IO_USER), IoClass::kForeground);
  EXPECT_EQ(ClassOfRead(ThreadKind::kUser, Env::IO_LOW), IoClass::kCompaction);
  EXPECT_EQ(ClassOfRead(ThreadKind::kCompaction, Env::IO_USER), IoClass::kCompaction);
  EXPECT_EQ(ClassOfRead(ThreadKind::kFlush, Env::IO_TOTAL), IoClass::kFlush);
}

TEST(IoPurposeTest, AWriteIsOfItsFilesPriorityOrItsThreads) {
  for (ThreadKind thread : {ThreadKind::kUser, ThreadKind::kFlush, ThreadKind::kCompaction}) {
    EXPECT_EQ(ClassOfWrite(thread, Env::IO_HIGH, true), IoClass::kFlush);
    EXPECT_EQ(ClassOfWrite(thread, Env::IO_LOW, true), IoClass::kCompaction);
    EXPECT_EQ(ClassOfWrite(thread, Env::IO_LOW, false), IoClass::kForeground);
    EXPECT_EQ(ClassOfWrite(thread, Env::IO_TOTAL, false), IoClass::kForeground);
  }
  EXPECT_EQ(ClassOfWrite(ThreadKind::kFlush, Env::IO_USER, true), IoClass::kFlush);
  EXPECT_EQ(ClassOfWrite(ThreadKind::kCompaction, Env::IO_USER, true), IoClass::kCompaction);
  EXPECT_EQ(ClassOfWrite(ThreadKind::kUser, Env::IO_TOTAL, true), IoClass::kForeground);
}

}  // namespace
}  // namespace tifs::rocksfs
