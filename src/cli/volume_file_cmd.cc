#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "block/unique_fd.h"
#include "cli/output.h"
#include "cli/size_text.h"
#include "cli/stop_signals.h"
#include "cli/volume_commands.h"
#include "cli/volume_device.h"
#include "volume/volume.h"

namespace tifs::cli {
namespace {

using block::UniqueFd;
using volume::File;
using volume::FileStat;
using volume::InodeKind;
using volume::Root;
using volume::Volume;

constexpr size_t kChunkBytes = 1 << 20;

struct VolumeFileArguments {
  std::string device;
  std::string path;  // on the volume
  std::string file;  // on this machine
  bool force = false;
  bool recursive = false;
  bool yes = false;
};

Error LocalError(const std::string& file, int error_number, std::string_view way_out = {}) {
  const Error error = ErrorFromErrno(error_number, "file");
  return Explained(error.code(), Escaped(file), error.detail(), way_out);
}

// A file of either kind, to be read.
struct FileToRead {
  std::unique_ptr<File> plain;
  std::unique_ptr<volume::SparseFile> sparse;

  // Fewer only at the end.
  Result<size_t> ReadAt(uint64_t offset, std::span<char> out) {
    if (plain) return plain->ReadAt(offset, out);
    const uint64_t size = sparse->size_bytes();
    const size_t there = offset < size ? std::min<uint64_t>(out.size(), size - offset) : 0;
    TRY(sparse->ReadAt(offset, out.first(there)));
    return there;
  }
};

// The whole of a file on the volume, in pieces. `sink` answers false, or with an error, to stop.
Result<bool> ReadWhole(FileToRead& file,
                       const std::function<Result<bool>(std::string_view)>& sink) {
  std::string buffer(kChunkBytes, '\0');
  for (uint64_t offset = 0;;) {
    const size_t size = TRY(file.ReadAt(offset, buffer));
    if (size == 0) return true;
    if (!TRY(sink(std::string_view(buffer).substr(0, size)))) return false;
    offset += size;
  }
}

Result<FileToRead> OpenFileToRead(Volume& volume, const VolumeFileArguments& arguments,
                                  const VolumePath& path) {
  const auto root = TRY(OpenRootOf(volume, arguments.device, path));
  auto open = [&]() -> Result<FileToRead> {
    if (TRY(root->Stat(path.path)).kind == InodeKind::kSparseFile) {
      return FileToRead{.plain = nullptr, .sparse = TRY(root->OpenSparse(path.path, {}))};
    }
    return FileToRead{.plain = TRY(root->Open(path.path, {})), .sparse = nullptr};
  };
  auto file = open();
  if (!file) return PathError(arguments.device, path, std::move(file).error());
  return file;
}

Result<int> Cat(const VolumeFileArguments& arguments, const VolumePath& path) {
  const auto volume = TRY(OpenToRead(arguments.device));
  auto file = TRY(OpenFileToRead(*volume, arguments, path));
  auto done = ReadWhole(file, [](std::string_view bytes) { return PrintText(bytes); });
  if (!done) return PathError(arguments.device, path, std::move(done).error());
  return *done ? kExitDone : kExitFailed;
}

// --- get ---

Status WriteAll(const std::string& name, int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return LocalError(name, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

// Nothing at `name` is touched before all is written and synced beside it.
Status CopyOut(FileToRead& file, const VolumeFileArguments& arguments, const VolumePath& path,
               const StopSignals& stop) {
  const std::string& name = arguments.file;
  const std::string beside = fmt::format("{}.tifs-get-{}", name, ::getpid());
  const UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return LocalError(name, errno, "name a file in a directory that you may write to");
  const auto copy = [&]() -> Status {
    auto done = ReadWhole(file, [&](std::string_view bytes) -> Result<bool> {
      TRY(stop.Check());
      TRY(WriteAll(name, fd.get(), bytes));
      return true;
    });
    if (!done) return PathError(arguments.device, path, std::move(done).error());
    if (::fsync(fd.get()) != 0) return LocalError(name, errno);
    if (::renameat2(AT_FDCWD, beside.c_str(), AT_FDCWD, name.c_str(),
                    arguments.force ? 0 : RENAME_NOREPLACE) != 0) {
      return LocalError(name, errno, errno == EEXIST ? "use --force to replace it" : "");
    }
    return {};
  };
  Status copied = copy();
  if (!copied) (void)::unlink(beside.c_str());
  return copied;
}

Result<int> Get(const VolumeFileArguments& arguments, const VolumePath& path) {
  struct stat status = {};
  if (::stat(arguments.file.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return LocalError(arguments.file, EISDIR, "name a file");
    if (!S_ISREG(status.st_mode)) {
      return Explained(ErrorCode::kInvalid, Escaped(arguments.file), "is not a regular file",
                       "'tifs volume cat' writes to standard output");
    }
    if (!arguments.force) return LocalError(arguments.file, EEXIST, "use --force to replace it");
  }
  const StopSignals stop;
  const auto volume = TRY(OpenToRead(arguments.device));
  auto file = TRY(OpenFileToRead(*volume, arguments, path));
  TRY(CopyOut(file, arguments, path, stop));
  return kExitDone;
}

// --- put ---

Error NoRoom(const VolumeFileArguments& arguments, const VolumePath& path) {
  return PathError(arguments.device, path, Error(ErrorCode::kNoSpace, "volume"));
}

// Whether a put would go well, asked before anything is written.
Status CheckPut(const VolumeFileArguments& arguments, const VolumePath& path, uint64_t size_bytes) {
  const auto volume = TRY(OpenToRead(arguments.device));
  const volume::VolumeUsage usage = volume->Usage();
  if (size_bytes > usage.free_bytes + usage.reclaimable_bytes) return NoRoom(arguments, path);
  const auto root = volume->OpenRoot(path.root, /*create=*/false);
  if (!root) {
    // A new one is made.
    if (root.error().code() == ErrorCode::kNotFound) return {};
    return VolumeError(arguments.device, root.error().Clone());
  }
  const auto stat = (*root)->Stat(path.path);
  if (!stat) {
    if (stat.error().code() == ErrorCode::kNotFound) return {};
    return PathError(arguments.device, path, stat.error().Clone());
  }
  if (stat->kind == InodeKind::kDirectory) {
    return PathError(arguments.device, path, Error(ErrorCode::kIsDirectory, "volume"));
  }
  if (arguments.force) return {};
  return Explained(ErrorCode::kExists, Escaped(path.ToString()), "exists on the volume",
                   "use --force to replace it");
}

// All of `fd`, synced. Errors of the volume are not explained.
Status CopyIn(const VolumeFileArguments& arguments, int fd, File& file, const StopSignals& stop) {
  std::string buffer(kChunkBytes, '\0');
  // A pipe may have nothing for long.
  constexpr int kPatienceMs = 100;
  for (pollfd readable = {.fd = fd, .events = POLLIN, .revents = 0};;) {
    TRY(stop.Check());
    if (::poll(&readable, 1, kPatienceMs) == 0) continue;
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return LocalError(arguments.file, errno);
    if (size == 0) break;
    TRY(file.Append(std::string_view(buffer).substr(0, static_cast<size_t>(size))));
  }
  TRY(file.Sync());
  return file.Close();
}

// Under another name first, so that what is there is replaced whole or not at all.
Status PutFile(const VolumeFileArguments& arguments, const VolumePath& path, int fd, Root& root,
               const StopSignals& stop) {
  const std::string parent = path.Parent();
  if (!parent.empty()) TRY(root.MakeDirectories(parent));
  const std::string beside = fmt::format("{}/.tifs-put-{}", parent, ::getpid());
  const auto file = TRY(root.Open(beside, {.write = true, .create = true, .truncate = true}));
  Status put = CopyIn(arguments, fd, *file, stop);
  if (put) put = root.Rename(beside, path.path);
  if (!put) (void)root.Unlink(beside);
  // Also of a failure: the other name is gone for good, then.
  Status synced = root.SyncDirectory("");
  return put ? std::move(synced) : std::move(put);
}

Result<int> Put(const VolumeFileArguments& arguments, const VolumePath& path) {
  const UniqueFd fd(::open(arguments.file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return LocalError(arguments.file, errno);
  if (S_ISDIR(status.st_mode)) return LocalError(arguments.file, EISDIR, "name a file");
  const uint64_t size_bytes =
      S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : uint64_t{0};
  const StopSignals stop;
  TRY(CheckPut(arguments, path, size_bytes));
  const auto volume = TRY(OpenToWrite(arguments.device, "tifs volume put"));
  auto root = volume->OpenRoot(path.root, /*create=*/true);
  Status put =
      root ? PutFile(arguments, path, fd.get(), **root, stop) : Status(std::move(root).error());
  if (root) root->reset();
  Status closed = volume->Close();
  if (!put) return PathError(arguments.device, path, std::move(put).error());
  if (!closed) return VolumeError(arguments.device, std::move(closed).error());
  return kExitDone;
}

// --- rm ---

struct TreeSize {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

Status AddTree(Root& root, const std::string& path, TreeSize& size) {
  for (const volume::DirectoryEntry& entry : TRY(root.List(path))) {
    if (entry.stat.kind == InodeKind::kDirectory) {
      TRY(AddTree(root, path.empty() ? entry.name : path + "/" + entry.name, size));
    } else {
      ++size.files;
      size.bytes += entry.stat.size_bytes;
    }
  }
  return {};
}

Error NotEmpty(const VolumePath& path) {
  return Explained(ErrorCode::kNotEmpty, Escaped(path.ToString()),
                   fmt::format("the {} is not empty", path.path.empty() ? "root" : "directory"),
                   "add --recursive if all that is in it may go");
}

// What is there to be deleted, for the question; an error if it cannot be.
Result<std::string> DescribeVictim(const VolumeFileArguments& arguments, const VolumePath& path) {
  const auto volume = TRY(OpenToRead(arguments.device));
  const auto root = TRY(OpenRootOf(*volume, arguments.device, path));
  auto stat = root->Stat(path.path);
  if (!stat) return PathError(arguments.device, path, std::move(stat).error());
  if (stat->kind != InodeKind::kDirectory) {
    return fmt::format("the file {} ({})", Escaped(path.ToString()), FormatSize(stat->size_bytes));
  }
  const std::string what =
      fmt::format("{} {}", path.path.empty() ? "root" : "directory", Escaped(path.ToString()));
  auto entries = root->List(path.path);
  if (!entries) return PathError(arguments.device, path, std::move(entries).error());
  if (entries->empty()) return fmt::format("the empty {}", what);
  if (!arguments.recursive) return NotEmpty(path);
  TreeSize size;
  if (Status added = AddTree(*root, path.path, size); !added) {
    return PathError(arguments.device, path, std::move(added).error());
  }
  return fmt::format("the {} and all that is in it (files: {}, {})", what, FormatCount(size.files),
                     FormatSize(size.bytes));
}

Status Remove(Volume& volume, const VolumePath& path, bool recursive) {
  auto root = TRY(volume.OpenRoot(path.root, /*create=*/false));
  const FileStat stat = TRY(root->Stat(path.path));
  if (stat.kind != InodeKind::kDirectory) return root->Unlink(path.path);
  if (recursive) TRY(RemoveTree(*root, path.path));
  if (!path.path.empty()) return root->RemoveDirectory(path.path);
  root.reset();
  return volume.RemoveRoot(path.root);
}

Result<int> Rm(const VolumeFileArguments& arguments, const VolumePath& path) {
  const std::string victim = TRY(DescribeVictim(arguments, path));
  if (!arguments.yes) {
    const std::string what = Escaped(path.ToString());
    if (!StdinIsTerminal()) {
      return Explained(ErrorCode::kNotPermitted, what,
                       "nobody was asked whether that may be deleted", "add --yes if it may");
    }
    if (!AskYesNo(fmt::format("Delete {} from {}?", victim, Escaped(arguments.device)))) {
      return Explained(ErrorCode::kNotPermitted, what, "left as it was");
    }
  }
  const auto volume = TRY(OpenToWrite(arguments.device, "tifs volume rm"));
  Status removed = Remove(*volume, path, arguments.recursive);
  if (removed) removed = volume->Sync();
  Status closed = volume->Close();
  if (!removed) return PathError(arguments.device, path, std::move(removed).error());
  if (!closed) return VolumeError(arguments.device, std::move(closed).error());
  return kExitDone;
}

using FileCommand = Result<int> (*)(const VolumeFileArguments&, const VolumePath&);

int RunFileCommand(const VolumeFileArguments& arguments, bool needs_file, FileCommand command) {
  auto path = ParseVolumePath(arguments.path);
  if (path && needs_file && path->path.empty()) {
    path = Explained(ErrorCode::kInvalid, path->root, "names a root, not a file in it",
                     "write ROOT/PATH");
  }
  if (!path) {
    PrintError(path.error());
    return kExitUsage;
  }
  return RunOnDevice(arguments.device, kExitUsage, kExitFailed,
                     [&] { return command(arguments, *path); });
}

}  // namespace

void AddVolumeFileCommands(CLI::App& volume, int& exit_code) {
  const auto add = [&](const char* name, const char* what, bool needs_file, FileCommand command) {
    auto arguments = std::make_shared<VolumeFileArguments>();
    CLI::App* added = volume.add_subcommand(name, what);
    added->add_option("DEVICE", arguments->device, "/dev/... or file:/absolute/path")->required();
    added->callback([arguments, needs_file, command, &exit_code] {
      exit_code = RunFileCommand(*arguments, needs_file, command);
    });
    return std::pair(added, arguments);
  };
  const auto add_path = [](CLI::App& command, VolumeFileArguments& arguments) {
    command.add_option("ROOT/PATH", arguments.path, "A file on the volume")->required();
  };
  const auto add_force = [](CLI::App& command, VolumeFileArguments& arguments) {
    command.add_flag("--force", arguments.force, "Replace a file that is there");
  };
  auto [cat, cat_arguments] = add("cat", "Write a file to standard output", true, Cat);
  add_path(*cat, *cat_arguments);

  auto [get, get_arguments] = add("get", "Copy a file out of a volume", true, Get);
  add_path(*get, *get_arguments);
  get->add_option("FILE", get_arguments->file, "Where to, readable by you alone")->required();
  add_force(*get, *get_arguments);

  auto [put, put_arguments] = add("put", "Copy a file into a volume", true, Put);
  put->add_option("FILE", put_arguments->file, "What to copy")->required();
  add_path(*put, *put_arguments);
  add_force(*put, *put_arguments);
  put->footer("Makes the root, and directories above the file, where there are none.");

  auto [rm, rm_arguments] = add("rm", "Delete a file, a directory or a root", false, Rm);
  rm->add_option("ROOT[/PATH]", rm_arguments->path, "What to delete")->required();
  rm->add_flag("--recursive,-r", rm_arguments->recursive,
               "Also a directory or root that is not empty, with all that is in it");
  rm->add_flag("--yes,-y", rm_arguments->yes, "Do not ask before deleting");
}

}  // namespace tifs::cli
