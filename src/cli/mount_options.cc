#include "cli/mount_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <vector>

#include "base/parse_size.h"
#include "cli/nearest_match.h"
#include "cli/output.h"
#include "cli/size_text.h"

namespace tifs::cli {
namespace {

using Atime = MountOptions::Atime;

// Applies one option. `value` is what follows the `=`; absent without one.
using Apply = Status (*)(std::optional<std::string_view> value, MountOptions& options);

enum class Takes : uint8_t { kNothing, kValue, kEither };

struct OptionRule {
  std::string_view name;
  Takes takes;
  Apply apply;
};

Error BadValue(std::string_view name, std::string_view value, std::string_view why,
               std::string_view way_out) {
  return Explained(ErrorCode::kInvalid, fmt::format("mount option '{}={}'", name, Escaped(value)),
                   why, way_out);
}

Status Ignore(std::optional<std::string_view>, MountOptions&) { return OkStatus(); }

template <auto kField, auto kSetTo>
Status Set(std::optional<std::string_view>, MountOptions& options) {
  options.*kField = kSetTo;
  return OkStatus();
}

template <bool kReadOnly>
Status SetReadOnly(std::optional<std::string_view>, MountOptions& options) {
  options.read_only = kReadOnly;
  options.read_only_given = true;
  return OkStatus();
}

Status SetUserMount(std::optional<std::string_view>, MountOptions& options) {
  // As mount(8): options of users imply these; a later `suid`, `dev` or `exec` takes them back.
  options.suid = false;
  options.dev = false;
  options.exec = false;
  return OkStatus();
}

Status SetSubdirectory(std::optional<std::string_view> value, MountOptions& options) {
  if (!value->starts_with('/')) {
    return BadValue("subdir", *value, "is not an absolute path of the file system",
                    fmt::format("write 'subdir=/{}'", Escaped(*value)));
  }
  options.subdirectory = *value;
  while (options.subdirectory.size() > 1 && options.subdirectory.ends_with('/')) {
    options.subdirectory.pop_back();
  }
  return OkStatus();
}

Status SetUmask(std::optional<std::string_view> value, MountOptions& options) {
  uint32_t umask = 0;
  const auto [end, status] =
      std::from_chars(value->data(), value->data() + value->size(), umask, 8);
  if (status != std::errc() || end != value->data() + value->size() || umask > 0777) {
    return BadValue("umask", *value, "is not an octal number from 0 to 0777",
                    "write e.g. 'umask=022'");
  }
  options.umask = umask;
  return OkStatus();
}

Status SetMemory(std::optional<std::string_view> value, MountOptions& options) {
  const Result<uint64_t> bytes = ParseSize(*value);
  if (!bytes) {
    return BadValue("memory", *value, bytes.error().detail(), "write e.g. 'memory=512MiB'");
  }
  if (*bytes < kMinMemoryBytes) {
    return BadValue("memory", *value, "is too little",
                    fmt::format("give at least {}", ExactSize(kMinMemoryBytes)));
  }
  const uint64_t machine_bytes = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                                 static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  if (*bytes > machine_bytes) {
    return BadValue("memory", *value,
                    fmt::format("is more than this machine has ({})", FormatSize(machine_bytes)),
                    "give less");
  }
  options.memory_bytes = *bytes;
  return OkStatus();
}

Status SetThreads(std::optional<std::string_view> value, MountOptions& options) {
  unsigned threads = 0;
  const auto [end, status] = std::from_chars(value->data(), value->data() + value->size(), threads);
  if (status != std::errc() || end != value->data() + value->size() || threads < 2 ||
      threads > kMaxThreads) {
    return BadValue("threads", *value, fmt::format("is not a number from 2 to {}", kMaxThreads),
                    "leave it out for a number that suits the machine");
  }
  options.threads = threads;
  return OkStatus();
}

Status SetLogFile(std::optional<std::string_view> value, MountOptions& options) {
  // A detached process lives in `/`: a relative name would mean something else there.
  if (!value->starts_with('/')) {
    return BadValue("log", *value, "is not an absolute path", "write e.g. 'log=/var/log/tifs.log'");
  }
  options.log_file = *value;
  return OkStatus();
}

Status SetLogLevel(std::optional<std::string_view> value, MountOptions& options) {
  const Result<LogLevel> level = ParseLogLevel(*value);
  if (!level) {
    constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warning", "error"};
    const std::string_view nearest = NearestMatch(*value, kLevels);
    return BadValue("log_level", *value, "is no level",
                    nearest.empty() ? "it is one of debug, info, warning, error"
                                    : fmt::format("did you mean 'log_level={}'?", nearest));
  }
  options.log_level = *level;
  return OkStatus();
}

Status SetMetrics(std::optional<std::string_view> value, MountOptions& options) {
  (void)TRY(ParseHostPort(*value));
  options.metrics_address = *value;
  return OkStatus();
}

constexpr OptionRule kRules[] = {
    {"ro", Takes::kNothing, SetReadOnly<true>},
    {"rw", Takes::kNothing, SetReadOnly<false>},
    {"remount", Takes::kNothing, Set<&MountOptions::remount, true>},
    {"subdir", Takes::kValue, SetSubdirectory},
    {"relatime", Takes::kNothing, Set<&MountOptions::atime, Atime::kRelatime>},
    {"noatime", Takes::kNothing, Set<&MountOptions::atime, Atime::kNoatime>},
    {"strictatime", Takes::kNothing, Set<&MountOptions::atime, Atime::kStrictatime>},
    {"atime", Takes::kNothing, Set<&MountOptions::atime, Atime::kRelatime>},
    {"umask", Takes::kValue, SetUmask},
    {"allow_other", Takes::kNothing, Set<&MountOptions::allow_other, true>},
    {"noallow_other", Takes::kNothing, Set<&MountOptions::allow_other, false>},
    {"suid", Takes::kNothing, Set<&MountOptions::suid, true>},
    {"nosuid", Takes::kNothing, Set<&MountOptions::suid, false>},
    {"dev", Takes::kNothing, Set<&MountOptions::dev, true>},
    {"nodev", Takes::kNothing, Set<&MountOptions::dev, false>},
    {"exec", Takes::kNothing, Set<&MountOptions::exec, true>},
    {"noexec", Takes::kNothing, Set<&MountOptions::exec, false>},
    {"sync", Takes::kNothing, Set<&MountOptions::sync, true>},
    {"async", Takes::kNothing, Set<&MountOptions::sync, false>},
    {"pm_qos", Takes::kNothing, Set<&MountOptions::pm_qos, true>},
    {"nopm_qos", Takes::kNothing, Set<&MountOptions::pm_qos, false>},
    {"memory", Takes::kValue, SetMemory},
    {"threads", Takes::kValue, SetThreads},
    {"log", Takes::kValue, SetLogFile},
    {"log_level", Takes::kValue, SetLogLevel},
    {"metrics", Takes::kValue, SetMetrics},
    // For mount(8), fstab(5) and systemd, or what is always so here.
    {"defaults", Takes::kNothing, Ignore},
    {"nofail", Takes::kNothing, Ignore},
    {"fail", Takes::kNothing, Ignore},
    {"_netdev", Takes::kNothing, Ignore},
    {"auto", Takes::kNothing, Ignore},
    {"noauto", Takes::kNothing, Ignore},
    {"user", Takes::kEither, SetUserMount},
    {"users", Takes::kNothing, SetUserMount},
    {"nouser", Takes::kNothing, Ignore},
    {"owner", Takes::kNothing, SetUserMount},
    {"noowner", Takes::kNothing, Ignore},
    {"group", Takes::kNothing, SetUserMount},
    {"nogroup", Takes::kNothing, Ignore},
    {"comment", Takes::kValue, Ignore},
    {"diratime", Takes::kNothing, Ignore},
    {"norelatime", Takes::kNothing, Ignore},
    {"nostrictatime", Takes::kNothing, Ignore},
    {"nolazytime", Takes::kNothing, Ignore},
    {"default_permissions", Takes::kNothing, Ignore},
    // What the kernel shows of a mount, which mount(8) hands back at a remount.
    {"user_id", Takes::kValue, Ignore},
    {"group_id", Takes::kValue, Ignore},
    {"max_read", Takes::kValue, Ignore},
    {"blksize", Takes::kValue, Ignore},
    {"silent", Takes::kNothing, Ignore},
    {"loud", Takes::kNothing, Ignore},
};

Status UnknownOption(std::string_view name) {
  std::vector<std::string_view> names;
  for (const OptionRule& rule : kRules) names.push_back(rule.name);
  const std::string_view nearest = NearestMatch(name, names);
  return Explained(ErrorCode::kInvalid, fmt::format("mount option '{}'", Escaped(name)),
                   "there is no such option",
                   nearest.empty() ? "see 'man tifs-mount' for those there are"
                                   : fmt::format("did you mean '{}'?", nearest));
}

Status ApplyOption(std::string_view option, MountOptions& options) {
  const size_t equals = option.find('=');
  const std::string_view name = option.substr(0, equals);
  std::optional<std::string_view> value;
  if (equals != std::string_view::npos) value = option.substr(equals + 1);
  if (name.starts_with("x-") || name.starts_with("X-")) return OkStatus();
  for (const OptionRule& rule : kRules) {
    if (rule.name != name) continue;
    if (rule.takes == Takes::kNothing && value) {
      return BadValue(name, *value, "the option takes no value", fmt::format("write '{}'", name));
    }
    if (rule.takes == Takes::kValue && (!value || value->empty())) {
      return Explained(ErrorCode::kInvalid, fmt::format("mount option '{}'", name),
                       "the option needs a value", fmt::format("write '{}=...'", name));
    }
    return rule.apply(value, options);
  }
  return UnknownOption(name);
}

}  // namespace

Status ParseMountOptions(std::string_view text, MountOptions& options) {
  std::string option;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '\\' && i + 1 < text.size()) {
      option.push_back(text[++i]);
    } else if (i < text.size() && text[i] != ',') {
      option.push_back(text[i]);
    } else {
      // Empty ones arise where scripts join lists.
      if (!option.empty()) TRY(ApplyOption(option, options));
      option.clear();
    }
  }
  return OkStatus();
}

