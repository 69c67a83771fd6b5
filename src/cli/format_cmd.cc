#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/parse_size.h"
#include "cli/assemble.h"
#include "cli/cluster_address.h"
#include "cli/commands.h"
#include "cli/mount_options.h"
#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/status_json.h"
#include "fs/file_system.h"

namespace tifs::cli {
namespace {

struct FormatArguments {
  std::string uri;
  std::string block_size;
  std::string capacity;
  std::string inodes;
  std::string name;
  bool force = false;
  bool yes = false;
  bool json = false;
};

constexpr uint64_t kMemoryBytes = uint64_t{128} << 20;

Error BadOption(std::string_view option, std::string_view value, std::string_view why) {
  return Explained(ErrorCode::kInvalid, fmt::format("{} '{}'", option, Escaped(value)), why,
                   "run 'tifs format --help'");
}

// What is written at a time by the mounts of a cluster's file system is spread over so many stripes
// of a directory.
constexpr uint16_t kClusterStripes = 8;

Result<fs::FormatOptions> OptionsOf(const FormatArguments& arguments, const Uri& uri) {
  fs::FormatOptions options;
  options.name = arguments.name;
  options.root_uid = ::geteuid();
  options.root_gid = ::getegid();
  options.extents = !IsCluster(uri);
  options.directory_stripes = IsCluster(uri) ? kClusterStripes : 1;
  const auto number = [](std::string_view option, const std::string& text, uint64_t fallback,
                         Result<uint64_t> (*parse)(std::string_view)) -> Result<uint64_t> {
    if (text.empty()) return fallback;
    Result<uint64_t> value = parse(text);
    if (!value) return BadOption(option, text, value.error().detail());
    if (*value == 0) return BadOption(option, text, "must not be zero");
    return value;
  };
  const uint64_t block_size =
      TRY(number("--block-size", arguments.block_size, options.block_size_bytes, ParseSize));
  if (block_size < (4 << 10) || block_size > (1 << 20) || (block_size & (block_size - 1)) != 0) {
    return BadOption("--block-size", arguments.block_size,
                     "is not a power of two from 4KiB to 1MiB");
  }
  options.block_size_bytes = static_cast<uint32_t>(block_size);
  options.capacity_bytes = TRY(number("--capacity", arguments.capacity, 0, ParseSize));
  options.max_inodes = TRY(number("--inodes", arguments.inodes, 0, ParseCount));
  if (Status status = options.Validate(); !status) {
    return Explained(ErrorCode::kInvalid, "format", Escaped(status.error().detail()),
                     "run 'tifs format --help'");
  }
  return options;
}

// What a format over it would destroy.
std::string DescribeLoss(ClaimedStore& store, const Uri& uri) {
  const auto file_system = OpenUnmounted(store, uri, /*read_only=*/true);
  if (file_system) {
    if (const auto info = (*file_system)->Info()) {
      const std::string name =
          info->name.empty() ? std::string() : fmt::format(" '{}'", Escaped(info->name));
      return fmt::format("the file system{} {} with {} inodes and {} of data", name, info->uuid,
                         FormatCount(info->used_inodes), FormatSize(info->used_bytes));
    }
  } else if (file_system.error().code() == ErrorCode::kNotSupported) {
    return "a file system of a newer version";
  }
  return "a file system that cannot be read";
}

Status ConfirmLoss(const FormatArguments& arguments, const Uri& uri, const std::string& loss) {
  if (!arguments.force) {
    return Explained(ErrorCode::kExists, Escaped(uri.Subject()), fmt::format("holds {}", loss),
                     "use --force to destroy it");
  }
  PrintWarning(fmt::format("{}: this destroys {}", Escaped(uri.Subject()), loss));
  if (arguments.yes) return {};
  if (!StdinIsTerminal()) {
    return Explained(ErrorCode::kNotPermitted, Escaped(uri.Subject()),
                     "nobody was asked whether that may be destroyed", "add --yes if it may");
  }
  if (AskYesNo("Destroy it?")) return {};
  return Explained(ErrorCode::kNotPermitted, Escaped(uri.Subject()), "left as it was");
}

// Opens the store for a format, after what was there has been given up.
Status OpenFresh(const FormatArguments& arguments, const Uri& uri, ClaimedStore& store) {
  std::optional<std::string> loss = TRY(store.HiddenLoss());
  if (!loss) {
    Status opened = store.Open(ClaimedStore::Mode::kCreate, kMemoryBytes);
    // A store that is damaged, or of a newer version, is one that can be lost.
    Result<bool> formatted = opened ? fs::IsFormatted(store.store()) : Result<bool>(true);
    if (opened && formatted && !*formatted) return {};
    if (!opened && (opened.error().code() == ErrorCode::kNoSpace ||
                    opened.error().code() == ErrorCode::kAccessDenied)) {
      return opened;
    }
    loss = opened ? DescribeLoss(store, uri) : "a file system that cannot be read";
  }
  TRY(ConfirmLoss(arguments, uri, *loss));
  TRY(store.Destroy());
  return store.Open(ClaimedStore::Mode::kCreate, kMemoryBytes);
}

// Whether the answer could be printed.
Result<bool> Format(const FormatArguments& arguments, const Uri& uri,
                    const fs::FormatOptions& options) {
  ::umask(077);
  OwnerRecord record;
  record.activity = "format";
  auto store = TRY(ClaimStore(uri, ClaimFor::kFormat, record, kUnmountPatience));
  if (Status status = OpenFresh(arguments, uri, *store); !status) {
    if (status.error().code() == ErrorCode::kNoSpace) store->Discard();
    return std::move(status).error();
  }
  if (Status status = fs::Format(store->store(), SystemClock(), options); !status) {
    store->Discard();
    return ExplainedAs(Escaped(uri.Subject()), std::move(status).error());
  }
  TRY(store->FinishFormat());
  const auto file_system = TRY(OpenUnmounted(*store, uri, /*read_only=*/true));
  const fs::FileSystemInfo info = TRY(file_system->Info());
  const fs::FileSystemUsage usage = TRY(file_system->Statfs());
  if (arguments.json) {
    return PrintJson(InfoToJson(uri, *store, info, usage));
  }
  std::string capacity = store->volume()  ? "as much as the volume"
                         : IsCluster(uri) ? "as much as the cluster"
                                          : "as much as the disk below";
  if (info.capacity_bytes != 0) capacity = FormatSize(info.capacity_bytes);
  return PrintText(fmt::format("formatted {}: UUID {}, blocks of {}, capacity {}\n", uri.ToString(),
                               info.uuid, FormatSize(info.block_size_bytes), capacity));
}

int RunFormat(const FormatArguments& arguments) {
  Result<Uri> uri = ParseStoreUri(arguments.uri);
  if (!uri) {
    PrintError(uri.error());
    return kExitUsage;
  }
  Result<fs::FormatOptions> options = OptionsOf(arguments, *uri);
  if (!options) {
    PrintError(options.error());
    return kExitUsage;
  }
  Result<bool> printed = Format(arguments, *uri, *options);
  if (!printed) PrintError(ExplainedAs(Escaped(uri->Subject()), std::move(printed).error()));
  return printed && *printed ? kExitDone : kExitFailed;
}

void AddArguments(CLI::App& command, FormatArguments& arguments) {
  command.add_option("URI", arguments.uri, "The store, e.g. rocks:///srv/data")->required();
  command
      .add_option("--block-size", arguments.block_size,
                  "Bytes of a block: a power of two from 4KiB to 1MiB (default 64KiB)")
      ->type_name("SIZE");
  command
      .add_option("--capacity", arguments.capacity,
                  "Most bytes that files may take (default: as the disk below)")
      ->type_name("SIZE");
  command
      .add_option("--inodes", arguments.inodes, "Most files and directories (default: no limit)")
      ->type_name("N");
  command.add_option("--name,-L", arguments.name, "A name, shown by info")->type_name("NAME");
  command.add_flag("--force", arguments.force, "Destroy the file system that is there");
  command.add_flag("--yes,-y", arguments.yes, "Do not ask before destroying");
  command.add_flag("--json", arguments.json, "Print one JSON document");
}

}  // namespace

void AddFormatCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<FormatArguments>();
  CLI::App* command = app.add_subcommand("format", "Make a file system in a store");
  AddArguments(*command, *arguments);
  command->callback([arguments, &exit_code] { exit_code = RunFormat(*arguments); });
}

// As mkfs(8) calls it: [-V] [options] URI. It has only one code for failure.
int RunMkfsHelper(const std::vector<std::string>& words) {
  FormatArguments arguments;
  CLI::App app("Make a TiFS file system", "mkfs.tifs");
  AddArguments(app, arguments);
  bool ignored = false;
  app.add_flag("-V,-v", ignored, "Accepted and ignored");
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    return PrintText(app.help()) ? 0 : 1;
  } catch (const CLI::ParseError& error) {
    PrintError(Explained(ErrorCode::kInvalid, "mkfs.tifs", Escaped(error.what()),
                         "run 'mkfs.tifs --help'"));
    return 1;
  }
  return RunFormat(arguments) == kExitDone ? 0 : 1;
}

}  // namespace tifs::cli
