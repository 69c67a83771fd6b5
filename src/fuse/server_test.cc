#include "fuse/server.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "fuse/mount_table.h"
#include "kv/mem_kv.h"

namespace tifs::fuse {
namespace {

// A real mount of a file system in memory. The suites under tests/ judge POSIX; this one the
// server.
class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tifs-server-XXXXXX").string();
    mountpoint_ = mkdtemp(pattern.data());
  }

  void SetUp() override {
    if (access("/dev/fuse", R_OK | W_OK) != 0 || geteuid() != 0) {
      GTEST_SKIP() << "needs root and /dev/fuse";
    }
    (void)OpenLog({.level = LogLevel::kError});
    ASSERT_TRUE(fs::Format(store_, SystemClock(), {}));
  }

  void TearDown() override {
    if (server_) Finish();
    (void)OpenLog({});
  }
  ~ServerTest() override { std::filesystem::remove_all(mountpoint_); }

  ServerOptions Options() {
    ServerOptions options;
    options.mountpoint = mountpoint_.string();
    options.source = "mem:test";
    options.threads = 4;
    return options;
  }

  // Opens the file system and serves it on a thread.
  void Start(ServerOptions options, const std::string& subdirectory = "/") {
    fs::FileSystemOptions fs_options;
    fs_options.subdirectory = subdirectory;
    fs_options.cache_mode = options.cache_mode;
    auto file_system = fs::FileSystem::Open(store_, SystemClock(), fs_options);
    ASSERT_TRUE(file_system) << file_system.error().ToString();
    file_system_ = std::move(file_system).value();
    auto server = Server::Mount(*file_system_, std::move(options));
    ASSERT_TRUE(server) << server.error().ToString();
    server_ = std::move(server).value();
    serving_ = std::thread([this] { served_ = server_->Serve().ok(); });
  }

  void Finish() {
    server_->Stop();
    Join();
  }
  void Join() {
    serving_.join();
    EXPECT_TRUE(served_);
    server_.reset();
    EXPECT_TRUE(file_system_->Close());
    file_system_.reset();
    EXPECT_FALSE(FindMount(mountpoint_.string()));
  }

  std::string At(const std::string& name) const { return (mountpoint_ / name).string(); }
  void WriteFile(const std::string& name, const std::string& text) {
    const int fd = open(At(name).c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    ASSERT_GE(fd, 0) << strerror(errno);
    EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    close(fd);
  }
  std::string ReadFile(const std::string& name) {
    const int fd = open(At(name).c_str(), O_RDONLY);
    if (fd < 0) return strerror(errno);
    std::string text(4096, '\0');
    text.resize(static_cast<size_t>(std::max<ssize_t>(0, read(fd, text.data(), text.size()))));
    close(fd);
    return text;
  }

  kv::MemKv store_;
  std::filesystem::path mountpoint_;
  std::unique_ptr<fs::FileSystem> file_system_;
  std::unique_ptr<Server> server_;
  std::thread serving_;
  bool served_ = false;
};

TEST_F(ServerTest, ShowsSourceAndTypeInTheMountTable) {
  Start(Options());
  const auto entry = FindMount(mountpoint_.string());
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->type, kMountType);
  EXPECT_EQ(entry->source, "mem:test");
  EXPECT_EQ(entry->id, server_->mount_id());
  EXPECT_FALSE(entry->read_only);
}

TEST_F(ServerTest, KeepsFilesAcrossMounts) {
  Start(Options());
  WriteFile("a", "hello");
  Finish();
  Start(Options());
  EXPECT_EQ(ReadFile("a"), "hello");
}

TEST_F(ServerTest, ServeReturnsAfterAnUnmountFromOutside) {
  Start(Options());
  WriteFile("a", "hello");
  ASSERT_EQ(umount2(mountpoint_.c_str(), 0), 0) << strerror(errno);
  Join();
}

