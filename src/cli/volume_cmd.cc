#include "cli/commands.h"
#include "cli/volume_commands.h"

namespace tifs::cli {

void AddVolumeCommand(CLI::App& app, int& exit_code) {
  CLI::App* volume = app.add_subcommand("volume", "Keep RocksDB's files on a raw disk");
  volume->require_subcommand(1);
  AddVolumeFormatCommand(*volume, exit_code);
  AddVolumeInfoCommands(*volume, exit_code);
  AddVolumeFileCommands(*volume, exit_code);
  AddVolumeCheckCommands(*volume, exit_code);
  AddVolumeBenchCommand(*volume, exit_code);
  AddVolumeIoCommand(*volume, exit_code);
  // Last, because commands inherit it.
  volume->footer(
      "DEVICE is /dev/..., a block device; file:/absolute/path, a file as a disk; or mem:SIZE.\n"
      "'tifs volume COMMAND --help' says more, as does tifs-volume(1).");
}

}  // namespace tifs::cli
