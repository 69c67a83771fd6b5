#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "block/block_device.h"
#include "volume/root.h"
#include "volume/volume.h"

// How the commands of `tifs volume` reach what they work on. Errors are explained, unless said
// otherwise.
namespace tifs::cli {

// A root, or a file or directory in one, as it stands on the command line: ROOT or ROOT/PATH.
struct VolumePath {
  std::string root;
  std::string path;  // below the root, components parted by one '/'; empty: the root itself

  std::string ToString() const { return path.empty() ? root : root + "/" + path; }
  // The directory that it is in, below the root, and its name there. Of a path that is not empty.
  std::string Parent() const;
  std::string Name() const;
};

// kInvalid, kNameTooLong.
Result<VolumePath> ParseVolumePath(std::string_view text);

// The exit code of a command: that of `work`, after its error was printed. A DEVICE that is none
// is a usage error, and `work` is not run.
int RunOnDevice(const std::string& device, int usage_code, int failed_code,
                const std::function<Result<int>()>& work);

// The device for us alone; with `read_only`, for us and other readers of a file. kBusy names who
// has it, as far as its superblock tells.
Result<std::unique_ptr<block::BlockDevice>> OpenAlone(const std::string& device, bool read_only);

// As of the last journal record, whoever has the volume.
Result<std::unique_ptr<volume::Volume>> OpenToLook(const std::string& device);
// For reading, while nobody changes it. Writes nothing.
Result<std::unique_ptr<volume::Volume>> OpenToRead(const std::string& device);
// `command` is for others who want it meanwhile: "tifs volume put". Says on stderr what was got
// over.
Result<std::unique_ptr<volume::Volume>> OpenToWrite(const std::string& device,
                                                    std::string_view command);
// Who has the volume on a device, as its superblock says; empty if that cannot be told.
std::string OwnerOfDevice(const std::string& device);
// "tifs volume put (pid 17) on host".
std::string OwnerText(std::string_view command);

Result<std::unique_ptr<volume::Root>> OpenRootOf(volume::Volume& volume, const std::string& device,
                                                 const VolumePath& path);

// Deletes all that is below the directory `path` of a root (empty: the root itself), but the file
// `kept`. Not explained, and durable only with the volume's next Sync.
Status RemoveTree(volume::Root& root, const std::string& path, std::string_view kept = {});

// An error of the volume on `device`, or of a path on it, as a person should see it.
Error VolumeError(std::string_view device, Error error);
Error PathError(std::string_view device, const VolumePath& path, Error error);

// "2026-01-31T12:00:00Z".
std::string TimeText(int64_t ns_since_1970);

}  // namespace tifs::cli
