// What people and fstab type: any text is an answer or an error that is safe to print.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/coding.h"
#include "base/parse_size.h"
#include "block/device_name.h"
#include "block/io_settings.h"
#include "cli/mount_options.h"
#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/store_volume.h"
#include "cli/uri.h"
#include "fuzz_target.h"
#include "rocksfs/volume_uri.h"

namespace tifs::fuzz {
namespace {

bool HasControlCharacters(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// Error texts go to terminals and logs.
std::string CheckError(const Error& error) {
  if (error.code() != ErrorCode::kInvalid) return "not kInvalid";
  if (HasControlCharacters(error.ToString())) return "the error's text could drive a terminal";
  return {};
}

std::string RunUri(std::string_view text) {
  (void)cli::LooksLikeUri(text);
  const auto uri = cli::ParseUri(text);
  if (!uri) return CheckError(uri.error());
  const std::string canonical = uri->ToString();
  const auto again = cli::ParseUri(canonical);
  if (!again) return "the canonical text is not a URI: " + canonical;
  if (again->scheme != uri->scheme || again->authority != uri->authority ||
      again->path != uri->path || again->query != uri->query) {
    return "the canonical text means something else: " + canonical;
  }
  if (again->ToString() != canonical) return "not canonical: " + canonical;
  if (uri->authority.empty() && uri->query.empty() &&
      (HasControlCharacters(canonical) || canonical.find_first_of(", ") != std::string::npos)) {
    return "not fit for a mount table: " + canonical;
  }
  return {};
}

std::string MakeUri(Random& random) {
  static constexpr std::array<std::string_view, 12> kPieces = {
      "/", "//", ".", "..", "srv", "%2F", "%00", "%zz", "?volume=", "a b", ",", "#"};
  std::string text = random.OneIn(4) ? "tikv://pd1:2379" : "rocks://";
  for (uint64_t i = random.Below(8); i > 0; --i) {
    text.append("/").append(kPieces[random.Below(kPieces.size())]);
  }
  return text;
}

// What follows the '?' of a store's URI.
std::string RunVolumeQuery(std::string_view text) {
  const auto address = cli::ParseVolumeQuery(text);
  if (!address) return CheckError(address.error());
  if (!*address) return text.empty() ? "" : "a query that says nothing";
  const std::string canonical = (*address)->ToQuery();
  if (HasControlCharacters(canonical)) return "the canonical text could drive a terminal";
  const auto again = cli::ParseVolumeQuery(canonical);
  if (!again || !*again) return "the canonical text is none: " + canonical;
  if ((*again)->device != (*address)->device || (*again)->root != (*address)->root) {
    return "the canonical text means something else: " + canonical;
  }
  return {};
}

std::string RunVolumeUri(std::string_view text) {
  const auto uri = rocksfs::ParseVolumeUri(text);
  if (!uri) return CheckError(uri.error());
  if (uri->root.empty() || !uri->base.starts_with('/')) return "no root, or no base";
  for (const rocksfs::VolumeBelow& part : uri->below) {
    if (part.root.empty() || !part.path.starts_with('/')) return "a part without root or path";
    if (!block::ParseDeviceName(part.device)) return "a part on no device";
  }
  return block::ParseDeviceName(uri->device) ? "" : "no device";
}

std::string MakeParameters(Random& random) {
  static constexpr std::array<std::string_view, 13> kPieces = {"root=kv",
                                                               "root=%61",
                                                               "base=/d",
                                                               "at=/slow",
                                                               "volume=/dev/sda",
                                                               "volume=file:/x%20y",
                                                               "scheduler=off",
                                                               "root=",
                                                               "at=%2Fa",
                                                               "base",
                                                               "volume=mem:1GiB",
                                                               "%00",
                                                               "x=y"};
  std::string text;
  for (uint64_t i = random.Below(6); i > 0; --i) {
    text.append(kPieces[random.Below(kPieces.size())]).append(i > 1 ? "&" : "");
  }
  return text;
}

std::string MakeVolumeQuery(Random& random) {
  return random.OneIn(2) ? "volume=/dev/sda&root=r" : MakeParameters(random);
}

std::string MakeVolumeUri(Random& random) {
  return (random.OneIn(2) ? "tifs-volume:///dev/sda?root=r&" : "tifs-volume://file:/x?") +
         MakeParameters(random);
}

// NAME=VALUE settings, one a line.
std::string RunIoSettings(std::string_view text) {
  std::vector<block::IoSetting> settings;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t equals = std::min(line.find('='), line.size());
    settings.emplace_back(line.substr(0, equals), line.substr(std::min(equals + 1, line.size())));
  }
  block::IoScheduler scheduler(SystemClock());
  const Status applied = block::ApplyIoSettings(scheduler, settings);
  if (!applied) return CheckError(applied.error());
  const auto listed = block::ListIoSettings(scheduler.Settings());
  block::IoScheduler other(SystemClock());
  if (scheduler.enabled() &&
      !block::ApplyIoSettings(other,
                              std::vector<block::IoSetting>(listed.begin() + 1, listed.end()))) {
    return "what is listed is refused";
  }
  for (const auto& [name, value] : listed) {
    if (!block::IsIoSetting(name)) return "listed and unknown: " + name;
  }
  return {};
}

std::string MakeIoSettings(Random& random) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "scheduler",        "latency_goal_ms",   "min_background_percent",
      "flush.weight",     "flush.max_iops",    "compaction.max_bytes_per_s",
      "migration.weight", "foreground.weight", "compaction."};
  std::string text;
  for (uint64_t i = random.Below(4); i > 0; --i) {
    text.append(kNames[random.Below(kNames.size())]).append("=");
    text.append(random.OneIn(4) ? "off"
                                : std::to_string(RandomInteger(random) >> random.Below(64)));
    text.append(random.OneIn(3) ? "MiB\n" : "\n");
  }
  return text;
}

