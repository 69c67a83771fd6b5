#include "cli/assemble.h"

#include <fmt/format.h>
#include <rocksdb/version.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "block/device_name.h"
#include "cli/cluster_address.h"
#include "cli/cluster_owner.h"
#include "cli/cluster_store.h"
#include "cli/embedded_store.h"
#include "cli/mount_users.h"
#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/store_directory.h"
#include "cli/store_volume.h"
#include "fs/records.h"
#include "fs/session_list.h"
#include "fuse/libfuse.h"
#include "fuse/server.h"

namespace tifs::cli {
namespace {

constexpr std::string_view kRocksScheme = "rocks";

// A format needs room for the store's first files; below that nothing is begun.
constexpr uint64_t kMinFreeBytes = uint64_t{32} << 20;

constexpr std::chrono::nanoseconds kClaimInterval = std::chrono::milliseconds(20);

// Whether what is at the store's path suits `what`.
Status CheckState(const Uri& uri, ClaimFor what, StoreState state) {
  if (state == StoreState::kNewer) {
    return Explained(ErrorCode::kNotSupported, Escaped(uri.path),
                     "the store was made by a newer version", "use that version or a later one");
  }
  if (what == ClaimFor::kUse) {
    if (state == StoreState::kAbsent) return NotFormatted(uri, "no such directory");
    if (state == StoreState::kEmpty) return NotFormatted(uri, "the store is not formatted");
    if (state == StoreState::kForeign) {
      return Explained(ErrorCode::kNotFound, Escaped(uri.path), "not a TiFS store",
                       "check the URI");
    }
  } else if (state == StoreState::kForeign) {
    return Explained(ErrorCode::kExists, Escaped(uri.path),
                     "the directory is not empty and no TiFS store",
                     "choose an empty or new directory");
  }
  return {};
}

Result<StoreState> Inspect(const Uri& uri) {
  Result<StoreState> state = InspectStoreDirectory(uri.path);
  if (!state) {
    const bool not_a_directory = state.error().code() == ErrorCode::kNotDirectory;
    return ExplainedAs(Escaped(uri.path), std::move(state).error(),
                       not_a_directory ? "name a directory" : "run as the store's owner");
  }
  return state;
}

Status CheckFreeSpace(const Uri& uri, const std::string& existing) {
  struct statvfs space;
  if (::statvfs(existing.c_str(), &space) != 0) return {};
  const uint64_t free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
  if (free_bytes >= kMinFreeBytes) return {};
  return Explained(ErrorCode::kNoSpace, Escaped(uri.path),
                   fmt::format("only {} free on the disk", FormatSize(free_bytes)),
                   fmt::format("free at least {}", FormatSize(kMinFreeBytes)));
}

// Makes the directory for a format, if it is not there.
Status MakePlace(const Uri& uri, StoreState state) {
  const std::string parent = std::filesystem::path(uri.path).parent_path().string();
  if (state == StoreState::kAbsent && ::access(parent.c_str(), F_OK) != 0) {
    return Explained(ErrorCode::kNotFound, Escaped(uri.path),
                     fmt::format("its parent directory {} does not exist", Escaped(parent)),
                     fmt::format("create it with 'mkdir -p {}'", ShellQuoted(parent)));
  }
  TRY(CheckFreeSpace(uri, state == StoreState::kAbsent ? parent : uri.path));
  if (Status status = CreateStoreDirectory(uri.path); !status) {
    return ExplainedAs(Escaped(uri.path), std::move(status).error());
  }
  return {};
}

// Whether the mount that `owner` speaks of is there.
bool IsMounted(const OwnerRecord& owner, const Uri& uri) {
  const auto mount = fuse::FindMount(owner.mount_point);
  if (!mount) return false;
  const auto source = ParseStoreUri(mount->source);
  return source && IsSameStore(*source, uri);
}

// Whether it is worth waiting for `owner` to let go of the store.
bool EndsSoon(const OwnerRecord& owner, const Uri& uri) {
  if (owner.activity == "mount") return !IsMounted(owner, uri);
  // No activity yet: it has just begun to write its record.
  return owner.activity.empty() || owner.activity == "info";
}

Result<std::unique_ptr<StoreOwner>> ClaimDirectory(const Uri& uri, const OwnerRecord& record,
                                                   std::chrono::nanoseconds patience) {
  Clock& clock = SystemClock();
  const auto deadline = clock.Monotonic() + patience;
  while (true) {
    Result<std::unique_ptr<StoreOwner>> owner = StoreOwner::Claim(uri.path, record);
    if (owner) return owner;
    if (owner.error().code() != ErrorCode::kBusy) {
      return ExplainedAs(Escaped(uri.path), std::move(owner).error(), "run as the store's owner");
    }
    Result<std::optional<OwnerRecord>> holder = StoreOwner::Read(uri.path);
    if (!holder) return ExplainedAs(Escaped(uri.path), std::move(holder).error());
    const bool late = clock.Monotonic() >= deadline;
    // Nobody: it was let go just now.
    if (*holder && (late || !EndsSoon(**holder, uri))) return InUse(uri, **holder);
    if (late) return InUse(uri, OwnerRecord());
    clock.SleepFor(kClaimInterval);
  }
}

}  // namespace

Result<Uri> ParseStoreUri(std::string_view text) {
  Uri uri = TRY(ParseUri(text));
  const auto bad = [text](std::string_view why, std::string_view way_out) {
    return Explained(ErrorCode::kInvalid, Escaped(text), why, way_out);
  };
  if (IsCluster(uri)) return CanonicalClusterUri(std::move(uri));
  if (uri.scheme != kRocksScheme) {
    return bad(fmt::format("there is no store of the kind '{}'", uri.scheme),
               "write 'rocks:///absolute/directory' or 'tikv://HOST:2379/NAME'");
  }
  if (!uri.authority.empty()) {
    return bad("the path must be absolute",
               fmt::format("write 'rocks:///{}{}'", Escaped(uri.authority), Escaped(uri.path)));
  }
  if (uri.path.empty() || uri.path == "/") {
    return bad("it names no directory", "write 'rocks:///absolute/directory'");
  }
  auto volume = ParseVolumeQuery(uri.query);
  if (!volume) return Explained(ErrorCode::kInvalid, Escaped(text), volume.error().detail());
  uri.query = *volume ? (*volume)->ToQuery() : "";
  return uri;
}

namespace {

// Of several processes that have a file system of a cluster: a mount can be asked.
bool IsBetterOwner(const OwnerRecord& owner, const std::optional<OwnerRecord>& found) {
  return !found || (owner.activity == "mount" && found->activity != "mount");
}

}  // namespace

Error InUse(const Uri& uri, const OwnerRecord& owner) {
  if (owner.activity == "mount") {
    return Explained(ErrorCode::kBusy, Escaped(uri.Subject()),
                     fmt::format("mounted by pid {} at {}", owner.pid, Escaped(owner.mount_point)),
                     fmt::format("run 'tifs umount {}' first", ShellQuoted(owner.mount_point)));
  }
  if (owner.pid == 0) {
    return Explained(ErrorCode::kBusy, Escaped(uri.Subject()), "in use by another process",
                     "try again");
  }
  return Explained(ErrorCode::kBusy, Escaped(uri.Subject()),
                   fmt::format("in use by 'tifs {}', pid {}", Escaped(owner.activity), owner.pid),
                   "wait until it is done");
}

Result<std::optional<OwnerRecord>> OwnerOf(const Uri& uri, const std::string& mount_point) {
  if (IsCluster(uri)) {
    std::optional<OwnerRecord> found;
    for (OwnerRecord& owner : TRY(ClusterOwnersOf(uri))) {
      if (mount_point.empty() ? IsBetterOwner(owner, found) : owner.mount_point == mount_point) {
        found = std::move(owner);
      }
    }
    return found;
  }
  Result<std::optional<OwnerRecord>> owner = StoreOwner::Read(uri.path);
  if (!owner)
    return ExplainedAs(Escaped(uri.path), std::move(owner).error(), "run as the store's owner");
  return owner;
}

bool IsSameStore(const Uri& a, const Uri& b) {
  return a.scheme == b.scheme && a.authority == b.authority && a.path == b.path;
}

std::string LocalDirectoryOf(const Uri& uri) { return IsCluster(uri) ? "" : uri.path; }

std::optional<OwnerFailure> FailureOf(const Uri& uri, pid_t pid) {
  return StoreOwner::FailureOf(IsCluster(uri) ? ClusterOwnerDirectory(uri, pid) : uri.path, pid);
}

std::string LocalVolumeFileOf(const Uri& uri) {
  if (IsCluster(uri)) return "";
  const auto volume = ParseVolumeQuery(uri.query);
  if (!volume || !*volume) return "";
  const auto device = block::ParseDeviceName((*volume)->device);
  return device && device->kind == block::DeviceKind::kFile ? device->path : "";
}

namespace {

// Of those who share a file system in a cluster each is a session, and none has it for itself.
Result<std::unique_ptr<ClaimedStore>> ClaimCluster(const Uri& uri, OwnerRecord record) {
  ClusterAddress address = TRY(ParseClusterAddress(uri));
  auto owner = TRY(ClusterOwner::Claim(uri, std::move(record)));
  return std::unique_ptr<ClaimedStore>(
      std::make_unique<ClusterStore>(uri, std::move(address), std::move(owner)));
}

}  // namespace

Result<std::unique_ptr<ClaimedStore>> ClaimStore(const Uri& uri, ClaimFor what, OwnerRecord record,
                                                 std::chrono::nanoseconds patience) {
  if (IsCluster(uri)) return ClaimCluster(uri, std::move(record));
  const StoreState before = TRY(Inspect(uri));
  TRY(CheckState(uri, what, before));
  if (what == ClaimFor::kFormat) TRY(MakePlace(uri, before));
  std::unique_ptr<StoreOwner> owner = TRY(ClaimDirectory(uri, record, patience));
  // Another may have formatted it or filled it in the meantime.
  const StoreState found = TRY(Inspect(uri));
  TRY(CheckState(uri, what, found));
  if (what == ClaimFor::kFormat && found != StoreState::kOurs) {
    if (Status status = MarkStoreDirectory(uri.path, kPlainLayout); !status) {
      return ExplainedAs(Escaped(uri.path), std::move(status).error());
    }
  } else if (Result<bool> tightened = TightenStoreDirectory(uri.path); tightened && *tightened) {
    LogWarning("{}: others had rights on the store's directory, which is 0700 again",
               Escaped(uri.path));
  }
  auto volume = TRY(ParseVolumeQuery(uri.query));
  return std::unique_ptr<ClaimedStore>(std::make_unique<EmbeddedStore>(
      uri, std::move(volume), std::move(owner), before == StoreState::kAbsent));
}

std::string HostName() {
  char name[256] = "";
  (void)::gethostname(name, sizeof(name) - 1);
  return name;
}

Result<fs::CheckReport> CheckStore(ClaimedStore& store, fs::CheckOptions options) {
  if (TRY(fs::UsesExtents(store.store()))) options.data_file_bytes = TRY(store.DataFileBytes());
  std::unique_ptr<fs::ExclusiveSession> alone;
  if (options.repair && store.store().Ahead(0, {})) {
    fs::SessionRecord record;
    record.pid = static_cast<uint32_t>(::getpid());
    record.host = HostName();
    record.joined = SystemClock().RealTime();
    auto begun = fs::ExclusiveSession::Begin(store.store(), SystemClock(), std::move(record));
    if (!begun && begun.error().code() == ErrorCode::kBusy) {
      return Error(ErrorCode::kBusy, "check", std::string(begun.error().detail()));
    }
    alone = TRY(std::move(begun));
  }
  return fs::Check(store.store(), SystemClock(), options);
}

namespace {

Result<std::unique_ptr<fs::FileSystem>> OpenFileSystem(ClaimedStore& store, const Uri& uri,
                                                       const fs::FileSystemOptions& options) {
  auto file_system = [&]() -> Result<std::unique_ptr<fs::FileSystem>> {
    if (!TRY(fs::UsesExtents(store.store()))) {
      return fs::FileSystem::Open(store.store(), SystemClock(), options);
    }
    auto blocks = TRY(store.OpenBlocks(options.read_only));
    return fs::FileSystem::Open(store.store(), SystemClock(), options, std::move(blocks));
  }();
  if (file_system) return file_system;
  const Error& error = file_system.error();
  if (error.code() == ErrorCode::kNotFound && options.subdirectory != "/") {
    return Explained(error.code(), Escaped(uri.Subject()),
                     fmt::format("subdir={}: there is no such directory in the file system",
                                 Escaped(options.subdirectory)));
  }
  if (error.code() == ErrorCode::kNotDirectory && options.subdirectory != "/") {
    return Explained(error.code(), Escaped(uri.Subject()),
                     fmt::format("subdir={}: is not a directory", Escaped(options.subdirectory)));
  }
  if (error.code() == ErrorCode::kReadOnly) {
    return Explained(error.code(), Escaped(uri.Subject()),
                     "written by a newer version, and only to be read by this one",
                     "mount it with '-o ro', or use that version or a later one");
  }
  if (error.code() == ErrorCode::kNotFound) {
    return NotFormatted(uri, "the store is not formatted");
  }
  if (error.code() == ErrorCode::kBusy) {
    return Explained(error.code(), Escaped(uri.Subject()),
                     fmt::format("it is being repaired or formatted ({})", Escaped(error.detail())),
                     fmt::format("see 'tifs sessions {}'", ShellQuoted(uri.ToString())));
  }
  if (error.code() == ErrorCode::kNotSupported) {
    return Explained(error.code(), Escaped(uri.Subject()),
                     fmt::format("written by a newer version ({})", Escaped(error.detail())),
                     "use that version or a later one");
  }
  return ExplainedAs(Escaped(uri.Subject()), std::move(file_system).error(),
                     fmt::format("run 'tifs fsck {}'", ShellQuoted(uri.ToString())));
}

Error ExplainMountError(const Error& error, const std::string& mount_point) {
  if (error.code() == ErrorCode::kAccessDenied && error.detail().starts_with("/dev/fuse")) {
    return Explained(error.code(), mount_point,
                     fmt::format("the mount is not permitted ({})", Escaped(error.detail())),
                     "mount as root, or have root allow the device with 'chmod 666 /dev/fuse'");
  }
  switch (error.code()) {
    case ErrorCode::kNotSupported:
      return Explained(error.code(), mount_point,
                       fmt::format("FUSE is not there ({})", Escaped(error.detail())),
                       "load the kernel module with 'modprobe fuse'");
    case ErrorCode::kNotPermitted:
    case ErrorCode::kAccessDenied:
      return Explained(error.code(), mount_point,
                       fmt::format("the mount is not permitted ({})", Escaped(error.detail())),
                       "mount as root, or at a directory of your own with fusermount3 installed; "
                       "'allow_other' needs 'user_allow_other' in /etc/fuse.conf");
    default: return Explained(error.code(), mount_point, Escaped(error.ToString()));
  }
}

// A store that others may mount as well lets the kernel keep nothing.
fs::CacheMode CacheModeOf(const Uri& uri) {
  return IsCluster(uri) ? fs::CacheMode::kStrict : fs::CacheMode::kExclusive;
}

// Of a file system in a cluster this process is one of many that have it.
void Share(const Uri& uri, const std::string& mount_point, fs::FileSystemOptions& options) {
  options.shared = IsCluster(uri);
  options.session.host = HostName();
  options.session.mount_point = mount_point;
}

fs::FileSystemOptions FileSystemOptionsOf(const MountOptions& options, const Uri& uri,
                                          const std::string& mount_point) {
  fs::FileSystemOptions result;
  result.cache_mode = CacheModeOf(uri);
  Share(uri, mount_point, result);
  // The store itself can be written, so that `remount,rw` can do its work.
  result.read_only = false;
  result.sync = options.sync;
  result.subdirectory = options.subdirectory;
  result.caller_forgets = true;
  // Else the kernel does (default_permissions).
  result.check_permissions = result.cache_mode == fs::CacheMode::kStrict;
  switch (options.atime) {
    case MountOptions::Atime::kRelatime: result.atime_mode = fs::AtimeMode::kRelatime; break;
    case MountOptions::Atime::kNoatime: result.atime_mode = fs::AtimeMode::kNoatime; break;
    case MountOptions::Atime::kStrictatime: result.atime_mode = fs::AtimeMode::kStrictatime; break;
  }
  return result;
}

fuse::ServerOptions ServerOptionsOf(const MountOptions& options, const Uri& uri,
                                    const std::string& mount_point) {
  fuse::ServerOptions result;
  result.mountpoint = mount_point;
  result.source = uri.ToString();
  result.cache_mode = CacheModeOf(uri);
  result.read_only = options.read_only;
  result.allow_other = options.allow_other.value_or(::geteuid() == 0);
  result.default_permissions = result.cache_mode == fs::CacheMode::kExclusive;
  result.suid = options.suid;
  result.dev = options.dev;
  result.exec = options.exec;
  result.noatime = options.atime == MountOptions::Atime::kNoatime;
  result.umask = options.umask;
  if (options.threads != 0) result.threads = options.threads;
  result.limit_cpu_latency = options.pm_qos;
  return result;
}

class ServedMount : public MountedFileSystem {
 public:
  ServedMount(std::unique_ptr<ClaimedStore> store, std::unique_ptr<fs::FileSystem> file_system,
              std::unique_ptr<fuse::Server> server)
      : store_(std::move(store)),
        file_system_(std::move(file_system)),
        server_(std::move(server)) {}

