#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"
#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/control_socket.h"
#include "cli/daemonize.h"
#include "cli/mount_options.h"
#include "cli/mount_process.h"
#include "cli/mount_users.h"
#include "cli/output.h"
#include "fuse/mount_table.h"

namespace tifs::cli {
namespace {

// Exit codes of mount(8).
constexpr int kMountUsage = 1;
constexpr int kMountFailed = 32;

// More dead mounts than these upon one another are no accident of ours.
constexpr int kMaxDeadMounts = 16;

struct MountCodes {
  int usage;
  int failed;
};
constexpr MountCodes kOurCodes = {kExitUsage, kExitFailed};
constexpr MountCodes kMountCodes = {kMountUsage, kMountFailed};

struct MountArguments {
  std::string uri;
  std::string directory;
  std::vector<std::string> options;
  bool read_only = false;
  bool foreground = false;
  bool check_only = false;  // of the command line
};

// Detaches what processes that died have left at the mount point.
Status DetachDead(const std::string& mount_point) {
  for (int i = 0; i < kMaxDeadMounts; ++i) {
    const auto mount = fuse::FindMount(mount_point);
    if (!mount || mount->type != fuse::kMountType || !fuse::IsDeadMount(mount_point)) return {};
    if (Status status = fuse::DetachMount(mount_point, fuse::Detachment::kLazy); !status) {
      return Explained(status.error().code(), Escaped(mount_point),
                       "a dead mount is there and could not be detached",
                       fmt::format("run 'umount -l {}' as root", ShellQuoted(mount_point)));
    }
    PrintWarning(
        fmt::format("{}: detached the mount of a process that died", Escaped(mount_point)));
  }
  return {};
}

Result<std::string> PrepareMountPoint(const std::string& directory) {
  const std::string what = Escaped(directory);
  Result<std::string> mount_point = fuse::ResolveMountpoint(directory);
  if (!mount_point) {
    if (mount_point.error().code() == ErrorCode::kNotFound) {
      return Explained(ErrorCode::kNotFound, what, "the mount point does not exist",
                       fmt::format("create it with 'mkdir {}'", ShellQuoted(directory)));
    }
    return ExplainedPlainly(what, mount_point.error(), "name an existing directory");
  }
  TRY(DetachDead(*mount_point));
  struct stat status;
  if (::stat(mount_point->c_str(), &status) != 0) {
    return ExplainedPlainly(what, ErrorFromErrno(errno, "mount point"));
  }
  if (!S_ISDIR(status.st_mode)) {
    return Explained(ErrorCode::kNotDirectory, what, "the mount point is not a directory",
                     "name a directory");
  }
  if (const auto mount = fuse::FindMount(*mount_point)) {
    return Explained(
        ErrorCode::kBusy, what,
        fmt::format("the mount point is busy: {} is mounted there", Escaped(mount->source)),
        fmt::format("run '{} {}' first, or choose another directory",
                    mount->type == fuse::kMountType ? "tifs umount" : "umount",
                    ShellQuoted(*mount_point)));
  }
  return mount_point;
}

// A store or a log under its own mount would wait for itself for ever.
Status CheckNesting(const MountRequest& request) {
  std::error_code error;
  const std::string store =
      std::filesystem::weakly_canonical(LocalDirectoryOf(request.uri), error).string();
  if (!error && !store.empty() &&
      (IsWithin(store, request.mount_point) || IsWithin(request.mount_point, store))) {
    return Explained(ErrorCode::kInvalid, Escaped(request.mount_point),
                     "the store and the mount point lie within one another",
                     "mount at a directory outside of the store");
  }
  const std::string volume =
      std::filesystem::weakly_canonical(LocalVolumeFileOf(request.uri), error).string();
  if (!error && IsWithin(volume, request.mount_point)) {
    return Explained(ErrorCode::kInvalid, Escaped(request.mount_point),
                     "the store's volume would lie on the mount itself",
                     "mount at a directory outside of it");
  }
  const std::string& log = request.options.log_file;
  if (log.empty()) return {};
  const std::string log_file = std::filesystem::weakly_canonical(log, error).string();
  if (!error && IsWithin(log_file, request.mount_point)) {
    return Explained(ErrorCode::kInvalid, fmt::format("log={}", Escaped(log)),
                     "the log would lie on the mount itself", "put it elsewhere");
  }
  return {};
}

// The kernel's half of a remount: `mount_point` keeps its other flags.
Status RemountInKernel(const std::string& mount_point, bool read_only) {
  struct statvfs now;
  if (::statvfs(mount_point.c_str(), &now) != 0) return ErrorFromErrno(errno, "remount");
  unsigned long flags = MS_REMOUNT;
  if (read_only) flags |= MS_RDONLY;
  if ((now.f_flag & ST_NOSUID) != 0) flags |= MS_NOSUID;
  if ((now.f_flag & ST_NODEV) != 0) flags |= MS_NODEV;
  if ((now.f_flag & ST_NOEXEC) != 0) flags |= MS_NOEXEC;
  if ((now.f_flag & ST_NOATIME) != 0) flags |= MS_NOATIME;
  if ((now.f_flag & ST_NODIRATIME) != 0) flags |= MS_NODIRATIME;
  if ((now.f_flag & ST_RELATIME) != 0) flags |= MS_RELATIME;
  if (::mount(nullptr, mount_point.c_str(), nullptr, flags, nullptr) != 0) {
    return ErrorFromErrno(errno, "remount");
  }
  return {};
}

Status AskForRemount(const Uri& uri, const std::string& mount_point, const Json& request) {
  const std::string what = Escaped(mount_point);
  const std::optional<OwnerRecord> owner = TRY(OwnerOf(uri, mount_point));
  if (!owner) return Explained(ErrorCode::kUnavailable, what, "the mount's process is gone");
  Result<Json> answer = AskMount(owner->socket, request);
  if (!answer) return ExplainedAs(what, std::move(answer).error());
  return {};
}

Status AskToRemount(const Uri& uri, const std::string& mount_point, bool read_only) {
  return AskForRemount(uri, mount_point, {{"request", "remount"}, {"read_only", read_only}});
}

Status Remount(const MountArguments& arguments, const MountOptions& options) {
  const std::string what = Escaped(arguments.directory);
  Result<std::string> resolved = fuse::ResolveMountpoint(arguments.directory);
  if (!resolved) return ExplainedPlainly(what, resolved.error(), "name a mount point");
  const std::string mount_point = *std::move(resolved);
  const auto mount = fuse::FindMount(mount_point);
  if (!mount || mount->type != fuse::kMountType) {
    return Explained(ErrorCode::kInvalid, what, "no TiFS is mounted there", "leave out 'remount'");
  }
  const Uri uri = TRY(ParseStoreUri(mount->source));
  if (const Uri named = TRY(ParseStoreUri(arguments.uri)); named.ToString() != uri.ToString()) {
    return Explained(ErrorCode::kInvalid, what,
                     fmt::format("{} is mounted there, not {}", uri.ToString(), named.ToString()),
                     "name what is mounted, or unmount it first");
  }
  TRY(AskForRemount(uri, mount_point,
                    {{"request", "check_remount"}, {"options", arguments.options}}));
  if (!options.read_only_given) return {};
  const bool read_only = options.read_only;
  // Nobody may write through the kernel what the file system refuses.
  if (!read_only) TRY(AskToRemount(uri, mount_point, false));
  if (Status status = RemountInKernel(mount_point, read_only); !status) {
    if (!read_only) (void)AskToRemount(uri, mount_point, true);
    const bool busy = status.error().code() == ErrorCode::kBusy;
    return ExplainedAs(what, std::move(status).error(),
                       busy ? "close the files that are open for writing first" : "run as root");
  }
  if (read_only) TRY(AskToRemount(uri, mount_point, true));
  return {};
}

// What the command line says, before anything is looked at.
Result<MountRequest> RequestOf(const MountArguments& arguments) {
  MountRequest request;
  for (const std::string& text : arguments.options) TRY(ParseMountOptions(text, request.options));
  if (arguments.read_only) request.options.read_only = request.options.read_only_given = true;
  request.uri = TRY(ParseStoreUri(arguments.uri));
  return request;
}

int Mount(const MountArguments& arguments, MountCodes codes) {
  Result<MountRequest> parsed = RequestOf(arguments);
  if (!parsed) {
    PrintError(parsed.error());
    return codes.usage;
  }
  MountRequest request = *std::move(parsed);
  const auto failed = [&codes](const Error& error) {
    PrintError(error);
    return codes.failed;
  };
  if (arguments.check_only) return kExitDone;
  if (request.options.remount) {
    Status status = Remount(arguments, request.options);
    return status ? kExitDone
                  : failed(ExplainedAs(Escaped(arguments.directory), std::move(status).error()));
  }
  Result<std::string> mount_point = PrepareMountPoint(arguments.directory);
  if (!mount_point) return failed(mount_point.error());
  request.mount_point = *std::move(mount_point);
  if (Status status = CheckNesting(request); !status) return failed(status.error());

  std::optional<Detachment> detachment;
  if (!arguments.foreground) {
    Result<Detachment> detached = Detachment::Detach(codes.failed);
    if (!detached) return failed(detached.error());
    detachment.emplace(*std::move(detached));
  }
  return RunMountProcess(request, std::move(detachment), codes.failed);
}

constexpr char kMountFooter[] =
    "Options (-o, separated by commas): ro, rw, remount, subdir=/P, relatime, noatime,\n"
    "strictatime, umask=OCTAL, allow_other, noallow_other, suid, dev, noexec, sync,\n"
    "memory=SIZE, threads=N, pm_qos, nopm_qos, log=FILE, log_level=LEVEL, metrics=ADDR:PORT.\n"
    "See 'man tifs-mount'.";

}  // namespace

void AddMountCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<MountArguments>();
  CLI::App* command = app.add_subcommand("mount", "Mount a file system; returns once it serves");
  command->add_option("URI", arguments->uri, "The store, e.g. rocks:///srv/data")->required();
  command->add_option("DIR", arguments->directory, "The mount point, a directory")->required();
  command->add_option("-o,--options", arguments->options, "Mount options")
      ->type_name("OPTS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("-r,--read-only", arguments->read_only, "The same as -o ro");
  command->add_flag("-f,--foreground", arguments->foreground,
                    "Serve in this process, and log to stderr");
  command->footer(kMountFooter);
  command->callback([arguments, &exit_code] { exit_code = Mount(*arguments, kOurCodes); });
}

// As mount(8) calls it: SOURCE DIR [-sfnv] [-N namespace] [-o options] [-t type].
int RunMountHelper(const std::vector<std::string>& words) {
  MountArguments arguments;
  std::vector<std::string> positional;
  const auto usage = [](std::string_view why) {
    PrintError(Explained(ErrorCode::kInvalid, "mount.tifs", why,
                         "usage: mount.tifs URI DIR [-sfnvr] [-o OPTIONS] [-t TYPE]"));
    return kMountUsage;
  };
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "-o" || word == "-t" || word == "-N") {
      if (i + 1 == words.size()) return usage(fmt::format("'{}' needs a value", word));
      ++i;
      if (word == "-o") arguments.options.push_back(words[i]);
    } else if (word == "--help" || word == "-h") {
      return PrintText("usage: mount.tifs URI DIR [-sfnvr] [-o OPTIONS] [-t TYPE]\n") ? 0 : 1;
    } else if (word == "--version" || word == "-V") {
      return PrintText(VersionText() + "\n") ? 0 : 1;
    } else if (word.size() > 1 && word[0] == '-') {
      for (char letter : word.substr(1)) {
        if (std::string_view("sfnvrw").find(letter) == std::string_view::npos) {
          return usage(fmt::format("there is no option '{}'", Escaped(word)));
        }
        arguments.check_only |= letter == 'f';
        arguments.read_only |= letter == 'r';
      }
    } else {
      positional.push_back(word);
    }
  }
  if (positional.size() != 2) return usage("it takes a URI and a mount point");
  arguments.uri = positional[0];
  arguments.directory = positional[1];
  return Mount(arguments, kMountCodes);
}

}  // namespace tifs::cli
