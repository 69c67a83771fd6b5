#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>

#include <atomic>
#include <filesystem>
#include <memory>

#include "base/sync.h"

namespace tifs {
namespace {

constexpr char kPattern[] = "%Y-%m-%dT%H:%M:%S.%e%z %l tifs[%P] %v";

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> MakeLogger(const LogOptions& options) {
  spdlog::sink_ptr sink;
  switch (options.sink) {
    case LogOptions::Sink::kStderr: sink = std::make_shared<spdlog::sinks::stderr_sink_mt>(); break;
    case LogOptions::Sink::kSyslog:
      sink = std::make_shared<spdlog::sinks::syslog_sink_mt>("tifs", LOG_PID, LOG_DAEMON, false);
      break;
    case LogOptions::Sink::kFile:
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
      break;
  }
  auto logger = std::make_shared<spdlog::logger>("tifs", std::move(sink));
  if (options.sink != LogOptions::Sink::kSyslog) logger->set_pattern(kPattern);
  logger->set_level(ToSpdlog(options.level));
  logger->flush_on(spdlog::level::info);
  return logger;
}

struct Log {
  Mutex mutex;
  LogOptions options GUARDED_BY(mutex);
  std::shared_ptr<spdlog::logger> logger GUARDED_BY(mutex) = MakeLogger(LogOptions());
  std::atomic<LogLevel> level{LogLevel::kInfo};
};

Log& TheLog() {
  static auto* log = new Log;  // never destroyed: threads may log until the very end
  return *log;
}

std::shared_ptr<spdlog::logger> TheLogger() {
  Log& log = TheLog();
  MutexLock lock(log.mutex);
  return log.logger;
}

}  // namespace

Status OpenLog(const LogOptions& options) {
  if (options.sink == LogOptions::Sink::kFile) {
    // The sink would make it: a mistyped path would go unnoticed, and fill another disk.
    const std::filesystem::path folder = std::filesystem::path(options.file).parent_path();
    std::error_code error;
    if (!folder.empty() && !std::filesystem::is_directory(folder, error)) {
      return Error(ErrorCode::kNotFound, "log file", "its directory does not exist");
    }
  }
  std::shared_ptr<spdlog::logger> logger;
  try {
    logger = MakeLogger(options);
  } catch (const std::exception& e) {
    return Error(ErrorCode::kIo, "log file", e.what());
  }
  Log& log = TheLog();
  MutexLock lock(log.mutex);
  log.options = options;
  log.level = options.level;
  log.logger.swap(logger);
  return {};
}

void ReopenLog() {
  LogOptions options;
  {
    Log& log = TheLog();
    MutexLock lock(log.mutex);
    options = log.options;
  }
  if (options.sink != LogOptions::Sink::kFile) return;
  if (Status status = OpenLog(options); !status) {
    LogError("log file not reopened: {}", status.error().ToString());
  }
}

void FlushLog() { TheLogger()->flush(); }

bool LogEnabled(LogLevel level) { return level >= TheLog().level.load(std::memory_order_relaxed); }

void WriteLog(LogLevel level, std::string_view line) {
  TheLogger()->log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

Result<LogLevel> ParseLogLevel(std::string_view name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return Error(ErrorCode::kInvalid, "log level", "one of debug, info, warning, error");
}

}  // namespace tifs
