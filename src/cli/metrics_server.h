#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/assemble.h"

namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

namespace tifs::cli {

// Serves a mount's counters to Prometheus at http://ADDR:PORT/metrics until destroyed.
class MetricsServer {
 public:
  // `file_system` and `store` outlive it. Errors are explained.
  static Result<std::unique_ptr<MetricsServer>> Start(std::string_view address,
                                                      fs::FileSystem& file_system,
                                                      ClaimedStore& store);
  ~MetricsServer();

 private:
  MetricsServer() = default;

  std::shared_ptr<prometheus::Collectable> collector_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace tifs::cli
