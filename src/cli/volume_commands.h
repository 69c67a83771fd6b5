#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

// The commands below `tifs volume`. Each adds itself to that; when it was chosen, its run sets
// `exit_code`.
namespace tifs::cli {

void AddVolumeFormatCommand(CLI::App& volume, int& exit_code);
// info, df, ls: they look, whoever has the volume.
void AddVolumeInfoCommands(CLI::App& volume, int& exit_code);
// cat, get, put, rm.
void AddVolumeFileCommands(CLI::App& volume, int& exit_code);
// check, resize.
void AddVolumeCheckCommands(CLI::App& volume, int& exit_code);
void AddVolumeBenchCommand(CLI::App& volume, int& exit_code);
// Of a mount, not of a device.
void AddVolumeIoCommand(CLI::App& volume, int& exit_code);

}  // namespace tifs::cli
