#include "cli/volume_signature.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>

#include "block/unique_fd.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

// More than any disk has.
constexpr int kMaxSignatures = 256;

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};

struct OpenProbe {
  block::UniqueFd fd;
  std::unique_ptr<struct blkid_struct_probe, FreeProbe> probe;
};

Error CannotLook(const block::DeviceName& device) {
  return Explained(ErrorCode::kIo, Escaped(device.text), "cannot be searched for what is on it",
                   "look for disk errors with 'dmesg'");
}

Result<OpenProbe> Open(const block::DeviceName& device, int flags) {
  OpenProbe open{.fd = block::UniqueFd(::open(device.path.c_str(), flags | O_CLOEXEC)),
                 .probe = nullptr};
  if (!open.fd) return ErrorFromErrno(errno, "open");
  open.probe.reset(blkid_new_probe());
  blkid_probe const probe = open.probe.get();
  if (probe == nullptr || blkid_probe_set_device(probe, open.fd.get(), 0, 0) != 0 ||
      blkid_probe_enable_superblocks(probe, 1) != 0 ||
      blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_TYPE |
                                                   BLKID_SUBLKS_USAGE | BLKID_SUBLKS_MAGIC |
                                                   BLKID_SUBLKS_BADCSUM) != 0 ||
      blkid_probe_enable_partitions(probe, 1) != 0 ||
      blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC) != 0) {
    return CannotLook(device);
  }
  return open;
}

std::optional<std::string> ValueOf(blkid_probe probe, const char* name) {
  const char* value = nullptr;
  if (blkid_probe_lookup_value(probe, name, &value, nullptr) != 0) return std::nullopt;
  return Escaped(value);
}

std::string Describe(blkid_probe probe) {
  if (const auto table = ValueOf(probe, "PTTYPE")) {
    return fmt::format("a partition table ({})", *table);
  }
  const std::string type = ValueOf(probe, "TYPE").value_or("unknown");
  const std::string usage = ValueOf(probe, "USAGE").value_or("");
  const auto label = ValueOf(probe, "LABEL");
  const std::string name = label && !label->empty() ? fmt::format(" '{}'", *label) : "";
  if (usage == "filesystem") return fmt::format("a file system{} ({})", name, type);
  if (usage == "raid") return fmt::format("a part of RAID or LVM{} ({})", name, type);
  return fmt::format("data that others know{} ({})", name, type);
}

bool HasNoSignatures(const block::DeviceName& device) {
  return device.kind != block::DeviceKind::kBlock && device.kind != block::DeviceKind::kFile;
}

}  // namespace

Result<std::vector<std::string>> FindSignatures(const block::DeviceName& device) {
  std::vector<std::string> found;
  if (HasNoSignatures(device)) return found;
  const OpenProbe open = TRY(Open(device, O_RDONLY));
  int answer = 0;
  for (int i = 0; i < kMaxSignatures; ++i) {
    answer = blkid_do_probe(open.probe.get());
    if (answer != 0) break;
    found.push_back(Describe(open.probe.get()));
  }
  if (answer < 0) return CannotLook(device);
  return found;
}

Status WipeSignatures(const block::DeviceName& device) {
  if (HasNoSignatures(device)) return {};
  const OpenProbe open = TRY(Open(device, O_RDWR));
  for (int i = 0; i < kMaxSignatures && blkid_do_probe(open.probe.get()) == 0; ++i) {
    if (blkid_do_wipe(open.probe.get(), /*dryrun=*/0) != 0) return ErrorFromErrno(errno, "wipe");
  }
  if (::fsync(open.fd.get()) != 0) return ErrorFromErrno(errno, "fsync");
  return {};
}

}  // namespace tifs::cli