  fs::FileSystem& file_system() override { return *file_system_; }
  ClaimedStore& claimed_store() override { return *store_; }
  Status Serve() override { return server_->Serve(); }
  void Stop() override { server_->Stop(); }
  Status Close() override {
    server_.reset();
    Status status = file_system_->Close();
    file_system_.reset();
    store_->Close();
    return status;
  }

 private:
  // In the order of their making; each outlives those below it.
  const std::unique_ptr<ClaimedStore> store_;
  std::unique_ptr<fs::FileSystem> file_system_;
  std::unique_ptr<fuse::Server> server_;
};

}  // namespace

Result<std::unique_ptr<MountedFileSystem>> MountFileSystem(std::unique_ptr<ClaimedStore> store,
                                                           const Uri& uri,
                                                           const std::string& mount_point,
                                                           const MountOptions& options) {
  fs::FileSystemOptions file_system_options = FileSystemOptionsOf(options, uri, mount_point);
  Status store_opened = store->Open(ClaimedStore::Mode::kWrite, options.memory_bytes);
  if (!store_opened && options.read_only && store_opened.error().code() == ErrorCode::kReadOnly) {
    file_system_options.read_only = true;
    store_opened = store->Open(ClaimedStore::Mode::kRead, options.memory_bytes);
  }
  TRY(std::move(store_opened));
  auto opened = OpenFileSystem(*store, uri, file_system_options);
  if (!opened && options.read_only && opened.error().code() == ErrorCode::kReadOnly) {
    // Features that an older release may read and not write.
    file_system_options.read_only = true;
    opened = OpenFileSystem(*store, uri, file_system_options);
  }
  std::unique_ptr<fs::FileSystem> file_system = TRY(std::move(opened));
  if (options.read_only && !file_system_options.read_only) {
    if (Status status = file_system->SetReadOnly(true); !status) {
      return ExplainedAs(Escaped(uri.Subject()), std::move(status).error());
    }
  }
  fuse::RouteLibfuseLog();
  auto server = fuse::Server::Mount(*file_system, ServerOptionsOf(options, uri, mount_point));
  if (!server) return ExplainMountError(server.error(), mount_point);
  return std::unique_ptr<MountedFileSystem>(
      std::make_unique<ServedMount>(std::move(store), std::move(file_system), *std::move(server)));
}

Result<std::unique_ptr<fs::FileSystem>> OpenUnmounted(ClaimedStore& store, const Uri& uri,
                                                      bool read_only) {
  fs::FileSystemOptions options;
  options.cache_mode = CacheModeOf(uri);
  Share(uri, "", options);
  options.read_only = read_only;
  options.background_thread = false;
  return OpenFileSystem(store, uri, options);
}

Versions OurVersions() {
  return {.tifs = TIFS_VERSION,
          .rocksdb = fmt::format("{}.{}.{}", ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH),
          .libfuse = ::fuse_pkgversion(),
          .format = fs::MetaRecord::kFormatVersion};
}

std::string VersionText() {
  const Versions versions = OurVersions();
  return fmt::format("tifs {}\nRocksDB {}\nlibfuse {}\nformats read: {}", versions.tifs,
                     versions.rocksdb, versions.libfuse, versions.format);
}

}  // namespace tifs::cli
