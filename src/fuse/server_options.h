#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "fs/file_system.h"

namespace tifs::fuse {

struct ServerOptions {
  std::string mountpoint;  // an existing directory
  std::string source;      // what mount tables show as the device: the store's URI
  // Must be the file system's own.
  fs::CacheMode cache_mode = fs::CacheMode::kExclusive;

  bool read_only = false;
  bool allow_other = false;  // others than root need user_allow_other in /etc/fuse.conf for it
  // The kernel checks permissions, by mode bits and, in exclusive mode, ACLs.
  bool default_permissions = true;
  bool suid = false;
  bool dev = false;
  bool exec = true;
  bool noatime = false;           // for mount tables; the file system itself keeps times
  std::optional<uint32_t> umask;  // in place of each caller's own

  uint32_t threads = 16;  // that serve requests, 1 to 1024
  // Of them, how many wait for the next request at a time; the others are parked until all who
  // waited are busy. See docs/fuse.md.
  uint32_t waiting_threads = 2;
  // Idle CPUs are kept awake while requests come thick and fast (see cpu_latency_limit.h).
  bool limit_cpu_latency = false;
  // Each thread reads the device through a descriptor of its own.
  bool clone_descriptors = true;
  // Of one request: multiples of 4 KiB, up to 1 MiB. What is read ahead comes in several READs,
  // which are served in parallel.
  uint32_t max_read_bytes = 512 << 10;
  uint32_t max_write_bytes = 1 << 20;
  // How far the kernel reads ahead. Beyond its own 128 KiB only for root.
  uint32_t readahead_bytes = 1 << 20;
  // Requests (read-ahead, release, asynchronous I/O) that the kernel keeps under way at a time.
  uint32_t max_background = 64;
  // The kernel gathers writes in its page cache. Exclusive mode only.
  bool writeback_cache = false;
  bool debug = false;  // libfuse logs each request

  // Errors: kInvalid, explained.
  Status Validate() const;
  // The text of mount's -o for libfuse: options escaped and joined by commas.
  std::string ToMountText() const;
};

}  // namespace tifs::fuse
