// Opening devices: exclusion, refusals, and which way of making transfers is chosen.

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/check.h"
#include "tests/conformance/block_device_conformance.h"

namespace tifs::block {
namespace {

// What `run` returns, in [0, 255], from a process of its own.
int InAnotherProcess(const std::function<int()>& run) {
  const pid_t child = fork();
  if (child == 0) _exit(run());
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int CodeOfOpening(const std::string& name, const DeviceOptions& options) {
  const auto device = OpenDevice(name, options);
  return device ? 255 : static_cast<int>(device.error().code());
}

constexpr int kBusy = static_cast<int>(ErrorCode::kBusy);
constexpr int kOpened = 255;

}  // namespace

TEST_P(BlockDeviceConformance, ASecondOpeningIsRefused) {
  if (medium().name().empty()) GTEST_SKIP() << "each opening has a medium of its own";
  for (bool read_only : {false, true}) {
    const auto second = medium().Open({.read_only = read_only});
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code(), ErrorCode::kBusy);
    EXPECT_NE(second.error().detail().find("in use"), std::string_view::npos);
  }
  Close();
  EXPECT_TRUE(medium().Open({}).ok()) << "closing frees it";
}

TEST_P(BlockDeviceConformance, AnotherProcessIsRefused) {
  const std::string name(medium().name());
  if (name.empty()) GTEST_SKIP() << "another process cannot name it";
  EXPECT_EQ(InAnotherProcess([&] { return CodeOfOpening(name, {}); }), kBusy);
  EXPECT_EQ(InAnotherProcess([&] { return CodeOfOpening(name, {.read_only = true}); }), kBusy);
  Reopen({.read_only = true});
  EXPECT_EQ(InAnotherProcess([&] { return CodeOfOpening(name, {}); }), kBusy)
      << "a writer by a reader";
  Close();
  EXPECT_EQ(InAnotherProcess([&] { return CodeOfOpening(name, {}); }), kOpened);
}

TEST_P(BlockDeviceConformance, WhoDoesNotAskForExclusionMayLook) {
  const std::string name(medium().name());
  if (name.empty()) GTEST_SKIP() << "another process cannot name it";
  const DmaBuffer data = Filled(1, 1);
  ASSERT_TRUE(device().Write(0, data.bytes()).ok());
  ASSERT_TRUE(device().Flush().ok());
  EXPECT_EQ(InAnotherProcess([&] {
              const auto looker = OpenDevice(name, {.read_only = true, .exclusive = false});
              if (!looker) return 1;
              DmaBuffer found = Blank(1);
              return looker.value()->Read(0, found.bytes()).ok() && Same(found, data) ? 0 : 2;
            }),
            0);
}

TEST_P(BlockDeviceConformance, DeathFreesIt) {
  const std::string name(medium().name());
  if (name.empty()) GTEST_SKIP() << "another process cannot name it";
  Close();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto device = OpenDevice(name);
    (void)!write(ready[1], device ? "y" : "n", 1);
    for (;;) pause();
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_EQ(CodeOfOpening(name, {}), kBusy);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(CodeOfOpening(name, {}), kOpened);
  close(ready[0]);
  close(ready[1]);
}

namespace {

class OpenDeviceTest : public testing::Test {
 protected:
  OpenDeviceTest() : file_(TemporaryFile(1 << 20)) {}
  ~OpenDeviceTest() override { unlink(file_.c_str()); }

  static void ExpectRefusal(const std::string& name, ErrorCode code, std::string_view why) {
    const auto device = OpenDevice(name);
    ASSERT_FALSE(device.ok()) << name;
    EXPECT_EQ(device.error().code(), code) << device.error().ToString();
    EXPECT_NE(device.error().detail().find(why), std::string_view::npos)
        << device.error().ToString();
    EXPECT_NE(device.error().detail().find(name), std::string_view::npos)
        << device.error().ToString();
  }

