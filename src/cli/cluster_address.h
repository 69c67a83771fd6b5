#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/uri.h"

namespace tifs::cli {

inline constexpr std::string_view kClusterScheme = "tikv";

// tikv://PD1[:PORT][,PD2...]/NAME[?ca=FILE&cert=FILE&key=FILE&verify-cn=NAME,...&gc=auto|off]: a
// file system in a TiKV cluster.
struct ClusterAddress {
  std::vector<std::string> pd;  // HOST:PORT each, at least one
  std::string name;             // empty: the cluster itself
  // Files in PEM form, absolute paths. With `ca` all connections are TLS.
  std::string ca;
  std::string cert;  // shown to servers, with `key`
  std::string key;
  std::vector<std::string> verify_cn;  // one of these a server's common name must be
  bool collects_garbage = true;        // while it is mounted, where nobody else does

  // The parameters in their canonical form, for a URI's query.
  std::string ToQuery() const;
};

bool IsCluster(const Uri& uri);
// The parts of a URI of that scheme. Errors: kInvalid, explained.
Result<ClusterAddress> ParseClusterAddress(const Uri& uri);
// In its canonical form. Errors: kInvalid, explained; without a name as well.
Result<Uri> CanonicalClusterUri(Uri uri);
// The URI of a cluster itself, `tikv://PD`. Errors: kInvalid, explained.
Result<Uri> ParseClusterUri(std::string_view text);

}  // namespace tifs::cli
