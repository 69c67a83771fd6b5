#pragma once

#include <span>
#include <string_view>

namespace tifs::cli {

// The candidate that `word` was probably meant to be: the one at the smallest edit distance
// (insertions, deletions, substitutions, swaps of neighbours), if that is small for its length.
// Empty if nothing is near.
std::string_view NearestMatch(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace tifs::cli
