#include "cli/nearest_match.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace tifs::cli {
namespace {

// Longer words are no option or command of ours; it bounds the rows below.
constexpr size_t kMaxWordBytes = 64;

// Optimal string alignment distance.
size_t Distance(std::string_view a, std::string_view b) {
  using Row = std::array<size_t, kMaxWordBytes + 1>;
  Row before_last{};
  Row last{};
  Row row{};
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last = last;
    last = row;
  }
  return last[b.size()];
}

}  // namespace

std::string_view NearestMatch(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.empty() || word.size() > kMaxWordBytes) return {};
  std::string_view nearest;
  size_t nearest_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (std::string_view candidate : candidates) {
    if (candidate.size() > kMaxWordBytes) continue;
    const size_t distance = Distance(word, candidate);
    if (distance < nearest_distance) {
      nearest = candidate;
      nearest_distance = distance;
    }
  }
  // What is cut off or run on is meant as well: "allow" for "allow_other".
  if (nearest.empty() && word.size() >= 3) {
    for (std::string_view candidate : candidates) {
      if (candidate.starts_with(word) || word.starts_with(candidate)) return candidate;
    }
  }
  return nearest;
}

}  // namespace tifs::cli
