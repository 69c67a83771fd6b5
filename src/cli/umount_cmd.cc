#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/mount_users.h"
#include "cli/output.h"
#include "cli/progress_bar.h"
#include "fuse/mount_table.h"

namespace tifs::cli {
namespace {

constexpr size_t kShownUsers = 5;
constexpr int kTickMs = 100;

struct UmountArguments {
  std::string directory;
  bool lazy = false;
};

// The process that serves a mount; told from a later one of the same number by its descriptor.
class ServingProcess {
 public:
  explicit ServingProcess(pid_t pid)
      : pid_(pid), fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  ~ServingProcess() {
    if (fd_ >= 0) ::close(fd_);
  }
  ServingProcess(const ServingProcess&) = delete;
  ServingProcess& operator=(const ServingProcess&) = delete;

  pid_t pid() const { return pid_; }

  // Returns once it has ended.
  void AwaitEnd() const {
    if (fd_ < 0) return;
    ProgressBar progress(fmt::format("waiting for pid {} to write everything back:", pid_), "s");
    const auto start = std::chrono::steady_clock::now();
    while (true) {
      pollfd ended = {fd_, POLLIN, 0};
      const int ready = ::poll(&ended, 1, kTickMs);
      if (ready > 0 || (ready < 0 && errno != EINTR)) return;
      const auto waited = std::chrono::steady_clock::now() - start;
      progress.Update(
          static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(waited).count()));
    }
  }

 private:
  const pid_t pid_;
  const int fd_;
};

Error ExplainBusy(const std::string& what, const fuse::MountEntry& mount) {
  std::string users;
  const std::vector<MountUser> found = FindMountUsers(mount, kShownUsers + 1);
  for (size_t i = 0; i < std::min(found.size(), kShownUsers); ++i) {
    users += fmt::format("{}{} (pid {}) has {}", i == 0 ? "" : ", ", Escaped(found[i].command),
                         found[i].pid, Escaped(found[i].how));
  }
  if (found.size() > kShownUsers) users += ", and others";
  if (const auto below = MountsBelow(mount.mountpoint); below && !below->empty()) {
    users +=
        fmt::format("{}{} is mounted below it", users.empty() ? "" : ", ", Escaped(below->front()));
  }
  return Explained(ErrorCode::kBusy, what, users.empty() ? "busy" : fmt::format("busy: {}", users),
                   "end that and try again, or use 'tifs umount --lazy'");
}

// How it went once the process has ended. Nobody else tells who unmounts that writes were lost.
Status CheckEnd(const std::string& what, const Uri& uri, pid_t pid) {
  const auto failure = FailureOf(uri, pid);
  if (!failure) return {};
  return Explained(
      ErrorCode::kIo, what,
      failure->reason.empty()
          ? fmt::format("unmounted, but pid {} ended without saying that all was written back", pid)
          : fmt::format("unmounted, but not everything was written back: {}",
                        Escaped(failure->reason)),
      fmt::format("see the log, and run 'tifs fsck {}'", ShellQuoted(uri.ToString())));
}

Status Umount(const UmountArguments& arguments) {
  const std::string what = Escaped(arguments.directory);
  Result<std::string> mount_point = fuse::ResolveMountpoint(arguments.directory);
  if (!mount_point) return ExplainedPlainly(what, mount_point.error(), "name a mount point");
  const auto mount = fuse::FindMount(*mount_point);
  if (!mount) return Explained(ErrorCode::kInvalid, what, "nothing is mounted there");
  if (mount->type != fuse::kMountType) {
    return Explained(ErrorCode::kInvalid, what,
                     fmt::format("what is mounted there is no TiFS but {}", Escaped(mount->type)),
                     fmt::format("run 'umount {}'", ShellQuoted(*mount_point)));
  }
  // Asked before the unmount: afterwards the process may be gone.
  std::optional<ServingProcess> process;
  const auto uri = ParseStoreUri(mount->source);
  if (uri) {
    const auto owner = OwnerOf(*uri, *mount_point);
    if (owner && *owner && (*owner)->mount_point == *mount_point && (*owner)->pid > 0) {
      process.emplace((*owner)->pid);
    }
  }
  const bool dead = fuse::IsDeadMount(*mount_point);
  const auto how = arguments.lazy || dead ? fuse::Detachment::kLazy : fuse::Detachment::kWhenIdle;
  if (Status status = fuse::DetachMount(*mount_point, how); !status) {
    if (status.error().code() == ErrorCode::kBusy) return ExplainBusy(what, *mount);
    if (status.error().code() == ErrorCode::kNotPermitted) {
      return Explained(status.error().code(), what, "somebody else mounted it",
                       "run as root or as who mounted it");
    }
    return ExplainedPlainly(what, status.error());
  }
  if (!process || arguments.lazy || dead) return {};
  process->AwaitEnd();
  return CheckEnd(what, *uri, process->pid());
}

}  // namespace

void AddUmountCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<UmountArguments>();
  CLI::App* command =
      app.add_subcommand("umount", "Unmount; returns once everything is written back");
  command->add_option("DIR", arguments->directory, "The mount point")->required();
  command->add_flag("-l,--lazy", arguments->lazy,
                    "Detach at once; its process ends when the last user has gone");
  command->callback([arguments, &exit_code] {
    const Status status = Umount(*arguments);
    if (!status) PrintError(status.error());
    exit_code = status ? kExitDone : kExitFailed;
  });
}

// As umount(8) calls it: DIR [-nlfvr] [-N namespace] [-t type].
int RunUmountHelper(const std::vector<std::string>& words) {
  constexpr int kUmountFailed = 32;
  UmountArguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "-t" || word == "-N") {
      ++i;
    } else if (word.size() > 1 && word[0] == '-') {
      arguments.lazy |= word.find('l') != std::string::npos;
    } else {
      arguments.directory = word;
    }
  }
  if (arguments.directory.empty()) {
    PrintError(Explained(ErrorCode::kInvalid, "umount.tifs", "it takes a mount point",
                         "usage: umount.tifs DIR [-l]"));
    return 1;
  }
  const Status status = Umount(arguments);
  if (!status) PrintError(status.error());
  return status ? 0 : kUmountFailed;
}

}  // namespace tifs::cli
