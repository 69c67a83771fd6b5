#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace tifs::cli {

// What `-o` of mount says. See tifs-mount(1).
struct MountOptions {
  enum class Atime : uint8_t { kRelatime, kNoatime, kStrictatime };

  bool read_only = false;
  // Change a mounted file system to `read_only`; only `ro` and `rw` go with it.
  bool remount = false;
  bool read_only_given = false;  // `ro` or `rw` was said
  std::string subdirectory = "/";
  Atime atime = Atime::kRelatime;
  // Applied to new files and directories in place of the creating process's own.
  std::optional<uint32_t> umask;
  std::optional<bool> allow_other;  // absent: on for root, off for others
  bool suid = false;
  bool dev = false;
  bool exec = true;
  bool sync = false;
  uint64_t memory_bytes = uint64_t{512} << 20;
  unsigned threads = 0;  // 0: as many as suit the machine
  bool pm_qos = true;    // keep idle CPUs awake while requests come thick and fast
  std::string log_file;  // empty: syslog, or stderr in the foreground
  LogLevel log_level = LogLevel::kInfo;
  std::string metrics_address;  // ADDR:PORT; empty: none
};

inline constexpr uint64_t kMinMemoryBytes = uint64_t{64} << 20;
inline constexpr unsigned kMaxThreads = 1024;

// Adds the comma-separated options of `text` to `options`; of contradictory ones the last wins. A
// backslash takes the next character as it is. Options of mount(8) and fstab(5) that are for others
// (`_netdev`, `noauto`, `user`, `x-*`, ...) are accepted and ignored.
// Errors: kInvalid, explained, with the option nearest to an unknown one.
Status ParseMountOptions(std::string_view text, MountOptions& options);

// The names of the options in which two mounts differ, but for `ro` and `rw`: a remount changes
// only these. That a mount with `strictatime` is asked for `relatime` is no difference: the kernel
// knows it as relatime, and mount(8) hands back what the kernel shows.
std::vector<std::string_view> FixedDifferences(const MountOptions& present,
                                               const MountOptions& wanted);

// Splits "ADDR:PORT", "[V6ADDR]:PORT" or ":PORT" (loopback). Errors: kInvalid, explained.
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
Result<HostPort> ParseHostPort(std::string_view text);

}  // namespace tifs::cli
