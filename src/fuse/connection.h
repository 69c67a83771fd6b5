#pragma once

#include <cstdint>

#include "fs/file_system.h"
#include "fuse/error_log.h"
#include "fuse/kernel_channel.h"
#include "fuse/server_options.h"

namespace tifs::fuse {

// The kernel knows the root as node 1, whatever inode is presented as the root; all other nodes are
// inodes. Inode 1 itself cannot be reached below another root.
struct NodeMap {
  fs::InodeNumber root;

  fs::InodeNumber ToInode(uint64_t node) const {
    return node == FUSE_ROOT_ID ? root : fs::InodeNumber{node};
  }
  uint64_t ToNode(fs::InodeNumber inode) const {
    return inode == root ? FUSE_ROOT_ID : inode.value;
  }
};

// What the handlers of one mount share: libfuse's userdata. Constant once INIT is answered.
struct Connection {
  fs::FileSystem& file_system;
  const NodeMap nodes;
  const ServerOptions options;
  KernelChannel channel;
  ErrorLog errors;
  // The kernel needs no OPENDIR and RELEASEDIR from us.
  bool directories_without_handles = false;

  bool exclusive() const { return options.cache_mode == fs::CacheMode::kExclusive; }
};

}  // namespace tifs::fuse