TEST_F(ServerTest, StopDetachesABusyMountAndKeepsWhatWasMapped) {
  Start(Options());
  WriteFile("a", std::string(4096, 'a'));
  const int fd = open(At("a").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  void* mapping = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(mapping, MAP_FAILED);
  std::memset(mapping, 'b', 4096);
  Finish();
  EXPECT_LT(pwrite(fd, "c", 1, 0), 0);  // there is nobody to write it
  munmap(mapping, 4096);
  close(fd);
  Start(Options());
  EXPECT_EQ(ReadFile("a"), std::string(4096, 'b'));
}

TEST_F(ServerTest, AReadOnlyMountRefusesToWrite) {
  Start(Options());
  WriteFile("a", "hello");
  Finish();
  ServerOptions options = Options();
  options.read_only = true;
  Start(options);
  EXPECT_EQ(ReadFile("a"), "hello");
  EXPECT_LT(open(At("b").c_str(), O_CREAT | O_WRONLY, 0644), 0);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(ServerTest, ASubdirectoryIsARootOfItsOwn) {
  Start(Options());
  ASSERT_EQ(mkdir(At("top").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(At("top/sub").c_str(), 0755), 0);
  WriteFile("top/sub/a", "below");
  WriteFile("secret", "above");
  Finish();
  Start(Options(), "/top/sub");
  EXPECT_EQ(ReadFile("a"), "below");
  EXPECT_EQ(ReadFile("../secret"), strerror(ENOENT));
  ASSERT_EQ(mkdir(At("d").c_str(), 0755), 0);
  WriteFile("d/../b", "beside");
  EXPECT_EQ(ReadFile("b"), "beside");
  struct stat root, dotdot;
  ASSERT_EQ(stat(At("").c_str(), &root), 0);
  ASSERT_EQ(stat(At("d/..").c_str(), &dotdot), 0);
  EXPECT_EQ(root.st_ino, dotdot.st_ino);
}

TEST_F(ServerTest, TheUmaskOfTheMountReplacesTheCallers) {
  ServerOptions options = Options();
  options.umask = 0077;
  Start(options);
  WriteFile("a", "");
  struct stat attributes;
  ASSERT_EQ(stat(At("a").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 0777, 0600u);
}

TEST_F(ServerTest, EveryEntryOfALargeDirectoryIsListedOnce) {
  Start(Options());
  std::set<std::string> names = {".", ".."};
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "file-" + std::to_string(i);
    ASSERT_EQ(mknod(At(name).c_str(), S_IFREG | 0644, 0), 0);
    names.insert(name);
  }
  for (int round = 0; round < 2; ++round) {  // from us, then from the kernel's cache
    std::multiset<std::string> listed;
    DIR* directory = opendir(mountpoint_.c_str());
    ASSERT_NE(directory, nullptr);
    while (const dirent* entry = readdir(directory)) listed.insert(entry->d_name);
    closedir(directory);
    EXPECT_EQ(std::set<std::string>(listed.begin(), listed.end()), names);
    EXPECT_EQ(listed.size(), names.size());
  }
}

TEST_F(ServerTest, SetuidGoesWhenAnotherWrites) {
  ServerOptions options = Options();
  options.allow_other = true;
  Start(options);
  WriteFile("a", "x");
  ASSERT_EQ(chmod(At("a").c_str(), 06777), 0);
  const int fd = open(At("a").c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  std::thread writer([fd] {
    // This thread alone becomes another user: the system call, not glibc's wrapper for all threads.
    ASSERT_EQ(syscall(SYS_setresuid, -1, 1000, -1), 0);
    EXPECT_EQ(pwrite(fd, "y", 1, 0), 1);
  });
  writer.join();
  close(fd);
  struct stat attributes;
  ASSERT_EQ(stat(At("a").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 0777u);
}

TEST_F(ServerTest, MountRefusesWhatIsNoDirectory) {
  fs::FileSystemOptions fs_options;
  auto file_system = fs::FileSystem::Open(store_, SystemClock(), fs_options);
  ASSERT_TRUE(file_system);
  ServerOptions options = Options();
  options.mountpoint = At("missing");
  auto missing = Server::Mount(**file_system, options);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
  options.mountpoint = "/dev/null";
  auto device = Server::Mount(**file_system, options);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code(), ErrorCode::kNotDirectory);
}

TEST_F(ServerTest, AMountWhoseProcessHasGoneIsSeenAndDetached) {
  const pid_t child = fork();
  if (child == 0) {
    fs::FileSystemOptions fs_options;
    auto file_system = fs::FileSystem::Open(store_, SystemClock(), fs_options);
    if (!file_system) _exit(1);
    auto server = Server::Mount(**file_system, Options());
    _exit(server ? 0 : 1);  // without unmounting
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(FindMount(mountpoint_.string()));
  EXPECT_TRUE(IsDeadMount(mountpoint_.string()));
  auto resolved = ResolveMountpoint(mountpoint_.string());
  ASSERT_TRUE(resolved) << resolved.error().ToString();
  EXPECT_EQ(resolved.value(), mountpoint_.string());
  EXPECT_TRUE(DetachMount(mountpoint_.string(), Detachment::kLazy));
  EXPECT_FALSE(FindMount(mountpoint_.string()));
  EXPECT_FALSE(IsDeadMount(mountpoint_.string()));
}

}  // namespace
}  // namespace tifs::fuse
