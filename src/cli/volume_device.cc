#include "cli/volume_device.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <utility>

#include "base/clock.h"
#include "block/device_name.h"
#include "block/open_device.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

Error BadPath(ErrorCode code, std::string_view text, std::string_view why) {
  return Explained(code, text.empty() ? "''" : Escaped(text), why,
                   "write ROOT or ROOT/PATH, as 'tifs volume ls' shows");
}

// What the block layer says about a device begins with the device.
std::string WithoutDevice(std::string_view device, std::string_view detail) {
  for (const std::string& prefix : {fmt::format("{}: ", device), fmt::format("{} ", device)}) {
    if (detail.starts_with(prefix)) return std::string(detail.substr(prefix.size()));
  }
  return std::string(detail);
}

}  // namespace

std::string OwnerOfDevice(const std::string& device) {
  const auto looked = block::OpenDevice(device, {.read_only = true, .exclusive = false});
  if (!looked) return "";
  const auto identity = volume::Volume::ReadIdentity(**looked);
  // One that was closed is held by something else.
  return identity && !identity->was_closed ? identity->owner : "";
}

namespace {

Error DeviceError(const std::string& device, const Error& error) {
  const std::string what = Escaped(device);
  const std::string why = Escaped(WithoutDevice(device, error.detail()));
  const bool is_file = device.starts_with("file:");
  switch (error.code()) {
    case ErrorCode::kBusy: {
      const std::string owner = OwnerOfDevice(device);
      if (owner.empty()) return Explained(error.code(), what, why, "wait until it is free");
      return Explained(error.code(), what, fmt::format("in use by '{}'", Escaped(owner)),
                       "end that first");
    }
    case ErrorCode::kNotFound:
      return Explained(
          error.code(), what, why,
          is_file ? fmt::format("make it with 'truncate -s 10G {}'", ShellQuoted(device.substr(5)))
                  : "'lsblk' lists the devices");
    case ErrorCode::kIsDirectory:
      return Explained(error.code(), what, why, "name a file as a disk, or a device");
    case ErrorCode::kAccessDenied:
    case ErrorCode::kNotPermitted:
      return Explained(error.code(), what, why, "run as its owner, or as root");
    default: return Explained(error.code(), what, why);
  }
}

// The kernel takes down what a killed process had a little after the process is gone.
Result<std::unique_ptr<block::BlockDevice>> OpenWhenFree(const std::string& device,
                                                         bool read_only) {
  constexpr int kAttempts = 10;
  for (int attempt = 1;; ++attempt) {
    auto opened = block::OpenDevice(device, {.read_only = read_only});
    if (opened || opened.error().code() != ErrorCode::kBusy || attempt == kAttempts) return opened;
    SystemClock().SleepFor(std::chrono::milliseconds(50));
  }
}

Result<std::unique_ptr<volume::Volume>> Snapshot(const std::string& device,
                                                 std::unique_ptr<block::BlockDevice> opened) {
  auto volume = volume::Volume::OpenSnapshot(std::move(opened));
  if (!volume) return VolumeError(device, std::move(volume).error());
  return volume;
}

}  // namespace

std::string VolumePath::Parent() const {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string VolumePath::Name() const { return path.substr(path.rfind('/') + 1); }

Result<VolumePath> ParseVolumePath(std::string_view text) {
  VolumePath parsed;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view component = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), component.size() + 1));
    if (component.empty() || (component == "." && !parsed.root.empty())) continue;
    if (parsed.root.empty()) {
      if (!volume::IsValidRootName(component)) {
        return BadPath(ErrorCode::kInvalid, text,
                       "the name of a root has 1 to 64 letters, digits, '.', '_' and '-'");
      }
      parsed.root = component;
      continue;
    }
    if (component == "..") return BadPath(ErrorCode::kInvalid, text, "'..' has no meaning in it");
    if (component.size() > volume::kMaxNameBytes) {
      return BadPath(ErrorCode::kNameTooLong, text, "a name in it has more than 255 bytes");
    }
    if (!parsed.path.empty()) parsed.path += '/';
    parsed.path += component;
  }
  if (parsed.root.empty()) return BadPath(ErrorCode::kInvalid, text, "it names no root");
  if (parsed.path.size() > volume::kMaxPathBytes) {
    return BadPath(ErrorCode::kNameTooLong, text, "it has more than 4,096 bytes");
  }
  return parsed;
}

int RunOnDevice(const std::string& device, int usage_code, int failed_code,
                const std::function<Result<int>()>& work) {
  if (const auto name = block::ParseDeviceName(device); !name) {
    // The detail is "'DEVICE': WHY; WAY OUT", escaped in its own way.
    const std::string_view detail = name.error().detail();
    const size_t end = detail.rfind("': ");
    PrintError(Explained(ErrorCode::kInvalid, Escaped(device),
                         end == std::string_view::npos ? detail : detail.substr(end + 3)));
    return usage_code;
  }
  Result<int> done = work();
  if (done) return *done;
  PrintError(ExplainedAs(Escaped(device), std::move(done).error()));
  return failed_code;
}

