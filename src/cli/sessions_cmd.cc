#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cli/assemble.h"
#include "cli/cluster_address.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/target.h"
#include "fs/session_list.h"

namespace tifs::cli {
namespace {

constexpr uint64_t kMemoryBytes = uint64_t{64} << 20;
// The logical part of a cluster's timestamps; the rest are milliseconds.
constexpr int kLogicalBits = 18;

struct SessionsArguments {
  std::string target;
  std::optional<uint64_t> evict;
  bool json = false;
};

std::string_view StateText(fs::SessionState state) {
  switch (state) {
    case fs::SessionState::kAlive: return "alive";
    case fs::SessionState::kDead: return "dead";
    case fs::SessionState::kExclusive: return "exclusive";
  }
  return "";
}

std::string TimeText(int64_t seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

// When it last gave a sign of life, by the cluster's clock; of one without heartbeats, when it
// began.
int64_t LastSeconds(const fs::SessionRecord& record) {
  if (record.seen == 0) return record.joined.seconds;
  return static_cast<int64_t>((record.seen >> kLogicalBits) / 1000);
}

Json ToJson(const Uri& uri, const std::vector<fs::SessionStatus>& sessions) {
  Json listed = Json::array();
  for (const fs::SessionStatus& one : sessions) {
    listed.push_back({{"id", one.record.id.value},
                      {"state", StateText(one.record.state)},
                      {"host", Escaped(one.record.host)},
                      {"pid", one.record.pid},
                      {"mount_point", Escaped(one.record.mount_point)},
                      {"since", TimeText(one.record.joined.seconds)},
                      {"last_heartbeat", TimeText(LastSeconds(one.record))},
                      {"timeout_ms", one.record.timeout_ms},
                      {"holds", one.holds}});
  }
  return {{"uri", uri.ToString()}, {"sessions", std::move(listed)}};
}

std::string ToText(const std::vector<fs::SessionStatus>& sessions) {
  if (sessions.empty()) return "not mounted anywhere\n";
  using Align = Table::Align;
  Table table({{"id", Align::kRight},
               {"state"},
               {"host"},
               {"pid", Align::kRight},
               {"mount point"},
               {"since"},
               {"last heartbeat"},
               {"holds", Align::kRight}});
  for (const fs::SessionStatus& one : sessions) {
    table.AddRow({fmt::format("{}", one.record.id.value), std::string(StateText(one.record.state)),
                  Escaped(one.record.host), fmt::format("{}", one.record.pid),
                  Escaped(one.record.mount_point), TimeText(one.record.joined.seconds),
                  TimeText(LastSeconds(one.record)), FormatCount(one.holds)});
  }
  return table.ToString();
}

Status Evict(ClaimedStore& store, const Uri& uri, fs::SessionId id) {
  const Status evicted = fs::EvictSession(store.store(), SystemClock(), id);
  if (evicted) return {};
  const std::string what = fmt::format("{}: session {}", Escaped(uri.Subject()), id.value);
  switch (evicted.error().code()) {
    case ErrorCode::kNotFound: return Explained(ErrorCode::kNotFound, what, "there is none");
    case ErrorCode::kNotSupported:
      return Explained(ErrorCode::kNotSupported, what, "it works on the file system alone",
                       "end that process");
    default: return ExplainedAs(what, evicted.error().Clone());
  }
}

// Whether the answer could be printed.
Result<bool> RunSessions(const SessionsArguments& arguments) {
  const Target target = TRY(ResolveTarget(arguments.target));
  if (!IsCluster(target.uri)) {
    return Explained(ErrorCode::kInvalid, Escaped(arguments.target),
                     "an embedded store has one mount, and no sessions", "see 'tifs info'");
  }
  OwnerRecord record;
  record.activity = "info";
  const auto store = TRY(ClaimStore(target.uri, ClaimFor::kUse, record, kUnmountPatience));
  TRY(store->Open(ClaimedStore::Mode::kRead, kMemoryBytes));
  if (arguments.evict) TRY(Evict(*store, target.uri, {*arguments.evict}));
  auto sessions = fs::ListSessions(store->store(), SystemClock());
  if (!sessions) return ExplainedAs(Escaped(target.uri.Subject()), std::move(sessions).error());
  return arguments.json ? PrintJson(ToJson(target.uri, *sessions)) : PrintText(ToText(*sessions));
}

}  // namespace

void AddSessionsCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<SessionsArguments>();
  CLI::App* command =
      app.add_subcommand("sessions", "Show who has a cluster's file system mounted");
  command->add_option("URI|DIR", arguments->target, "A file system, or a directory of a mount")
      ->required();
  command->add_option("--evict", arguments->evict, "End this session, alive or dead")
      ->type_name("ID");
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->callback([arguments, &exit_code] {
    Result<bool> printed = RunSessions(*arguments);
    exit_code = printed && *printed ? kExitDone : kExitFailed;
    if (!printed) PrintError(ExplainedAs(Escaped(arguments->target), std::move(printed).error()));
  });
}

}  // namespace tifs::cli
