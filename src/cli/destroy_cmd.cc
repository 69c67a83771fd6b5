#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "cli/assemble.h"
#include "cli/cluster_address.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

constexpr uint64_t kMemoryBytes = uint64_t{64} << 20;

struct DestroyArguments {
  std::string uri;
  std::string name;
};

// Who destroys a file system has to know its name.
Status Confirm(const DestroyArguments& arguments, const Uri& uri, const std::string& name) {
  std::string said = arguments.name;
  if (said.empty()) {
    if (!StdinIsTerminal()) {
      return Explained(ErrorCode::kNotPermitted, Escaped(uri.ToString()),
                       "nobody was asked whether it may be destroyed",
                       fmt::format("add '--name {}' if it may", name));
    }
    PrintWarning(fmt::format("{}: this destroys the file system and all files in it",
                             Escaped(uri.ToString())));
    if (!PrintText("Type its name to go on: ")) return Error(ErrorCode::kIo, "terminal");
    std::cout.flush();
    std::getline(std::cin, said);
  }
  if (said == name) return {};
  return Explained(ErrorCode::kNotPermitted, Escaped(uri.ToString()),
                   fmt::format("'{}' is not its name; left as it was", Escaped(said)));
}

Status Destroy(const DestroyArguments& arguments, const Uri& uri) {
  const ClusterAddress address = TRY(ParseClusterAddress(uri));
  OwnerRecord record;
  record.activity = "destroy";
  const auto store = TRY(ClaimStore(uri, ClaimFor::kFormat, record, kUnmountPatience));
  // One that is half made or half destroyed is not found, and can be deleted all the same.
  Status opened = store->Open(ClaimedStore::Mode::kRead, kMemoryBytes);
  if (!opened && opened.error().code() != ErrorCode::kNotFound) return opened;
  TRY(Confirm(arguments, uri, address.name));
  return store->Destroy();
}

int RunDestroy(const DestroyArguments& arguments) {
  const Result<Uri> uri = ParseStoreUri(arguments.uri);
  if (!uri || !IsCluster(*uri)) {
    PrintError(uri ? Explained(ErrorCode::kInvalid, Escaped(arguments.uri),
                               "is a directory, not a file system in a cluster",
                               "delete it with 'rm -r', or make it anew with 'tifs format --force'")
                   : uri.error().Clone());
    return kExitUsage;
  }
  const Status destroyed = Destroy(arguments, *uri);
  if (!destroyed) {
    PrintError(ExplainedAs(Escaped(uri->ToString()), destroyed.error().Clone()));
    return kExitFailed;
  }
  return PrintText(fmt::format("destroyed {}\n", uri->ToString())) ? kExitDone : kExitFailed;
}

}  // namespace

void AddDestroyCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<DestroyArguments>();
  CLI::App* command = app.add_subcommand("destroy", "Delete a file system from a cluster");
  command->add_option("URI", arguments->uri, "The file system: tikv://PD/NAME")->required();
  command->add_option("--name", arguments->name, "Its name, in place of typing it")
      ->type_name("NAME");
  command->callback([arguments, &exit_code] { exit_code = RunDestroy(*arguments); });
}

}  // namespace tifs::cli
