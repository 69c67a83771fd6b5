#include "cli/uri.h"

#include <fmt/format.h>

#include <filesystem>

#include "cli/output.h"

namespace tifs::cli {
namespace {

constexpr std::string_view kSchemeCharacters = "abcdefghijklmnopqrstuvwxyz0123456789+-.";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// False for a `%` without two hexadecimal digits, and for a NUL, which no path can hold.
bool PercentDecode(std::string_view text, std::string& decoded) {
  decoded.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return false;
    decoded.push_back(c);
  }
  return true;
}

constexpr std::string_view kSpecialInPaths = "%?#,\\\"'";
constexpr std::string_view kSpecialInValues = "%?#,\\\"'&";

std::string PercentEncode(std::string_view text, std::string_view special) {
  std::string encoded;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte >= 0x7f || special.find(c) != std::string_view::npos) {
      encoded += fmt::format("%{:02X}", byte);
    } else {
      encoded.push_back(c);
    }
  }
  return encoded;
}

Error BadUri(std::string_view text, std::string_view why, std::string_view way_out) {
  return Explained(ErrorCode::kInvalid, Escaped(text), why, way_out);
}

}  // namespace

std::string Uri::ToString() const {
  std::string text =
      fmt::format("{}://{}{}", scheme, authority, PercentEncode(path, kSpecialInPaths));
  if (!query.empty()) text.append("?").append(query);
  return text;
}

std::string EncodeQueryValue(std::string_view value) {
  return PercentEncode(value, kSpecialInValues);
}

bool DecodeQueryValue(std::string_view text, std::string& value) {
  return PercentDecode(text, value);
}

bool LooksLikeUri(std::string_view text) {
  const size_t end = text.find("://");
  return end != std::string_view::npos && end > 0 &&
         text.substr(0, end).find_first_not_of(kSchemeCharacters) == std::string_view::npos;
}

Result<Uri> ParseUri(std::string_view text) {
  if (text.starts_with('/')) {
    return BadUri(text, "is a path, not a store's URI",
                  fmt::format("write 'rocks://{}'", Escaped(text)));
  }
  if (!LooksLikeUri(text)) {
    return BadUri(text, "is not a store's URI", "write one such as 'rocks:///absolute/directory'");
  }
  Uri uri;
  const size_t scheme_end = text.find("://");
  uri.scheme = text.substr(0, scheme_end);
  std::string_view rest = text.substr(scheme_end + 3);
  if (rest.find('#') != std::string_view::npos) {
    return BadUri(text, "a '#' has no meaning in it",
                  "write it as '%23' if it is part of the path");
  }
  if (const size_t query = rest.find('?'); query != std::string_view::npos) {
    uri.query = rest.substr(query + 1);
    rest = rest.substr(0, query);
  }
  const size_t slash = rest.find('/');
  uri.authority = rest.substr(0, slash);
  std::string path;
  if (slash != std::string_view::npos && !PercentDecode(rest.substr(slash), path)) {
    return BadUri(text, "a '%' in it is not followed by two hexadecimal digits",
                  "write a percent sign as '%25'");
  }
  uri.path = std::filesystem::path(path).lexically_normal().string();
  while (uri.path.starts_with("//")) uri.path.erase(0, 1);
  while (uri.path.size() > 1 && uri.path.ends_with('/')) uri.path.pop_back();
  return uri;
}

}  // namespace tifs::cli
