#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/parse_size.h"
#include "cli/bench_folder.h"
#include "cli/bench_works.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/size_text.h"

namespace tifs::cli {
namespace {

struct BenchArguments {
  std::string directory;
  std::string size = "256MiB";
  uint64_t files = 2000;
  bool json = false;
};

constexpr uint64_t kMinLargeBytes = 1 << 20;

Status CheckSpace(const std::string& directory, const BenchSizes& sizes) {
  struct statvfs space;
  if (::statvfs(directory.c_str(), &space) != 0) return ErrorFromErrno(errno, "statvfs");
  const uint64_t needed = sizes.large_bytes + sizes.files * sizes.file_bytes;
  const uint64_t available = uint64_t{space.f_bavail} * space.f_frsize;
  if (available >= needed) return {};
  return Explained(ErrorCode::kNoSpace, Escaped(directory),
                   fmt::format("the bench needs {}, only {} are free", FormatSize(needed),
                               FormatSize(available)),
                   "use a smaller --size");
}

double PerSecond(double amount, const BenchResult& result) {
  return result.seconds > 0 ? amount / result.seconds : 0;
}

std::string ToText(const std::vector<BenchResult>& results) {
  using Align = Table::Align;
  Table table({{"work"}, {"rate", Align::kRight}, {"each", Align::kRight}, {"in", Align::kRight}});
  for (const BenchResult& result : results) {
    const bool in_bytes = result.bytes > 0;
    const double rate =
        PerSecond(static_cast<double>(in_bytes ? result.bytes : result.operations), result);
    const double each_ns =
        result.operations == 0 ? 0 : result.seconds * 1e9 / static_cast<double>(result.operations);
    table.AddRow({result.title,
                  in_bytes ? FormatSize(static_cast<uint64_t>(rate)) + "/s"
                           : FormatCount(static_cast<uint64_t>(rate)) + " /s",
                  FormatLatency(std::chrono::nanoseconds(std::llround(each_ns))),
                  fmt::format("{:.2f} s", result.seconds)});
  }
  return table.ToString();
}

Json ToJson(const BenchArguments& arguments, const std::vector<BenchResult>& results) {
  Json works = Json::array();
  for (const BenchResult& result : results) {
    works.push_back(
        {{"name", result.name},
         {"operations", result.operations},
         {"bytes", result.bytes},
         {"seconds", result.seconds},
         {"operations_per_second", PerSecond(static_cast<double>(result.operations), result)},
         {"bytes_per_second", PerSecond(static_cast<double>(result.bytes), result)}});
  }
  return {{"directory", Escaped(arguments.directory)}, {"works", std::move(works)}};
}

Result<bool> Bench(const BenchArguments& arguments, const BenchSizes& sizes) {
  TRY(CheckSpace(arguments.directory, sizes));
  const auto folder = TRY(BenchFolder::Make(arguments.directory));
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const auto show = [terminal](std::string_view text) {
    if (!terminal) return;
    const std::string line = fmt::format("\r\x1b[K{}", text);
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  };
  Result<std::vector<BenchResult>> results =
      RunBenchWorks(folder->path(), sizes, [&](std::string_view title) { show(title); });
  show("");
  TRY(folder->Remove());
  if (!results) return std::move(results).error();
  return arguments.json ? PrintJson(ToJson(arguments, *results)) : PrintText(ToText(*results));
}

int RunBench(const BenchArguments& arguments) {
  BenchSizes sizes;
  sizes.files = arguments.files;
  const Result<uint64_t> size = ParseSize(arguments.size);
  if (!size || *size < kMinLargeBytes) {
    PrintError(Explained(ErrorCode::kInvalid, fmt::format("--size '{}'", Escaped(arguments.size)),
                         size ? "is too small" : size.error().detail(), "give at least 1MiB"));
    return kExitUsage;
  }
  sizes.large_bytes = *size;
  Result<bool> printed = Bench(arguments, sizes);
  if (!printed) {
    PrintError(ExplainedAs(Escaped(arguments.directory), std::move(printed).error()));
  }
  return printed && *printed ? kExitDone : kExitFailed;
}

}  // namespace

void AddBenchCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App* command = app.add_subcommand("bench", "Measure a directory, in a minute at most");
  command->add_option("DIR", arguments->directory, "Any directory; what is made there is deleted")
      ->required();
  command->add_option("--size", arguments->size, "Size of the large file (default 256MiB)")
      ->type_name("SIZE");
  command->add_option("--files", arguments->files, "How many small files (default 2000)")
      ->check(CLI::Range(uint64_t{1}, uint64_t{10'000'000}))
      ->type_name("N");
  command->add_flag("--json", arguments->json, "Print one JSON document");
  command->callback([arguments, &exit_code] { exit_code = RunBench(*arguments); });
}

}  // namespace tifs::cli