std::vector<std::string_view> FixedDifferences(const MountOptions& present,
                                               const MountOptions& wanted) {
  std::vector<std::string_view> names;
  const auto compare = [&names](std::string_view name, const auto& before, const auto& after) {
    if (before != after) names.push_back(name);
  };
  const auto compare_flag = [&names](std::string_view on, std::string_view off, bool before,
                                     bool after) {
    if (before != after) names.push_back(after ? on : off);
  };
  compare("subdir", present.subdirectory, wanted.subdirectory);
  if (present.atime != wanted.atime &&
      !(present.atime == Atime::kStrictatime && wanted.atime == Atime::kRelatime)) {
    names.push_back(wanted.atime == Atime::kNoatime    ? "noatime"
                    : wanted.atime == Atime::kRelatime ? "relatime"
                                                       : "strictatime");
  }
  compare("umask", present.umask, wanted.umask);
  compare_flag("allow_other", "noallow_other", present.allow_other.value_or(false),
               wanted.allow_other.value_or(false));
  compare_flag("suid", "nosuid", present.suid, wanted.suid);
  compare_flag("dev", "nodev", present.dev, wanted.dev);
  compare_flag("exec", "noexec", present.exec, wanted.exec);
  compare_flag("sync", "async", present.sync, wanted.sync);
  compare("memory", present.memory_bytes, wanted.memory_bytes);
  compare("threads", present.threads, wanted.threads);
  compare_flag("pm_qos", "nopm_qos", present.pm_qos, wanted.pm_qos);
  compare("log", present.log_file, wanted.log_file);
  compare("log_level", present.log_level, wanted.log_level);
  compare("metrics", present.metrics_address, wanted.metrics_address);
  return names;
}

Result<HostPort> ParseHostPort(std::string_view text) {
  const auto bad = [text](std::string_view why) {
    return Explained(ErrorCode::kInvalid, fmt::format("metrics address '{}'", Escaped(text)), why,
                     "write ADDR:PORT, e.g. '127.0.0.1:9100' or '[::1]:9100'");
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    const bool is_port = text.find_first_not_of("0123456789") == std::string_view::npos;
    return bad(is_port ? "has no address" : "has no port");
  }
  HostPort address;
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad("an IPv6 address must stand in brackets");
  }
  address.host = host.empty() ? "127.0.0.1" : host;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, status] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (status != std::errc() || end != port.data() + port.size() || address.port == 0) {
    return bad("the port is not a number from 1 to 65535");
  }
  return address;
}

}  // namespace tifs::cli
