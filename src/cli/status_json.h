#pragma once

#include <string>

#include "cli/assemble.h"
#include "cli/output.h"
#include "cli/uri.h"
#include "fs/file_system.h"
#include "fs/fs_check.h"

// What the commands show, as the JSON of --json (documented in docs/json.md), and that as text. A
// mount answers with the same JSON over its control socket.
namespace tifs::cli {

Json InfoToJson(const Uri& uri, const ClaimedStore& store, const fs::FileSystemInfo& info,
                const fs::FileSystemUsage& usage);
// `figures`: of the store below.
Json StatsToJson(fs::FileSystem& file_system, ClaimedStore& store, double uptime_seconds);
Json CheckReportToJson(const fs::CheckReport& report);
// Checks the file system in an open store. Errors are explained.
Result<Json> CheckToJson(ClaimedStore& store, const Uri& uri, const fs::CheckOptions& options);

std::string InfoToText(const Json& info);
// Operations that were used; with `before` (an earlier answer), rates since then as well.
std::string StatsToText(const Json& stats, const Json* before);
std::string CheckReportToText(const Json& report);

}  // namespace tifs::cli
