#pragma once

#include <memory>
#include <string>
#include <vector>

// Before gRPC's headers: their Abseil has annotations of the same names.
#include "base/sync.h"
#include "kv/tikv/transport.h"

namespace tifs::kv::tikv {

struct GrpcOptions {
  // Transactional requests to one store share a stream (command_batch.h).
  bool batch_commands = true;
};

// Files in PEM form.
struct TlsOptions {
  std::string ca;                      // whom we believe
  std::string cert;                    // what we show, with `key`; both empty: nothing
  std::string key;                     // of `cert`
  std::vector<std::string> verify_cn;  // one of these a server's common name must be; empty: any
};

// Calls over gRPC: one connection an address, made at first use, kept alive, made again when it
// breaks. Each object has connections of its own.
std::unique_ptr<Transport> MakeGrpcTransport(const GrpcOptions& options = {});

// The same over TLS, to servers whose certificates `ca` vouches for and which name their hosts. The
// files are read once, now. Errors: kInvalid, with the file that does not serve; a server that is
// refused, or refuses us, is one that does not answer, with the reason in the error.
Result<std::unique_ptr<Transport>> MakeTlsTransport(const TlsOptions& tls,
                                                    const GrpcOptions& options = {});

}  // namespace tifs::kv::tikv
