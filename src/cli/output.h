#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tifs::cli {

// Exit codes of every command but those of fsck(8) and mount(8).
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

using Json = nlohmann::ordered_json;

// An error that a person can act on: its text is "WHAT: WHY; WAY OUT" (the way out may be empty).
Error Explained(ErrorCode code, std::string_view what, std::string_view why,
                std::string_view way_out = {});
// An error from below as a person should see it: `what` failed because of it. An explained one
// stays.
Error ExplainedAs(std::string_view what, Error error, std::string_view way_out = {});
// The same in the system's words for the error's errno alone.
Error ExplainedPlainly(std::string_view what, const Error& error, std::string_view way_out = {});

bool IsExplained(const Error& error);
// An explained error from its whole text.
Error ExplainedText(ErrorCode code, std::string text);

// `tifs: TEXT` on stderr, in one write.
void PrintError(const Error& error);
void PrintWarning(std::string_view text);
// The text of an error without the leading "tifs: ".
std::string ErrorText(const Error& error);

// Control characters, backslashes and bytes that are not UTF-8 as \xNN and the like, so that a
// hostile name can neither forge a line nor drive a terminal.
std::string Escaped(std::string_view text);
// `word` for a shell (bash), quoted only where it needs to be; harmless to print, as Escaped.
std::string ShellQuoted(std::string_view word);

// The one document of --json, on stdout. False, after an error message, if it could not be written.
bool PrintJson(const Json& document);
// Text on stdout; false, after an error message, if it could not be written.
bool PrintText(std::string_view text);

// Lines of aligned columns.
class Table {
 public:
  enum class Align : uint8_t { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void AddRow(std::vector<std::string> cells);
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Asks on the terminal; true only for an answer of "yes" or "y".
bool AskYesNo(std::string_view question);
bool StdinIsTerminal();

}  // namespace tifs::cli
