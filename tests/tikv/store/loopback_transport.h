#pragma once

#include <memory>

#include "kv/tikv/transport.h"
#include "tests/tikv/store/cluster.h"

namespace tifs::tikv_store {

// Calls to a cluster in this process, which must outlive it: each is answered by the thread that
// makes it, before Call returns, so what one thread does is the same each time.
std::unique_ptr<kv::tikv::Transport> MakeLoopbackTransport(Cluster& cluster);

}  // namespace tifs::tikv_store
