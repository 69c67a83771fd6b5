#include "cli/cluster_address.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

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

// "/a/file" of a parameter that names one.
Result<std::string> FileOf(const Uri& uri, std::string_view name, std::string value) {
  if (value.starts_with('/')) return value;
  return Bad(uri, fmt::format("'{}=' names no file", name), "write an absolute path");
}

Status SetParameter(const Uri& uri, std::string_view name, std::string value,
                    ClusterAddress& address) {
  for (const auto& [known, field] :
       {std::pair("ca", &ClusterAddress::ca), std::pair("cert", &ClusterAddress::cert),
        std::pair("key", &ClusterAddress::key)}) {
    if (name != known) continue;
    if (!(address.*field).empty()) return Bad(uri, fmt::format("'{}' is there twice", name), "");
    address.*field = TRY(FileOf(uri, name, std::move(value)));
    return {};
  }
  if (name == "verify-cn") {
    std::string_view rest = value;
    while (true) {
      const size_t comma = rest.find(',');
      const std::string_view one = rest.substr(0, comma);
      if (one.empty()) return Bad(uri, "'verify-cn=' names nothing", "write verify-cn=NAME,NAME");
      address.verify_cn.emplace_back(one);
      if (comma == std::string_view::npos) return {};
      rest.remove_prefix(comma + 1);
    }
  }
  if (name == "gc" && (value == "auto" || value == "off")) {
    address.collects_garbage = value == "auto";
    return {};
  }
  return Bad(uri,
             fmt::format("'{}={}' is no parameter of a cluster", Escaped(name), Escaped(value)),
             "there are ca, cert, key, verify-cn, and gc=auto or gc=off");
}

Status ParseParameters(const Uri& uri, ClusterAddress& address) {
  std::string_view rest = uri.query;
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string_view parameter = rest.substr(0, end);
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    const size_t equals = parameter.find('=');
    std::string value;
    if (equals != std::string_view::npos &&
        !DecodeQueryValue(parameter.substr(equals + 1), value)) {
      return Bad(uri, "a '%' in it is not followed by two hexadecimal digits",
                 "write a percent sign as '%25'");
    }
    TRY(SetParameter(uri, parameter.substr(0, equals), std::move(value), address));
  }
  const bool shows_something = !address.cert.empty() || !address.key.empty();
  if (shows_something && (address.cert.empty() || address.key.empty())) {
    return Bad(uri, "'cert' and 'key' belong together", "write both or neither");
  }
  if (address.ca.empty() && (shows_something || !address.verify_cn.empty())) {
    return Bad(uri, "there is no TLS without 'ca'", "write 'ca=FILE' as well");
  }
  return {};
}

}  // namespace

std::string ClusterAddress::ToQuery() const {
  std::vector<std::string> parameters;
  for (const auto& [name, value] :
       {std::pair("ca", ca), std::pair("cert", cert), std::pair("key", key)}) {
    if (!value.empty()) parameters.push_back(fmt::format("{}={}", name, EncodeQueryValue(value)));
  }
  if (!verify_cn.empty()) {
    const std::string names = fmt::format("{}", fmt::join(verify_cn, ","));
    parameters.push_back("verify-cn=" + EncodeQueryValue(names));
  }
  if (!collects_garbage) parameters.emplace_back("gc=off");
  return fmt::format("{}", fmt::join(parameters, "&"));
}

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
  TRY(ParseParameters(uri, address));
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
  uri.query = address.ToQuery();
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
  uri.query = address.ToQuery();
  return uri;
}

}  // namespace tifs::cli
