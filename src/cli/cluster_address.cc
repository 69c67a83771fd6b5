#include "cli/cluster_address.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "cli/cluster_names.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

constexpr std::string_view kDefaultPort = "2379";
constexpr std::string_view kExample = "write 'tikv://HOST:2379,HOST:2379/NAME'";

Error Bad(const Uri& uri, std::string_view why, std::string_view way_out = kExample) {
  return Explained(ErrorCode::kInvalid, Escaped(uri.ToString()), why, way_out);
}

bool IsPort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

bool IsHost(std::string_view host) {
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  return !host.empty() && std::ranges::all_of(host, [bracketed](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || (bracketed && c == ':');
  });
}

// "host" or "host:port", with the port.
Result<std::string> MemberOf(const Uri& uri, std::string_view text) {
  const size_t bracket = text.rfind(']');
  const size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  const std::string_view host = text.substr(0, colon);
  const std::string_view port =
      colon == std::string_view::npos ? kDefaultPort : text.substr(colon + 1);
  if (!IsHost(host)) {
    return Bad(uri, text.empty() ? "the address of a PD is missing"
                                 : fmt::format("'{}' is no address of a PD", Escaped(text)));
  }
  if (!IsPort(port)) {
    return Bad(uri, fmt::format("'{}' is no port from 1 to 65535", Escaped(port)));
  }
  return fmt::format("{}:{}", host, port);
}

}  // namespace

bool IsCluster(const Uri& uri) { return uri.scheme == kClusterScheme; }

Result<ClusterAddress> ParseClusterAddress(const Uri& uri) {
  ClusterAddress address;
  std::string_view rest = uri.authority;
  while (true) {
    const size_t comma = rest.find(',');
    address.pd.push_back(TRY(MemberOf(uri, rest.substr(0, comma))));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (!uri.query.empty()) {
    return Bad(uri, "there are no parameters for clusters", "leave out '?' and what follows");
  }
  if (uri.path.empty() || uri.path == "/") return address;
  address.name = uri.path.substr(1);
  if (!ClusterNames::IsName(address.name)) {
    return Bad(uri,
               "the name is 1 to 64 letters, digits, '.', '_' and '-', a letter or digit first");
  }
  return address;
}

Result<Uri> CanonicalClusterUri(Uri uri) {
  const ClusterAddress address = TRY(ParseClusterAddress(uri));
  if (address.name.empty()) return Bad(uri, "it names no file system");
  uri.authority = fmt::format("{}", fmt::join(address.pd, ","));
  return uri;
}

Result<Uri> ParseClusterUri(std::string_view text) {
  Uri uri = TRY(ParseUri(text));
  if (!IsCluster(uri)) {
    return Explained(ErrorCode::kInvalid, Escaped(text), "is no TiKV cluster",
                     "write 'tikv://HOST:2379'");
  }
  const ClusterAddress address = TRY(ParseClusterAddress(uri));
  if (!address.name.empty()) {
    return Bad(uri, "is a file system in a cluster, not a cluster",
               fmt::format("write 'tikv://{}'", Escaped(uri.authority)));
  }
  uri.authority = fmt::format("{}", fmt::join(address.pd, ","));
  uri.path.clear();
  return uri;
}

}  // namespace tifs::cli
