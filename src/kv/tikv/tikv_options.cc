#include "kv/tikv/tikv_options.h"

namespace tifs::kv::tikv {

Status TikvOptions::Validate() const {
  const auto invalid = [](const char* what) {
    return Error(ErrorCode::kInvalid, "tikv options", what);
  };
  if (pd_addresses.empty()) return invalid("no address of PD");
  for (const std::string& address : pd_addresses) {
    const size_t colon = address.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
      return Error(ErrorCode::kInvalid, "tikv options", "not HOST:PORT: " + address);
    }
  }
  if (operation_timeout <= std::chrono::nanoseconds(0)) return invalid("operation_timeout");
  if (rpc_timeout <= std::chrono::nanoseconds(0)) return invalid("rpc_timeout");
  if (lock_ttl < std::chrono::milliseconds(1)) return invalid("lock_ttl");
  if (prewrite_bytes == 0) return invalid("prewrite_bytes");
  if (gc_options.life_time < std::chrono::milliseconds(0) ||
      gc_options.lease < std::chrono::milliseconds(1)) {
    return invalid("gc_options");
  }
  return {};
}

}  // namespace tifs::kv::tikv