std::string RunSize(std::string_view text) {
  const auto size = ParseSize(text);
  if (!size) return CheckError(size.error());
  const auto again = ParseSize(cli::ExactSize(*size));
  if (!again || *again != *size) return "the exact text is not exact";
  const auto shown = ParseSize(cli::FormatSize(*size));
  // One decimal: within a twentieth of the unit, which is at most the size itself.
  const double off = shown ? static_cast<double>(*shown) - static_cast<double>(*size) : 0;
  if (shown &&
      (off > static_cast<double>(*size) * 0.05 || -off > static_cast<double>(*size) * 0.05)) {
    return "the shown text is far off: " + cli::FormatSize(*size);
  }
  return {};
}

std::string MakeSize(Random& random) {
  static constexpr std::array<std::string_view, 14> kUnits = {
      "", "B", "K", "k", "KiB", "kb", "MB", "GiB", " GiB", "T", "PiB", "E", "EiB", "XiB"};
  std::string text = std::to_string(RandomInteger(random) >> random.Below(64));
  if (random.OneIn(2)) text.append(".").append(std::to_string(random.Below(100'000)));
  return text.append(kUnits[random.Below(kUnits.size())]);
}

std::string RunCount(std::string_view text) {
  const auto count = ParseCount(text);
  if (!count) return CheckError(count.error());
  std::string shown = cli::FormatCount(*count);
  std::erase(shown, ',');
  return shown == std::to_string(*count) ? "" : "the shown text is another number";
}

std::string RunMountOptions(std::string_view text) {
  cli::MountOptions options;
  const Status status = cli::ParseMountOptions(text, options);
  if (!status) return CheckError(status.error());
  if (options.memory_bytes < cli::kMinMemoryBytes) return "too little memory";
  if (options.threads > cli::kMaxThreads) return "too many threads";
  if (options.umask && *options.umask > 0777) return "umask";
  if (!options.subdirectory.starts_with('/')) return "subdir is not absolute";
  if (!options.metrics_address.empty() && !cli::ParseHostPort(options.metrics_address)) {
    return "a metrics address that is none";
  }
  return {};
}

std::string MakeMountOptions(Random& random) {
  static constexpr std::array<std::string_view, 21> kOptions = {"ro",
                                                                "rw",
                                                                "remount",
                                                                "subdir=/a",
                                                                "subdir=",
                                                                "noatime",
                                                                "umask=022",
                                                                "umask=9",
                                                                "allow_other",
                                                                "suid",
                                                                "dev",
                                                                "sync",
                                                                "memory=512MiB",
                                                                "memory=1",
                                                                "threads=8",
                                                                "log=/var/log/a\\,b",
                                                                "log_level=debug",
                                                                "metrics=[::1]:9100",
                                                                "metrics=:0",
                                                                "x-systemd.automount",
                                                                "_netdev"};
  std::string text;
  for (uint64_t i = random.Below(6); i > 0; --i) {
    text.append(kOptions[random.Below(kOptions.size())]).append(i > 1 ? "," : "");
  }
  return text;
}

std::string RunHostPort(std::string_view text) {
  const auto address = cli::ParseHostPort(text);
  if (!address) return CheckError(address.error());
  return address->port != 0 && !address->host.empty() ? "" : "an address without a host or a port";
}

std::string MakeHostPort(Random& random) {
  static constexpr std::array<std::string_view, 5> kHosts = {"", "127.0.0.1", "[::1]", "::1", "h"};
  return std::string(kHosts[random.Below(kHosts.size())]) + ":" +
         std::to_string(RandomInteger(random) >> random.Below(64));
}

std::string RunDeviceName(std::string_view text) {
  const std::string encoded = block::EncodeDeviceParameter(text);
  if (HasControlCharacters(encoded) || encoded.find_first_of("&?# ") != std::string::npos) {
    return "not fit for a URI: " + encoded;
  }
  const auto decoded = block::DecodeDeviceParameter(encoded);
  const bool has_nul = text.find('\0') != std::string_view::npos;
  if (decoded ? has_nul || *decoded != text : !has_nul) return "encoding is not undone by decoding";
  const auto given = block::DecodeDeviceParameter(text);
  if (!given) {
    if (std::string why = CheckError(given.error()); !why.empty()) return why;
  } else if (given->find('\0') != std::string::npos) {
    return "decoded to a NUL";
  }
  const auto name = block::ParseDeviceName(text);
  if (!name) return CheckError(name.error());
  if (name->text != text || has_nul) return "it was written otherwise";
  const bool has_path =
      name->kind == block::DeviceKind::kBlock || name->kind == block::DeviceKind::kFile;
  if (has_path != name->path.starts_with('/')) return "a path that is not absolute, or for nothing";
  if (has_path && name->path.starts_with("//")) return "a path that POSIX leaves open";
  return {};
}

std::string MakeDeviceName(Random& random) {
  static constexpr std::array<std::string_view, 12> kPieces = {
      "/dev/", "/", "nvme0n1", "%2F", "%", "%00", "?root=kv", "&", "..", "a b", "\x1b[2J", "//"};
  static constexpr std::array<std::string_view, 6> kKinds = {
      "/dev/", "file:/", "mem:", "spdk:", "file:///", ""};
  std::string text(kKinds[random.Below(kKinds.size())]);
  if (text == "mem:") return text + MakeSize(random);
  for (uint64_t i = random.Below(5); i > 0; --i) text += kPieces[random.Below(kPieces.size())];
  return text;
}

// Escaping: nothing left that a terminal, a log or a shell would obey.
std::string RunEscapes(std::string_view text) {
  if (HasControlCharacters(cli::Escaped(text))) return "Escaped leaves control characters";
  const std::string line = EscapeForLog(text);
  const bool plain =
      std::ranges::all_of(line, [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  return plain ? "" : "EscapeForLog leaves more than printable ASCII";
}

std::string MakeText(Random& random) { return RandomBytes(random, random.Below(100)); }

constexpr Target kTargets[] = {
    {"uri", RunUri, MakeUri},
    {"size", RunSize, MakeSize},
    {"count", RunCount, MakeSize},
    {"mount_options", RunMountOptions, MakeMountOptions},
    {"host_port", RunHostPort, MakeHostPort},
    {"device_name", RunDeviceName, MakeDeviceName},
    {"volume_query", RunVolumeQuery, MakeVolumeQuery},
    {"volume_uri", RunVolumeUri, MakeVolumeUri},
    {"io_settings", RunIoSettings, MakeIoSettings},
    {"escapes", RunEscapes, MakeText},
};

}  // namespace

std::span<const Target> CommandLineTargets() { return kTargets; }

}  // namespace tifs::fuzz