  const std::string file_;
};

TEST_F(OpenDeviceTest, SaysWhyItCannot) {
  ExpectRefusal("file:" + file_ + ".none", ErrorCode::kNotFound, "does not exist");
  ExpectRefusal("/dev/tifs-none", ErrorCode::kNotFound, "does not exist");
  ExpectRefusal("file:" + file_ + "/x", ErrorCode::kNotFound, "does not exist");
  ExpectRefusal("file:/tmp", ErrorCode::kIsDirectory, "is a directory");
  ExpectRefusal("/dev/fd", ErrorCode::kIsDirectory, "is a directory");
  ExpectRefusal("/dev/null", ErrorCode::kInvalid, "neither");
  ExpectRefusal("file:/dev/null", ErrorCode::kInvalid, "neither");
  ExpectRefusal("mem:1000", ErrorCode::kInvalid, "");
  ExpectRefusal("spdk:trtype=PCIe", ErrorCode::kNotSupported, "no SPDK");
  ASSERT_EQ(truncate(file_.c_str(), 0), 0);
  ExpectRefusal("file:" + file_, ErrorCode::kInvalid, "is empty");
  ASSERT_EQ(truncate(file_.c_str(), 100'100), 0);
  ExpectRefusal("file:" + file_, ErrorCode::kInvalid, "whole number of blocks");
}

TEST_F(OpenDeviceTest, NeverWaitsForAPipe) {
  const std::string pipe = file_ + ".pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ExpectRefusal("file:" + pipe, ErrorCode::kInvalid, "neither");
  unlink(pipe.c_str());
}

TEST_F(OpenDeviceTest, ChangesNothingByOpening) {
  std::ofstream(file_) << std::string(1 << 16, 'a');
  EXPECT_TRUE(OpenDevice("file:" + file_).ok());
  EXPECT_TRUE(OpenDevice("file:" + file_, {.read_only = true}).ok());
  EXPECT_EQ(std::filesystem::file_size(file_), 1u << 16);
  std::ifstream in(file_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), std::string(1 << 16, 'a'));
}

TEST_F(OpenDeviceTest, ReadsAFileThatNobodyMayWrite) {
  ASSERT_EQ(chmod(file_.c_str(), 0400), 0);
  EXPECT_EQ(InAnotherProcess([&] {
              // As somebody whom permissions bind, if we are not.
              if (geteuid() == 0) {
                if (chown(file_.c_str(), 65534, 65534) != 0 || setuid(65534) != 0) return 1;
              }
              if (CodeOfOpening("file:" + file_, {.read_only = true}) != kOpened) return 2;
              const int refused = CodeOfOpening("file:" + file_, {});
              return refused == static_cast<int>(ErrorCode::kAccessDenied) ? 0 : 3;
            }),
            0);
}

TEST_F(OpenDeviceTest, ReadersOfAFileShareIt) {
  const auto first = OpenDevice("file:" + file_, {.read_only = true});
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(OpenDevice("file:" + file_, {.read_only = true}).ok());
  EXPECT_EQ(CodeOfOpening("file:" + file_, {}), kBusy);
}

TEST_F(OpenDeviceTest, EachMemoryDeviceIsItsOwn) {
  const auto first = OpenDevice("mem:64KiB");
  const auto second = OpenDevice("mem:64KiB");
  ASSERT_TRUE(first.ok() && second.ok());
  const std::string ones(512, '\1');
  ASSERT_TRUE(first.value()->Write(0, ones).ok());
  std::string found(512, 'x');
  ASSERT_TRUE(second.value()->Read(0, found).ok());
  EXPECT_EQ(found, std::string(512, '\0'));
  EXPECT_EQ(first.value()->identity(), "mem:64KiB");
}

TEST_F(OpenDeviceTest, UsesPreadWhenTold) {
  const auto device = OpenDevice("file:" + file_, {.backend = IoBackend::kPread});
  ASSERT_TRUE(device.ok());
  EXPECT_EQ(device.value()->backend(), "pread");
}

// Answers `error_number` to a system call from now on, for this process and for good.
bool Refuse(int system_call, int error_number) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(system_call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error_number)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(OpenDeviceTest, FallsBackToPreadWhereRingsAreRefused) {
  for (int error_number : {EPERM, ENOSYS, EMFILE}) {
    EXPECT_EQ(InAnotherProcess([&] {
                if (!Refuse(SYS_io_uring_setup, error_number)) return 1;
                const auto device = OpenDevice("file:" + file_);
                if (!device || device.value()->backend() != "pread") return 2;
                auto buffer = device.value()->AllocateBuffer(4096).value();
                IoRequest reads[] = {IoRequest::Read(0, buffer.bytes().first(2048)),
                                     IoRequest::Read(2048, buffer.bytes().last(2048))};
                if (!device.value()->Run(reads)) return 3;
                return OpenDevice("file:" + file_,
                                  {.exclusive = false, .backend = IoBackend::kUring})
                               .ok()
                           ? 4
                           : 0;
              }),
              0)
        << strerror(error_number);
  }
}

TEST_F(OpenDeviceTest, GoesOnWithoutRingsThatAreRefusedLater) {
  const auto device = OpenDevice("file:" + file_);
  ASSERT_TRUE(device.ok());
  if (device.value()->backend() != "io_uring") GTEST_SKIP() << "no io_uring here";
  EXPECT_EQ(InAnotherProcess([&] {
              if (!Refuse(SYS_io_uring_setup, ENOMEM)) return 1;
              auto buffer = device.value()->AllocateBuffer(4096).value();
              IoRequest reads[] = {IoRequest::Read(0, buffer.bytes().first(2048)),
                                   IoRequest::Read(2048, buffer.bytes().last(2048))};
              return device.value()->Run(reads).ok() ? 0 : 2;
            }),
            0);
}

// The system's errors arrive, and each call is the one that it has to be: nothing but a call of
// the system makes bytes durable.
TEST_F(OpenDeviceTest, ReportsWhatTheSystemSaysToEachCall) {
  struct Case {
    int system_call;
    int error_number;
    ErrorCode code;
    Status (*run)(BlockDevice& device, DmaBuffer& buffer);
  };
  const auto read = [](BlockDevice& device, DmaBuffer& buffer) {
    return device.Read(0, buffer.bytes());
  };
  const auto write = [](BlockDevice& device, DmaBuffer& buffer) {
    return device.Write(0, buffer.bytes());
  };
  const auto write_through = [](BlockDevice& device, DmaBuffer& buffer) {
    return device.Write(0, buffer.bytes(), Durability::kThrough);
  };
  const auto flush = [](BlockDevice& device, DmaBuffer&) { return device.Flush(); };
  const auto discard = [](BlockDevice& device, DmaBuffer&) { return device.Discard(0, 4096); };
  const Case cases[] = {
      {SYS_pread64, EIO, ErrorCode::kIo, read},
      {SYS_pread64, ENODATA, ErrorCode::kIo, read},
      {SYS_pwrite64, ENOSPC, ErrorCode::kNoSpace, write},
      {SYS_pwrite64, EIO, ErrorCode::kIo, write},
      {SYS_pwritev2, EIO, ErrorCode::kIo, write_through},
      {SYS_fdatasync, EIO, ErrorCode::kIo, flush},
      {SYS_fallocate, EIO, ErrorCode::kIo, discard},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(InAnotherProcess([&] {
                const auto device = OpenDevice("file:" + file_);
                if (!device || !Refuse(each.system_call, each.error_number)) return 1;
                auto buffer = device.value()->AllocateBuffer(4096).value();
                const Status status = each.run(*device.value(), buffer);
                return !status && status.error().code() == each.code ? 0 : 2;
              }),
              0)
        << "system call " << each.system_call << ": " << strerror(each.error_number);
  }
}

TEST_F(OpenDeviceTest, WritesThroughByAFlushWhereThereIsNoOtherWay) {
  for (bool flush_fails : {false, true}) {
    EXPECT_EQ(InAnotherProcess([&] {
                const auto device = OpenDevice("file:" + file_);
                if (!device || !Refuse(SYS_pwritev2, EOPNOTSUPP)) return 1;
                if (flush_fails && !Refuse(SYS_fdatasync, EIO)) return 1;
                auto buffer = device.value()->AllocateBuffer(4096).value();
                const Status status =
                    device.value()->Write(0, buffer.bytes(), Durability::kThrough);
                return status.ok() == flush_fails ? 2 : 0;
              }),
              0);
  }
}

TEST_F(OpenDeviceTest, UsesPreadOnAFileSystemInMemory) {
  struct statfs status = {};
  if (statfs("/dev/shm", &status) != 0 || status.f_type != TMPFS_MAGIC) {
    GTEST_SKIP() << "/dev/shm is no tmpfs";
  }
  const std::string path = "/dev/shm/tifs-block." + std::to_string(getpid());
  std::ofstream(path) << std::string(1 << 16, 'a');
  const auto device = OpenDevice("file:" + path);
  unlink(path.c_str());
  ASSERT_TRUE(device.ok()) << device.error().ToString();
  EXPECT_EQ(device.value()->backend(), "pread");
  auto buffer = device.value()->AllocateBuffer(4096);
  ASSERT_TRUE(buffer.ok());
  ASSERT_TRUE(device.value()->Read(0, buffer.value().bytes()).ok());
  EXPECT_EQ(buffer.value().data()[4095], 'a');
  EXPECT_TRUE(device.value()->Flush().ok());
}

}  // namespace
}  // namespace tifs::block
