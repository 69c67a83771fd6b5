#include "kv/rocks/rocks_log.h"

#include <cstdarg>
#include <cstdio>
#include <string_view>

#include "base/log.h"

namespace tifs::kv {
namespace {

LogLevel LevelOf(rocksdb::InfoLogLevel level) {
  switch (level) {
    case rocksdb::FATAL_LEVEL:
    case rocksdb::ERROR_LEVEL: return LogLevel::kError;
    case rocksdb::WARN_LEVEL: return LogLevel::kWarning;
    default: return LogLevel::kDebug;
  }
}

class RocksLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  RocksLog() : Logger(LogEnabled(LogLevel::kDebug) ? rocksdb::INFO_LEVEL : rocksdb::WARN_LEVEL) {}

  void Logv(const char* format, va_list arguments) override {
    Logv(rocksdb::INFO_LEVEL, format, arguments);
  }
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level < GetInfoLogLevel() || !LogEnabled(LevelOf(level))) return;
    char line[1024];  // longer ones are cut
    if (std::vsnprintf(line, sizeof line, format, arguments) < 0) return;
    std::string_view text(line);
    while (text.ends_with('\n')) text.remove_suffix(1);
    WriteLog(LevelOf(level), fmt::format("RocksDB: {}", text));
  }
  // All options and versions, at each opening.
  void LogHeader(const char* format, va_list arguments) override {
    Logv(rocksdb::INFO_LEVEL, format, arguments);
  }
};

}  // namespace

std::shared_ptr<rocksdb::Logger> NewRocksLog() { return std::make_shared<RocksLog>(); }

}  // namespace tifs::kv
