#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "block/io_scheduler.h"

// What an IoScheduler goes by, as people write it in URIs, options and on the command line:
//
//   scheduler                on or off. "on" takes a profile, or a limit
//   latency_goal_ms          what a foreground read may take: 0.001 to 60000. Takes a profile
//   min_background_percent   of the device's time, whatever the foreground wants: 1 to 100
//   CLASS.weight             of what the background gets: 1 to 1000
//   CLASS.max_bytes_per_s    a size from 1MiB on, 0: no limit
//   CLASS.max_iops           a count from 10 on, 0: no limit
//
// CLASS is flush, compaction or migration. Whatever is set turns the scheduler on, but
// "scheduler=off". Limits hold without a profile as well.
namespace tifs::block {

using IoSetting = std::pair<std::string, std::string>;  // name, value

bool IsIoSetting(std::string_view name);
// All or nothing. kInvalid, of which the detail is "WHY; WAY OUT".
Status ApplyIoSettings(IoScheduler& scheduler, std::span<const IoSetting> settings);
// All that there are, in a fixed order; ApplyIoSettings reads each.
std::vector<IoSetting> ListIoSettings(const IoSchedulerSettings& settings);

// Counts as lines "NAME VALUE": `all.CLASS.reads`, `.read_bytes`, `.writes`, `.write_bytes` of the
// whole device, the same of one instance after `instance.`, `CLASS.waits`, `CLASS.waited_ns`, and
// `read_p50_ns`, `read_p99_ns`, `read_p999_ns`, `background_share_percent`.
std::string IoCountsText(const IoSchedulerCounts& counts, const IoCounter& instance);

}  // namespace tifs::block
