#include "block/io_settings.h"

#include <gtest/gtest.h>

#include <map>

#include "base/clock.h"

namespace tifs::block {
namespace {

IoSchedulerOptions Profiled() {
  IoSchedulerOptions options;
  options.profile = {.read_iops = 10'000,
                     .read_bytes_per_s = 1'000'000'000,
                     .write_iops = 10'000,
                     .write_bytes_per_s = 1'000'000'000,
                     .latency_goal_ns = 1'000'000};
  return options;
}

Status Apply(IoScheduler& scheduler, std::vector<IoSetting> settings) {
  return ApplyIoSettings(scheduler, settings);
}

std::map<std::string, std::string> Listed(const IoScheduler& scheduler) {
  const auto list = ListIoSettings(scheduler.Settings());
  return {list.begin(), list.end()};
}

TEST(IoSettingsTest, ChangeWhatIsNamedAndNothingElse) {
  IoScheduler scheduler(SystemClock());
  ASSERT_TRUE(scheduler.Configure(Profiled()).ok());
  const auto before = Listed(scheduler);
  ASSERT_TRUE(Apply(scheduler, {{"latency_goal_ms", "2.5"},
                                {"min_background_percent", "25"},
                                {"compaction.max_bytes_per_s", "50MiB"},
                                {"compaction.max_iops", "2k"},
                                {"flush.weight", "7"}})
                  .ok());
  auto expected = before;
  expected["latency_goal_ms"] = "2.5";
  expected["min_background_percent"] = "25";
  expected["compaction.max_bytes_per_s"] = "52428800";
  expected["compaction.max_iops"] = "2000";
  expected["flush.weight"] = "7";
  EXPECT_EQ(Listed(scheduler), expected);
  EXPECT_EQ(scheduler.Settings().options.profile.latency_goal_ns, 2'500'000u);
  EXPECT_EQ(scheduler.Settings().options.profile.read_iops, 10'000u);
}

TEST(IoSettingsTest, AreReadBackAsTheyAreListed) {
  IoScheduler scheduler(SystemClock());
  ASSERT_TRUE(scheduler.Configure(Profiled()).ok());
  ASSERT_TRUE(Apply(scheduler, {{"migration.max_iops", "10"}, {"scheduler", "off"}}).ok());
  const auto list = ListIoSettings(scheduler.Settings());
  IoScheduler other(SystemClock());
  ASSERT_TRUE(other.Configure(Profiled()).ok());
  ASSERT_TRUE(ApplyIoSettings(other, list).ok());
  EXPECT_EQ(ListIoSettings(other.Settings()), list);
  for (const auto& [name, value] : list) EXPECT_TRUE(IsIoSetting(name)) << name;
}

TEST(IoSettingsTest, AnErrorChangesNothing) {
  IoScheduler scheduler(SystemClock());
  ASSERT_TRUE(scheduler.Configure(Profiled()).ok());
  const auto before = Listed(scheduler);
  for (const IoSetting& wrong : std::vector<IoSetting>{{"scheduler", "maybe"},
                                                       {"latency_goal_ms", "0"},
                                                       {"latency_goal_ms", "1e3"},
                                                       {"latency_goal_ms", "nan"},
                                                       {"latency_goal_ms", "60001"},
                                                       {"min_background_percent", "0"},
                                                       {"min_background_percent", "101"},
                                                       {"flush.weight", "0"},
                                                       {"flush.weight", "1001"},
                                                       {"flush.max_bytes_per_s", "1MB"},
                                                       {"flush.max_iops", "9"},
                                                       {"flush.max_iops", "-1"},
                                                       {"flush.limit", "1"},
                                                       {"foreground.weight", "1"},
                                                       {"", ""}}) {
    const Status status = Apply(scheduler, {{"compaction.weight", "9"}, wrong});
    ASSERT_FALSE(status.ok()) << wrong.first << "=" << wrong.second;
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalid);
    EXPECT_NE(status.error().detail().find("; "), std::string_view::npos);
    EXPECT_EQ(Listed(scheduler), before) << wrong.first << "=" << wrong.second;
  }
}

TEST(IoSettingsTest, WithoutAProfileOnlyLimitsHold) {
  IoScheduler scheduler(SystemClock());
  EXPECT_FALSE(Listed(scheduler).contains("latency_goal_ms"));
  EXPECT_FALSE(Apply(scheduler, {{"latency_goal_ms", "5"}}).ok());
  EXPECT_FALSE(Apply(scheduler, {{"scheduler", "on"}}).ok());
  EXPECT_FALSE(scheduler.enabled());
  ASSERT_TRUE(Apply(scheduler, {{"compaction.max_iops", "10"}}).ok());
  EXPECT_TRUE(scheduler.enabled());
  ASSERT_TRUE(Apply(scheduler, {{"scheduler", "off"}}).ok());
  EXPECT_FALSE(scheduler.enabled());
  ASSERT_TRUE(Apply(scheduler, {{"scheduler", "on"}}).ok());
}

TEST(IoSettingsTest, CountsAreShownByClass) {
  IoScheduler scheduler(SystemClock());
  IoCounter instance;
  {
    const IoScope scope(IoClass::kCompaction, &instance);
    scheduler.Count(IoKind::kWrite, 4096);
  }
  scheduler.Count(IoKind::kRead, 512);
  const std::string text = IoCountsText(scheduler.Counts(), instance);
  for (const char* line :
       {"all.compaction.writes 1\n", "all.compaction.write_bytes 4096\n",
        "all.foreground.reads 1\n", "instance.compaction.write_bytes 4096\n",
        "instance.foreground.reads 0\n", "flush.waits 0\n", "background_share_percent 100.0\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  EXPECT_EQ(scheduler.Counts().unclaimed[0].read_bytes, 512u);
  EXPECT_EQ(scheduler.Counts().unclaimed[2].write_bytes, 0u);
}

}  // namespace
}  // namespace tifs::block
