#pragma once

#include <cstddef>
#include <string_view>

namespace tifs {

// The length of the UTF-8 character at the start of `text` (not empty), 1 to 4 bytes; 0 where none
// is, or one that is not to be shown: control characters, and the marks that turn the direction of
// text around, drive terminals.
size_t PrintableUtf8Length(std::string_view text);

// Whether `text` is made of such characters only.
bool IsPrintableUtf8(std::string_view text);

}  // namespace tifs
