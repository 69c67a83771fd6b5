#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/cluster_address.h"
#include "cli/cluster_store.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

struct ListArguments {
  std::string uri;
  bool json = false;
};

std::string_view StateText(ClusterNames::State state) {
  switch (state) {
    case ClusterNames::State::kUnfinished: return "unfinished";
    case ClusterNames::State::kReady: return "ready";
    case ClusterNames::State::kDestroyed: return "destroyed";
  }
  return "";
}

// Whether the answer could be printed.
Result<bool> List(const ListArguments& arguments, const Uri& cluster) {
  const std::vector<ClusterNames::FileSystem> listed = TRY(ListCluster(cluster));
  if (arguments.json) {
    Json json = Json::array();
    for (const ClusterNames::FileSystem& one : listed) {
      json.push_back({{"name", one.name}, {"number", one.number}, {"state", StateText(one.state)}});
    }
    return PrintJson({{"uri", cluster.ToString()}, {"file_systems", std::move(json)}});
  }
  if (listed.empty()) return PrintText("no file systems\n");
  Table table({{"name"}, {"number", Table::Align::kRight}, {"state"}});
  for (const ClusterNames::FileSystem& one : listed) {
    table.AddRow({one.name, fmt::format("{}", one.number), std::string(StateText(one.state))});
  }
  return PrintText(table.ToString());
}

int RunList(const ListArguments& arguments) {
  const Result<Uri> cluster = ParseClusterUri(arguments.uri);
  if (!cluster) {
    PrintError(cluster.error());
    return kExitUsage;
  }
  const Result<bool> printed = List(arguments, *cluster);
  if (!printed) PrintError(printed.error());
  return printed && *printed ? kExitDone : kExitFailed;
}

}  // namespace

void AddListCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<ListArguments>();
  CLI::App* command = app.add_subcommand("list", "List the file systems in a cluster");
  command->add_option("URI", arguments->uri, "The cluster: tikv://PD[,PD...]")->required();
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->callback([arguments, &exit_code] { exit_code = RunList(*arguments); });
}

}  // namespace tifs::cli
