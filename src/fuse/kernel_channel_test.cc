#include "fuse/kernel_channel.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <string>

namespace tifs::fuse {
namespace {

template <typename Body>
std::string RawRequest(uint32_t opcode, const Body& body) {
  fuse_in_header header = {};
  header.opcode = opcode;
  header.len = sizeof(header) + sizeof(body);
  std::string raw(reinterpret_cast<const char*>(&header), sizeof(header));
  raw.append(reinterpret_cast<const char*>(&body), sizeof(body));
  return raw;
}

TEST(KernelChannelTest, SeesWhoMayNotKeepPrivileges) {
  fuse_write_in write = {};
  EXPECT_FALSE(ReadFacts(RawRequest(FUSE_WRITE, write)).kill_privileges);
  write.write_flags = FUSE_WRITE_CACHE | FUSE_WRITE_LOCKOWNER;
  EXPECT_FALSE(ReadFacts(RawRequest(FUSE_WRITE, write)).kill_privileges);
  write.write_flags = FUSE_WRITE_KILL_SUIDGID;
  EXPECT_TRUE(ReadFacts(RawRequest(FUSE_WRITE, write)).kill_privileges);

  fuse_setattr_in setattr = {};
  setattr.valid = FATTR_SIZE | FATTR_MODE;
  EXPECT_FALSE(ReadFacts(RawRequest(FUSE_SETATTR, setattr)).kill_privileges);
  setattr.valid |= FATTR_KILL_SUIDGID;
  EXPECT_TRUE(ReadFacts(RawRequest(FUSE_SETATTR, setattr)).kill_privileges);

  fuse_open_in open = {};
  EXPECT_FALSE(ReadFacts(RawRequest(FUSE_OPEN, open)).kill_privileges);
  open.open_flags = FUSE_OPEN_KILL_SUIDGID;
  EXPECT_TRUE(ReadFacts(RawRequest(FUSE_OPEN, open)).kill_privileges);

  fuse_create_in create = {};
  EXPECT_FALSE(ReadFacts(RawRequest(FUSE_CREATE, create)).kill_privileges);
  create.open_flags = FUSE_OPEN_KILL_SUIDGID;
  EXPECT_TRUE(ReadFacts(RawRequest(FUSE_CREATE, create)).kill_privileges);
}

TEST(KernelChannelTest, KnowsWhatMayWaitForADisk) {
  EXPECT_TRUE(ReadFacts(RawRequest(FUSE_FSYNC, fuse_fsync_in{})).may_block);
  EXPECT_TRUE(ReadFacts(RawRequest(FUSE_READ, fuse_read_in{})).may_block);
  EXPECT_FALSE(ReadFacts(RawRequest(FUSE_LOOKUP, 'n')).may_block);
  const std::string small = RawRequest(FUSE_WRITE, fuse_write_in{});
  EXPECT_FALSE(ReadFacts(small).may_block);
  EXPECT_TRUE(ReadFacts(small + std::string(1 << 20, 'x')).may_block);
}

TEST(KernelChannelTest, OtherRequestsAskForNothing) {
  fuse_write_in all_ones;
  std::memset(&all_ones, 0xff, sizeof(all_ones));
  EXPECT_FALSE(ReadFacts(RawRequest(FUSE_READ, all_ones)).kill_privileges);
  EXPECT_FALSE(ReadFacts(RawRequest(FUSE_LOOKUP, all_ones)).kill_privileges);
}

TEST(KernelChannelTest, AShortRequestIsNotReadBeyondItsEnd) {
  fuse_write_in write = {};
  write.write_flags = FUSE_WRITE_KILL_SUIDGID;
  const std::string raw = RawRequest(FUSE_WRITE, write);
  for (size_t size = 0; size < raw.size(); ++size) {
    const std::string cut = raw.substr(0, size);
    EXPECT_FALSE(ReadFacts(cut).kill_privileges) << size;
  }
}

fuse_init_out WithFlags(uint64_t wanted, uint64_t offered) {
  fuse_init_out out = {};
  out.flags = FUSE_ASYNC_READ;
  AddInitFlags({reinterpret_cast<char*>(&out), sizeof(out)}, wanted, offered);
  return out;
}

// Shared mappings with direct I/O (protocol 7.39): one of the second word.
constexpr uint64_t kDirectIoAllowMmap = uint64_t{1} << 36;

TEST(KernelChannelTest, AddsTheFlagsThatTheKernelOffers) {
  const fuse_init_out out = WithFlags(kHandleKillprivV2, ~uint64_t{0});
  EXPECT_EQ(out.flags, FUSE_ASYNC_READ | FUSE_HANDLE_KILLPRIV_V2);
  EXPECT_EQ(out.flags2, 0u);
}

TEST(KernelChannelTest, AddsNoFlagThatTheKernelDoesNotOffer) {
  const fuse_init_out out = WithFlags(kHandleKillprivV2 | kDirectIoAllowMmap, FUSE_ASYNC_READ);
  EXPECT_EQ(out.flags, static_cast<uint32_t>(FUSE_ASYNC_READ));
  EXPECT_EQ(out.flags2, 0u);
}

TEST(KernelChannelTest, HighFlagsGoIntoTheSecondWord) {
  const fuse_init_out out = WithFlags(kDirectIoAllowMmap, ~uint64_t{0});
  EXPECT_EQ(out.flags, FUSE_ASYNC_READ | FUSE_INIT_EXT);
  EXPECT_EQ(out.flags2, 1u << 4);
}

TEST(KernelChannelTest, TheShortAnswerToAnOldKernelStaysAsItIs) {
  char out[24] = {};
  AddInitFlags({out, sizeof(out)}, ~uint64_t{0}, ~uint64_t{0});
  for (const char byte : out) EXPECT_EQ(byte, 0);
}

TEST(KernelChannelTest, NoThreadOfOursIsAWorker) { EXPECT_EQ(ChannelWorker::Current(), nullptr); }

}  // namespace
}  // namespace tifs::fuse
