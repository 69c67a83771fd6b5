#include "fuse/directory_page.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <string>
#include <vector>

namespace tifs::fuse {
namespace {

constexpr NodeMap kNodes = {fs::InodeNumber{500}};

struct Read {
  std::string name;
  uint64_t inode, offset, node;
  uint32_t type;
};

// Reads a page as the kernel does.
std::vector<Read> ReadBack(std::span<const char> bytes, bool plus) {
  std::vector<Read> entries;
  size_t at = 0;
  while (at < bytes.size()) {
    Read read = {};
    if (plus) {
      fuse_entry_out entry;
      std::memcpy(&entry, &bytes[at], sizeof(entry));
      read.node = entry.nodeid;
    }
    const size_t head = plus ? sizeof(fuse_entry_out) : 0;
    fuse_dirent dirent;
    std::memcpy(&dirent, &bytes[at + head], FUSE_NAME_OFFSET);
    read.name.assign(&bytes[at + head + FUSE_NAME_OFFSET], dirent.namelen);
    read.inode = dirent.ino;
    read.offset = dirent.off;
    read.type = dirent.type;
    entries.push_back(read);
    at += FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + dirent.namelen);
  }
  EXPECT_EQ(at, bytes.size());
  return entries;
}

fs::DirectoryEntry File(std::string_view name, uint64_t inode, uint64_t cookie) {
  return {.name = name, .inode = {inode}, .type_mode = S_IFREG, .cookie = cookie};
}

TEST(DirectoryPageTest, KeepsNamesInodesTypesAndCookies) {
  std::vector<char> room(4096);
  DirectoryPage page(kNodes, room, false);
  const std::string any_bytes = "\x01\xff \n";
  EXPECT_TRUE(page.Add({.name = ".", .inode = {500}, .type_mode = S_IFDIR, .cookie = 1}));
  EXPECT_TRUE(page.Add(File(any_bytes, 77, 0x7fffffffffffffff)));
  const auto read = ReadBack(page.bytes(), false);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].name, ".");
  EXPECT_EQ(read[0].type, static_cast<uint32_t>(DT_DIR));
  EXPECT_EQ(read[1].name, any_bytes);
  EXPECT_EQ(read[1].inode, 77u);
  EXPECT_EQ(read[1].offset, 0x7fffffffffffffffu);
  EXPECT_EQ(read[1].type, static_cast<uint32_t>(DT_REG));
}

TEST(DirectoryPageTest, ANameOf255BytesFits) {
  std::vector<char> room(4096);
  DirectoryPage page(kNodes, room, false);
  const std::string name(255, 'x');
  ASSERT_TRUE(page.Add(File(name, 2, 3)));
  EXPECT_EQ(ReadBack(page.bytes(), false)[0].name, name);
}

TEST(DirectoryPageTest, EndsBeforeAnEntryThatDoesNotFit) {
  for (const bool plus : {false, true}) {
    for (size_t size = 0; size < 700; ++size) {
      std::vector<char> room(size + 16, '\x5a');
      DirectoryPage page(kNodes, std::span(room).first(size), plus);
      uint64_t cookie = 0;
      while (page.Add(File("some-name", 9, cookie + 1))) ++cookie;
      EXPECT_LE(page.bytes().size(), size);
      EXPECT_LE(cookie, page.max_entries());
      EXPECT_EQ(ReadBack(page.bytes(), plus).size(), cookie);
      for (size_t i = size; i < room.size(); ++i) ASSERT_EQ(room[i], '\x5a') << size;
    }
  }
}

TEST(DirectoryPageTest, AttributesComeWithAnEntryThatHasThem) {
  std::vector<char> room(4096);
  DirectoryPage page(kNodes, room, true);
  fs::Entry entry;
  entry.attributes.inode = {77};
  entry.attributes.mode = S_IFREG | 0644;
  fs::DirectoryEntry listed = File("a", 77, 1);
  listed.entry = &entry;
  EXPECT_TRUE(page.Add(listed));
  EXPECT_TRUE(page.Add(File("b", 78, 2)));
  const auto read = ReadBack(page.bytes(), true);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].node, 77u);
  EXPECT_EQ(read[0].type, static_cast<uint32_t>(DT_REG));
  EXPECT_EQ(read[1].node, 0u);
  EXPECT_EQ(read[1].inode, 78u);
}

TEST(DirectoryPageTest, TheDotsAreNamesOnly) {
  std::vector<char> room(4096);
  DirectoryPage page(kNodes, room, true);
  fs::Entry entry;
  entry.attributes.inode = {500};
  entry.attributes.mode = S_IFDIR | 0755;
  fs::DirectoryEntry dots = {.name = "..", .inode = {500}, .type_mode = S_IFDIR, .cookie = 2};
  dots.entry = &entry;
  EXPECT_TRUE(page.Add(dots));
  EXPECT_EQ(ReadBack(page.bytes(), true)[0].node, 0u);
}

TEST(NodeMapTest, TheKernelsRootIsOurs) {
  EXPECT_EQ(kNodes.ToInode(1), fs::InodeNumber{500});
  EXPECT_EQ(kNodes.ToNode(fs::InodeNumber{500}), 1u);
  EXPECT_EQ(kNodes.ToInode(77), fs::InodeNumber{77});
  EXPECT_EQ(kNodes.ToNode(fs::InodeNumber{77}), 77u);
  constexpr NodeMap kWhole = {fs::kRootInode};
  EXPECT_EQ(kWhole.ToInode(1), fs::kRootInode);
  EXPECT_EQ(kWhole.ToNode(fs::kRootInode), 1u);
}

}  // namespace
}  // namespace tifs::fuse
