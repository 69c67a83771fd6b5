#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace tifs {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

// Where log lines go: stderr until told otherwise.
struct LogOptions {
  enum class Sink : uint8_t { kStderr, kSyslog, kFile } sink = Sink::kStderr;
  std::string file;  // for kFile; an absolute path
  LogLevel level = LogLevel::kInfo;
};

// Log lines are the one thing of the process that is reached from everywhere, so the sink is the
// one exception to "no process globals". All calls are safe from any thread.
Status OpenLog(const LogOptions& options);
// Opens the file again under its name (after logrotate). No-op for other sinks.
void ReopenLog();
void FlushLog();
bool LogEnabled(LogLevel level);
void WriteLog(LogLevel level, std::string_view line);
Result<LogLevel> ParseLogLevel(std::string_view name);

namespace internal {
template <typename... Args>
void Log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(level)) WriteLog(level, fmt::format(format, std::forward<Args>(args)...));
}
}  // namespace internal

template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  internal::Log(LogLevel::kDebug, format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  internal::Log(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  internal::Log(LogLevel::kWarning, format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  internal::Log(LogLevel::kError, format, std::forward<Args>(args)...);
}

}  // namespace tifs
