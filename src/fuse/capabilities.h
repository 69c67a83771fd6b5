#pragma once

#include <cstdint>

#include "fuse/libfuse.h"
#include "fuse/server_options.h"

namespace tifs::fuse {

// The features of the kernel to switch on, of those that it is `capable` of (bits FUSE_CAP_*). Each
// is chosen on purpose; docs/fuse.md says why.
uint32_t ChooseCapabilities(uint32_t capable, const ServerOptions& options);
// Flags of the protocol itself that libfuse does not carry (see kernel_channel.h).
uint64_t ChooseInitFlags();
// Fills in the answer to INIT, in the form that libfuse takes it.
void AnswerInit(const ServerOptions& options, fuse_conn_info& connection);

}  // namespace tifs::fuse
