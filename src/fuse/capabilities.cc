#include "fuse/capabilities.h"

#include <algorithm>

#include "fuse/kernel_channel.h"

namespace tifs::fuse {
namespace {

// In every mode. Splice is left off: plain replies from memory are faster for bulk reads here.
// Locks (POSIX_LOCKS, FLOCK_LOCKS) are left off: then the kernel's own serve, without any request.
// ATOMIC_O_TRUNC is, too: an open with O_RDONLY and O_TRUNC would cut a program that is running,
// and only then would the kernel find out that this is ETXTBSY.
constexpr uint32_t kAlways = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
                             FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_READDIRPLUS |
                             FUSE_CAP_READDIRPLUS_AUTO |
                             // A directory's default ACL replaces the umask, so we apply it.
                             FUSE_CAP_DONT_MASK;

}  // namespace

uint32_t ChooseCapabilities(uint32_t capable, const ServerOptions& options) {
  uint32_t wanted = kAlways;
  if (options.cache_mode == fs::CacheMode::kExclusive) {
    wanted |= FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_NO_OPENDIR_SUPPORT;
    // With ACLs the kernel checks permissions by them, and keeps them.
    if (options.default_permissions) wanted |= FUSE_CAP_POSIX_ACL;
    if (options.writeback_cache) wanted |= FUSE_CAP_WRITEBACK_CACHE;
  } else {
    // Nothing else tells the kernel that a page which it holds has changed below.
    wanted |= FUSE_CAP_AUTO_INVAL_DATA;
  }
  return wanted & capable;
}

// Shared mappings of files that are open with direct I/O, as all are in strict mode, fail with
// ENODEV: their pages would be a cache that nobody else's write ever reaches.
uint64_t ChooseInitFlags() { return kHandleKillprivV2; }

void AnswerInit(const ServerOptions& options, fuse_conn_info& connection) {
  connection.want = ChooseCapabilities(connection.capable, options);
  connection.max_read = options.max_read_bytes;
  // libfuse and the kernel lower these two to what they can.
  connection.max_write = std::min(connection.max_write, options.max_write_bytes);
  connection.max_readahead = std::min(connection.max_readahead, options.readahead_bytes);
  connection.max_background = options.max_background;
  connection.congestion_threshold = options.max_background * 3 / 4;
  connection.time_gran = 1;
}

}  // namespace tifs::fuse
