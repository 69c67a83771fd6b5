#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs::cli {

// A store's address: SCHEME://AUTHORITY/PATH?QUERY. Which schemes there are is assemble.cc's
// choice; here only the form is known.
struct Uri {
  std::string scheme;
  std::string authority;  // between `//` and the next `/`; empty for rocks, of tikv all of PD
  std::string path;       // decoded; absolute, without `.`, `..`, doubled or trailing slashes
  std::string query;      // after `?`, as written

  // The canonical text: what mount tables show. ASCII without spaces and control characters;
  // commas only between the addresses of a cluster.
  std::string ToString() const;
  // What messages are about: the directory of an embedded store, else the whole.
  std::string Subject() const { return authority.empty() ? path : ToString(); }
};

// Errors: kInvalid, explained, with the corrected URI where it can be guessed.
Result<Uri> ParseUri(std::string_view text);
// A value of a parameter in a query, and back: `&` and what ToString must not hold are %XX.
std::string EncodeQueryValue(std::string_view value);
// False for a `%` without two hexadecimal digits, and for a NUL.
bool DecodeQueryValue(std::string_view text, std::string& value);
// Whether `text` has the form of a URI rather than a path.
bool LooksLikeUri(std::string_view text);

}  // namespace tifs::cli
