#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/size_text.h"

namespace tifs::cli {
namespace {

using std::chrono::steady_clock;

constexpr auto kFirstShown = std::chrono::milliseconds(300);
constexpr auto kRedrawn = std::chrono::milliseconds(100);
constexpr int kBarCells = 30;

void Draw(const std::string& line) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

ProgressBar::ProgressBar(std::string_view title, std::string_view unit, uint64_t total)
    : title_(title),
      unit_(unit),
      total_(total),
      visible_(::isatty(STDERR_FILENO) == 1),
      start_(steady_clock::now()),
      last_drawn_(start_ + kFirstShown - kRedrawn) {}

void ProgressBar::Update(uint64_t done) {
  if (!visible_) return;
  const auto now = steady_clock::now();
  if (now - last_drawn_ < kRedrawn) return;
  last_drawn_ = now;
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string line = fmt::format("\r\x1b[K{} ", title_);
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
    const int cells = static_cast<int>(share * kBarCells);
    line +=
        fmt::format("[{:#<{}}{:.<{}}] {:3.0f} % ", "", cells, "", kBarCells - cells, share * 100);
  }
  line += fmt::format("{} {}, {:.0f} s", FormatCount(done), unit_, seconds);
  Draw(line);
}

void ProgressBar::Clear() {
  if (drawn_) Draw("\r\x1b[K");
  drawn_ = false;
}

}  // namespace tifs::cli
