#include "cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/utf8.h"

namespace tifs::cli {
namespace {

// Marks errors whose detail is the whole text for a person.
constexpr char kExplained[] = "explained";

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// Display width, near enough: code points.
size_t WidthOf(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

bool IsExplained(const Error& error) { return std::string_view(error.context()) == kExplained; }

Error ExplainedText(ErrorCode code, std::string text) {
  return Error(code, kExplained, std::move(text));
}

Error Explained(ErrorCode code, std::string_view what, std::string_view why,
                std::string_view way_out) {
  std::string text = fmt::format("{}: {}", what, why);
  if (!way_out.empty()) text.append("; ").append(way_out);
  return Error(code, kExplained, std::move(text));
}

Error ExplainedAs(std::string_view what, Error error, std::string_view way_out) {
  if (IsExplained(error)) return error;
  std::string why = std::string(error.detail());
  if (why.empty()) why = std::generic_category().message(error.ToErrno());
  return Explained(error.code(), what, fmt::format("{}: {}", error.context(), Escaped(why)),
                   way_out);
}

Error ExplainedPlainly(std::string_view what, const Error& error, std::string_view way_out) {
  return Explained(error.code(), what, std::generic_category().message(error.ToErrno()), way_out);
}

std::string ErrorText(const Error& error) {
  return IsExplained(error) ? std::string(error.detail()) : error.ToString();
}

void PrintError(const Error& error) {
  (void)WriteAll(STDERR_FILENO, fmt::format("tifs: {}\n", ErrorText(error)));
}

void PrintWarning(std::string_view text) {
  (void)WriteAll(STDERR_FILENO, fmt::format("tifs: {}\n", text));
}

std::string Escaped(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    size_t length = PrintableUtf8Length(text);
    if (byte == '\n') {
      escaped += "\\n";
    } else if (byte == '\t') {
      escaped += "\\t";
    } else if (byte == '\\') {
      escaped += "\\\\";
    } else if (length == 0) {
      escaped += fmt::format("\\x{:02x}", byte);
      length = 1;
    } else {
      escaped.append(text.substr(0, length));
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return escaped;
}

std::string ShellQuoted(std::string_view word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(word);
  }
  const std::string escaped = Escaped(word);
  const bool harmless = escaped == word;
  // The shell's $'...' understands what Escaped writes.
  std::string quoted = harmless ? "'" : "$'";
  for (char c : escaped) {
    if (c == '\'') {
      quoted += harmless ? "'\\''" : "\\'";
    } else {
      quoted.push_back(c);
    }
  }
  return quoted + "'";
}

bool PrintText(std::string_view text) {
  if (WriteAll(STDOUT_FILENO, text)) return true;
  const int error = errno;
  // A reader that has seen enough is no failure worth a message.
  if (error != EPIPE) {
    PrintError(Explained(ErrorCode::kIo, "standard output", std::strerror(error)));
  }
  return false;
}

bool PrintJson(const Json& document) {
  return PrintText(document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  std::vector<size_t> widths;
  bool titled = false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = WidthOf(columns_[i].title);
    titled |= width > 0;
    for (const auto& row : rows_) width = std::max(width, WidthOf(row[i]));
    widths.push_back(width);
  }
  std::string text;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string padding(widths[i] - WidthOf(cell), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].align == Align::kRight ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  if (titled) add_line([&](size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) {
    add_line([&](size_t i) -> const std::string& { return row[i]; });
  }
  return text;
}

bool StdinIsTerminal() { return ::isatty(STDIN_FILENO) == 1; }

bool AskYesNo(std::string_view question) {
  (void)WriteAll(STDERR_FILENO, fmt::format("{} [yes/no] ", question));
  std::string answer;
  char c = 0;
  while (answer.size() < 16) {
    const ssize_t got = ::read(STDIN_FILENO, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || c == '\n') break;
    answer.push_back(c);
  }
  return answer == "yes" || answer == "y" || answer == "YES" || answer == "Y";
}

}  // namespace tifs::cli
