#include "cli/mount_users.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

namespace tifs::cli {
namespace {

namespace stdfs = std::filesystem;

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string ReadLink(const std::string& path) {
  std::array<char, PATH_MAX + 64> target;
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  return length < 0 ? std::string() : std::string(target.data(), static_cast<size_t>(length));
}

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// By what the process of /proc/PID holds the mount; empty if by nothing that we can see.
std::string HoldOf(const std::string& process, const fuse::MountEntry& mount) {
  const auto inside = [&mount](std::string_view path) { return IsWithin(path, mount.mountpoint); };
  if (inside(ReadLink(process + "/cwd"))) return "its working directory";
  if (inside(ReadLink(process + "/root"))) return "its root directory";
  if (inside(ReadLink(process + "/exe"))) return "its program";
  std::error_code ignored;
  for (stdfs::directory_iterator fd(process + "/fd", ignored), end; !ignored && fd != end;
       fd.increment(ignored)) {
    const std::string target = ReadLink(fd->path().string());
    if (inside(target)) return fmt::format("an open file: {}", target);
  }
  const std::string device = fmt::format("{:02x}:{:02x}", mount.device_major, mount.device_minor);
  std::istringstream maps(ReadWhole(process + "/maps"));
  for (std::string line; std::getline(maps, line);) {
    const auto fields = Split(line, ' ');
    if (fields.size() > 4 && fields[3] == device && fields[4] != "0") {
      return fmt::format("a mapped file: {}", line.substr(std::min(line.size(), line.find('/'))));
    }
  }
  return {};
}

}  // namespace

bool IsWithin(std::string_view path, std::string_view directory) {
  if (directory == "/") return path.starts_with('/');
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

std::vector<MountUser> FindMountUsers(const fuse::MountEntry& mount, size_t limit) {
  std::vector<MountUser> users;
  std::error_code ignored;
  for (stdfs::directory_iterator process("/proc", ignored), end; !ignored && process != end;
       process.increment(ignored)) {
    const std::string name = process->path().filename().string();
    MountUser user;
    const auto [rest, status] = std::from_chars(name.data(), name.data() + name.size(), user.pid);
    if (status != std::errc() || rest != name.data() + name.size()) continue;
    user.how = HoldOf(process->path().string(), mount);
    if (user.how.empty()) continue;
    user.command = ReadWhole(process->path().string() + "/comm");
    while (user.command.ends_with('\n')) user.command.pop_back();
    users.push_back(std::move(user));
    if (users.size() >= limit) break;
  }
  return users;
}

Result<std::optional<fuse::MountEntry>> MountOf(std::string_view path) {
  std::optional<fuse::MountEntry> found;
  for (fuse::MountEntry& entry : TRY(fuse::ReadMountTable())) {
    if (IsWithin(path, entry.mountpoint) &&
        (!found || entry.mountpoint.size() >= found->mountpoint.size())) {
      found = std::move(entry);
    }
  }
  return found;
}

Result<std::vector<std::string>> MountsBelow(std::string_view mount_point) {
  std::vector<std::string> below;
  for (fuse::MountEntry& entry : TRY(fuse::ReadMountTable())) {
    if (entry.mountpoint != mount_point && IsWithin(entry.mountpoint, mount_point)) {
      below.push_back(std::move(entry.mountpoint));
    }
  }
  return below;
}

}  // namespace tifs::cli
