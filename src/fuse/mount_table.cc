#include "fuse/mount_table.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <memory>

extern char** environ;

namespace tifs::fuse {
namespace {

constexpr char kMountInfo[] = "/proc/self/mountinfo";

// Takes the next field of a line of mountinfo.
std::string_view TakeField(std::string_view& line) {
  const size_t end = line.find(' ');
  const std::string_view field = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return field;
}

template <typename Number>
bool ParseNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// The kernel writes space, tab, newline and backslash as \ooo.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(&text[i + 1], &text[i + 1] + 3, code, 8).ptr == &text[i + 1] + 3) {
      out.push_back(static_cast<char>(code));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool HasOption(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    const size_t end = options.find(',');
    if (options.substr(0, end) == wanted) return true;
    options.remove_prefix(end == std::string_view::npos ? options.size() : end + 1);
  }
  return false;
}

// What follows `prefix` in the option that begins with it; empty if there is none.
std::string_view ValueOf(std::string_view options, std::string_view prefix) {
  while (!options.empty()) {
    const size_t end = options.find(',');
    const std::string_view option = options.substr(0, end);
    if (option.starts_with(prefix)) return option.substr(prefix.size());
    options.remove_prefix(end == std::string_view::npos ? options.size() : end + 1);
  }
  return {};
}

// ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE SUPER_OPTIONS
std::optional<MountEntry> ParseLine(std::string_view line) {
  MountEntry entry;
  if (!ParseNumber(TakeField(line), entry.id)) return std::nullopt;
  TakeField(line);
  const std::string_view device = TakeField(line);
  const size_t colon = device.find(':');
  if (colon == std::string_view::npos ||
      !ParseNumber(device.substr(0, colon), entry.device_major) ||
      !ParseNumber(device.substr(colon + 1), entry.device_minor)) {
    return std::nullopt;
  }
  TakeField(line);
  entry.mountpoint = Unescape(TakeField(line));
  const std::string_view options = TakeField(line);
  while (!line.empty() && TakeField(line) != "-") {
  }
  entry.type = Unescape(TakeField(line));
  entry.source = Unescape(TakeField(line));
  if (entry.type.empty()) return std::nullopt;
  const std::string_view super_options = TakeField(line);
  entry.read_only = HasOption(options, "ro") || HasOption(super_options, "ro");
  uint32_t user_id = 0;
  if (ParseNumber(ValueOf(super_options, "user_id="), user_id)) entry.user_id = user_id;
  return entry;
}

Status RunFusermount(const std::string& mountpoint, Detachment detachment) {
  std::string program = "fusermount3", unmount = "-u", lazy = "-z", end = "--", path = mountpoint;
  std::vector<char*> arguments = {program.data(), unmount.data()};
  if (detachment == Detachment::kLazy) arguments.push_back(lazy.data());
  arguments.insert(arguments.end(), {end.data(), path.data(), nullptr});
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, program.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrorFromErrno(error, "run fusermount3");
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return OkStatus();
  const auto mount = FindMount(mountpoint);
  if (mount && mount->user_id && *mount->user_id != getuid()) {
    return Error(ErrorCode::kNotPermitted, "unmount", mountpoint + ": mounted by somebody else");
  }
  // fusermount3 says why in prose only; busy is the one answer that a waiting caller can change.
  return Error(ErrorCode::kBusy, "unmount", mountpoint + ": fusermount3 could not unmount it");
}

}  // namespace

std::vector<MountEntry> ParseMountTable(std::string_view text) {
  std::vector<MountEntry> entries;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (auto entry = ParseLine(text.substr(0, end))) entries.push_back(*std::move(entry));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return entries;
}

Result<std::vector<MountEntry>> ReadMountTable() {
  const int fd = open(kMountInfo, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrorFromErrno(errno, "read mounts", kMountInfo);
  std::string text;
  char chunk[16384];
  ssize_t got;
  while ((got = read(fd, chunk, sizeof(chunk))) > 0) text.append(chunk, static_cast<size_t>(got));
  const int error = errno;
  close(fd);
  if (got < 0) return ErrorFromErrno(error, "read mounts", kMountInfo);
  return ParseMountTable(text);
}

std::optional<MountEntry> FindMount(std::string_view mountpoint) {
  auto table = ReadMountTable();
  if (!table) return std::nullopt;
  for (auto entry = table->rbegin(); entry != table->rend(); ++entry) {
    if (entry->mountpoint == mountpoint) return std::move(*entry);
  }
  return std::nullopt;
}

Result<std::string> ResolveMountpoint(const std::string& path) {
  const std::unique_ptr<char, decltype(&free)> resolved(realpath(path.c_str(), nullptr), &free);
  if (resolved) return std::string(resolved.get());
  if (errno != ENOTCONN) return ErrorFromErrno(errno, "resolve mount point", path);
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const size_t slash = trimmed.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : trimmed.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? trimmed : trimmed.substr(slash + 1);
  const std::unique_ptr<char, decltype(&free)> above(realpath(parent.c_str(), nullptr), &free);
  if (!above) return ErrorFromErrno(errno, "resolve mount point", path);
  std::string whole = above.get();
  if (whole.back() != '/') whole += '/';
  return whole + name;
}

bool IsDeadMount(const std::string& mountpoint) {
  // stat(2) may be answered from attributes that the kernel still holds; statfs(2) never is.
  struct statfs usage;
  if (statfs(mountpoint.c_str(), &usage) < 0) return errno == ENOTCONN || errno == ECONNABORTED;
  return false;
}

Status DetachMount(const std::string& mountpoint, Detachment detachment) {
  const int flags = UMOUNT_NOFOLLOW | (detachment == Detachment::kLazy ? MNT_DETACH : 0);
  if (umount2(mountpoint.c_str(), flags) == 0) return OkStatus();
  if (errno == EPERM) return RunFusermount(mountpoint, detachment);
  return ErrorFromErrno(errno, "unmount", mountpoint);
}

}  // namespace tifs::fuse
