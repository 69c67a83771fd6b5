#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/uri.h"

namespace tifs::cli {

inline constexpr std::string_view kClusterScheme = "tikv";

// tikv://PD1[:PORT][,PD2...]/NAME: a file system in a TiKV cluster.
struct ClusterAddress {
  std::vector<std::string> pd;  // HOST:PORT each, at least one
  std::string name;             // empty: the cluster itself
};

bool IsCluster(const Uri& uri);
// The parts of a URI of that scheme. Errors: kInvalid, explained.
Result<ClusterAddress> ParseClusterAddress(const Uri& uri);
// In its canonical form. Errors: kInvalid, explained; without a name as well.
Result<Uri> CanonicalClusterUri(Uri uri);
// The URI of a cluster itself, `tikv://PD`. Errors: kInvalid, explained.
Result<Uri> ParseClusterUri(std::string_view text);

}  // namespace tifs::cli
