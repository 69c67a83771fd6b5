#include "cli/cluster_owner.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <utility>

#include "base/crc32c.h"
#include "cli/cluster_address.h"
#include "cli/control_socket.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

namespace stdfs = std::filesystem;

// What a process left that failed is asked for soon after its end.
constexpr auto kKeepFailures = std::chrono::minutes(10);

std::string Parent() {
  const std::string runtime = RuntimeDirectory();
  return runtime.empty() ? fmt::format("/tmp/tifs-{}", ::geteuid()) : runtime;
}

// The same for every way to write the addresses of one PD; two clusters whose file systems share a
// name are told apart by them.
std::string Prefix(const Uri& uri) {
  return fmt::format("cluster-{:08x}-{}-", Crc32c(uri.authority), uri.path.substr(1));
}

// Mode 0700, and ours: in a directory that others may write to, they could have made it.
Status MakeParent() {
  const std::string path = Parent();
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrorFromErrno(errno, "run-time directory", path);
  }
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return ErrorFromErrno(errno, "run-time directory", path);
  if (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid()) {
    return Error(ErrorCode::kAccessDenied, "run-time directory", path + ": is not ours");
  }
  return {};
}

void Remove(const std::string& directory) {
  ::unlink((directory + "/" + kOwnerFileName).c_str());
  ::rmdir(directory.c_str());
}

bool IsOld(const stdfs::path& directory) {
  std::error_code error;
  const auto written = stdfs::last_write_time(directory / kOwnerFileName, error);
  return error || stdfs::file_time_type::clock::now() - written > kKeepFailures;
}

}  // namespace

std::string ClusterOwnerDirectory(const Uri& uri, pid_t pid) {
  return fmt::format("{}/{}{}", Parent(), Prefix(uri), pid);
}

Result<std::unique_ptr<ClusterOwner>> ClusterOwner::Claim(const Uri& uri, OwnerRecord record) {
  const std::string directory = ClusterOwnerDirectory(uri, ::getpid());
  Status made = MakeParent();
  if (made && ::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    made = ErrorFromErrno(errno, "run-time directory", directory);
  }
  if (!made) return ExplainedAs(Escaped(directory), std::move(made).error());
  auto owner = StoreOwner::Claim(directory, std::move(record));
  if (!owner) return ExplainedAs(Escaped(directory), std::move(owner).error());
  return std::unique_ptr<ClusterOwner>(new ClusterOwner(directory, *std::move(owner)));
}

ClusterOwner::~ClusterOwner() {
  owner_.reset();
  struct stat left;
  const std::string file = directory_ + "/" + kOwnerFileName;
  // A failure stays for those who wait to hear of it.
  if (::stat(file.c_str(), &left) == 0 && left.st_size > 0) return;
  Remove(directory_);
}

Result<std::vector<OwnerRecord>> ClusterOwnersOf(const Uri& uri) {
  std::vector<OwnerRecord> owners;
  const std::string prefix = Prefix(uri);
  std::error_code error;
  stdfs::directory_iterator entry(Parent(), error);
  for (const stdfs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    // A name may begin with another and go on with digits and a hyphen.
    if (name.find_first_not_of("0123456789", prefix.size()) != std::string::npos) continue;
    Result<std::optional<OwnerRecord>> owner = StoreOwner::Read(entry->path().string());
    if (!owner) return ExplainedAs(Escaped(entry->path().string()), std::move(owner).error());
    if (*owner) {
      owners.push_back(**std::move(owner));
    } else if (IsOld(entry->path())) {
      Remove(entry->path().string());
    }
  }
  return owners;
}

}  // namespace tifs::cli