Result<std::unique_ptr<block::BlockDevice>> OpenAlone(const std::string& device, bool read_only) {
  auto opened = OpenWhenFree(device, read_only);
  if (!opened) return DeviceError(device, opened.error());
  return opened;
}

Result<std::unique_ptr<volume::Volume>> OpenToLook(const std::string& device) {
  auto opened = block::OpenDevice(device, {.read_only = true, .exclusive = false});
  if (!opened) return DeviceError(device, opened.error());
  return Snapshot(device, *std::move(opened));
}

Result<std::unique_ptr<volume::Volume>> OpenToRead(const std::string& device) {
  return Snapshot(device, TRY(OpenAlone(device, /*read_only=*/true)));
}

Result<std::unique_ptr<volume::Volume>> OpenToWrite(const std::string& device,
                                                    std::string_view command) {
  auto opened = TRY(OpenAlone(device, /*read_only=*/false));
  // Nothing is committed by itself: what a command does it makes durable when it is done.
  auto volume =
      volume::Volume::Open(std::move(opened), {.owner = OwnerText(command), .background = false});
  if (!volume) return VolumeError(device, std::move(volume).error());
  for (const std::string& warning : (*volume)->Warnings()) {
    PrintWarning(fmt::format("{}: {}; run 'tifs volume check --repair {}'", Escaped(device),
                             Escaped(warning), ShellQuoted(device)));
  }
  return volume;
}

std::string OwnerText(std::string_view command) {
  std::array<char, 128> host{};
  (void)::gethostname(host.data(), host.size() - 1);
  return fmt::format("{} (pid {}) on {}", command, ::getpid(), host.data());
}

Result<std::unique_ptr<volume::Root>> OpenRootOf(volume::Volume& volume, const std::string& device,
                                                 const VolumePath& path) {
  auto root = volume.OpenRoot(path.root, /*create=*/false);
  if (root) return root;
  if (root.error().code() != ErrorCode::kNotFound) {
    return VolumeError(device, std::move(root).error());
  }
  return Explained(ErrorCode::kNotFound, path.root, "there is no such root",
                   fmt::format("'tifs volume ls {}' lists them", ShellQuoted(device)));
}

Status RemoveTree(volume::Root& root, const std::string& path, std::string_view kept) {
  for (const volume::DirectoryEntry& entry : TRY(root.List(path))) {
    const std::string below = path.empty() ? entry.name : path + "/" + entry.name;
    if (!kept.empty() && below == kept) continue;
    if (entry.stat.kind == volume::InodeKind::kDirectory) {
      TRY(RemoveTree(root, below, kept));
      TRY(root.RemoveDirectory(below));
    } else {
      TRY(root.Unlink(below));
    }
  }
  return {};
}

Error VolumeError(std::string_view device, Error error) {
  const std::string what = Escaped(device);
  const std::string quoted = ShellQuoted(device);
  const std::string why = Escaped(WithoutDevice(device, error.detail()));
  switch (error.code()) {
    case ErrorCode::kNotFound:
      return Explained(error.code(), what, "has no TiFS volume",
                       fmt::format("make one with 'tifs volume format {}'", quoted));
    case ErrorCode::kNotSupported:
      return Explained(error.code(), what, fmt::format("written by a newer version ({})", why),
                       "use that version or a later one");
    case ErrorCode::kCorrupt:
      return Explained(error.code(), what,
                       fmt::format("the volume is damaged ({}: {})", error.context(), why),
                       fmt::format("run 'tifs volume check {}'", quoted));
    case ErrorCode::kInvalid: return Explained(error.code(), what, why);
    default: return ExplainedAs(what, std::move(error));
  }
}

Error PathError(std::string_view device, const VolumePath& path, Error error) {
  const std::string what = Escaped(path.ToString());
  const std::string quoted = ShellQuoted(device);
  switch (error.code()) {
    case ErrorCode::kNotFound:
      return Explained(error.code(), what, "there is no such file on the volume",
                       fmt::format("'tifs volume ls {} {}' lists what there is", quoted,
                                   ShellQuoted(path.root)));
    case ErrorCode::kIsDirectory:
      return Explained(error.code(), what, "is a directory of the volume",
                       "name a file, as ROOT/PATH");
    case ErrorCode::kNotDirectory:
      return Explained(error.code(), what, "a part of the path is a file, not a directory",
                       fmt::format("'tifs volume ls {} {}' lists what there is", quoted,
                                   ShellQuoted(path.root)));
    case ErrorCode::kNotEmpty:
      return Explained(error.code(), what, "the directory is not empty",
                       "remove what is in it first");
    case ErrorCode::kNoSpace:
      return Explained(error.code(), what, "the volume is full",
                       fmt::format("'tifs volume df {}' shows how full", quoted));
    default: return ExplainedAs(what, std::move(error));
  }
}

std::string TimeText(int64_t ns_since_1970) {
  const auto seconds =
      std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds(ns_since_1970));
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(static_cast<std::time_t>(seconds.count())));
}

}  // namespace tifs::cli
