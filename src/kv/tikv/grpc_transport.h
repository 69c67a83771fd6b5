#pragma once

#include <memory>

// Before gRPC's headers: their Abseil has annotations of the same names.
#include "base/sync.h"
#include "kv/tikv/transport.h"

namespace tifs::kv::tikv {

// Calls over gRPC: one connection an address, made at first use, kept alive, made again when it
// breaks. Each object has connections of its own.
std::unique_ptr<Transport> MakeGrpcTransport();

}  // namespace tifs::kv::tikv
