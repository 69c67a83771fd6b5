#include "fuse/server_options.h"

#include <string_view>

namespace tifs::fuse {
namespace {

constexpr uint32_t kMaxThreads = 1024;
constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kMaxTransferBytes = 1 << 20;
constexpr uint32_t kMaxBackground = 65535;

Error Invalid(std::string what) {
  return Error(ErrorCode::kInvalid, "mount options", std::move(what));
}

// libfuse splits its options at commas and takes a character after a backslash as it is.
std::string Escape(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

Status ServerOptions::Validate() const {
  if (mountpoint.empty()) return Invalid("no mount point");
  if (source.empty()) return Invalid("no source");
  if (threads < 1 || threads > kMaxThreads) return Invalid("threads must be from 1 to 1024");
  if (waiting_threads < 1) return Invalid("at least one thread must wait for requests");
  for (const uint32_t bytes : {max_read_bytes, max_write_bytes}) {
    if (bytes < kPageBytes || bytes > kMaxTransferBytes || bytes % kPageBytes != 0) {
      return Invalid("the largest READ and WRITE must be multiples of 4 KiB up to 1 MiB");
    }
  }
  if (max_background < 1 || max_background > kMaxBackground) {
    return Invalid("background requests must be from 1 to 65535");
  }
  if (umask && *umask > 0777) return Invalid("umask must be from 000 to 777");
  if (writeback_cache && cache_mode != fs::CacheMode::kExclusive) {
    return Invalid("write-back needs the store to itself");
  }
  return OkStatus();
}

std::string ServerOptions::ToMountText() const {
  std::string text = "fsname=" + Escape(source) + ",subtype=tifs";
  text += read_only ? ",ro" : ",rw";
  text += suid ? ",suid" : ",nosuid";
  text += dev ? ",dev" : ",nodev";
  text += exec ? ",exec" : ",noexec";
  if (noatime) text += ",noatime";
  if (allow_other) text += ",allow_other";
  if (default_permissions) text += ",default_permissions";
  // The same number goes into the INIT reply; libfuse refuses to mount otherwise.
  text += ",max_read=" + std::to_string(max_read_bytes);
  if (debug) text += ",debug";
  return text;
}

}  // namespace tifs::fuse
