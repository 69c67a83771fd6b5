#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>
#include <string>
#include <vector>

// The commands. Each adds itself to the command line; when it was chosen, its run sets `exit_code`.
namespace tifs::cli {

void AddFormatCommand(CLI::App& app, int& exit_code);
void AddMountCommand(CLI::App& app, int& exit_code);
void AddUmountCommand(CLI::App& app, int& exit_code);
void AddInfoCommand(CLI::App& app, int& exit_code);
void AddStatsCommand(CLI::App& app, int& exit_code);
void AddFsckCommand(CLI::App& app, int& exit_code);
void AddGcCommand(CLI::App& app, int& exit_code);
void AddBenchCommand(CLI::App& app, int& exit_code);
void AddListCommand(CLI::App& app, int& exit_code);
void AddSessionsCommand(CLI::App& app, int& exit_code);
void AddDestroyCommand(CLI::App& app, int& exit_code);
void AddVolumeCommand(CLI::App& app, int& exit_code);

// The commands that mount(8), umount(8), fsck(8) and mkfs(8) call: their manner of arguments, their
// exit codes. `arguments` are without the program's name.
int RunMountHelper(const std::vector<std::string>& arguments);
int RunUmountHelper(const std::vector<std::string>& arguments);
int RunFsckHelper(const std::vector<std::string>& arguments);
int RunMkfsHelper(const std::vector<std::string>& arguments);

}  // namespace tifs::cli
