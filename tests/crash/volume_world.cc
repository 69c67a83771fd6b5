#include "tests/crash/volume_world.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "volume/superblock.h"

namespace tifs::volume {
namespace {

constexpr char kForbidden = '\xee';
constexpr std::string_view kKept = "nobody touches this";

VolumeOptions OptionsOf(const VolumeWorldOptions& options, Clock& clock) {
  VolumeOptions volume_options;
  volume_options.owner = "crash test";
  volume_options.clock = &clock;
  volume_options.background = false;
  volume_options.transfer_threads = options.transfer_threads;
  volume_options.write_buffer_bytes = options.write_buffer_bytes;
  if (options.skip_flush) {
    const FlushKind skipped = *options.skip_flush;
    volume_options.skip_flush = [skipped](FlushKind kind) { return kind == skipped; };
  }
  return volume_options;
}

template <typename T>
T Must(Result<T> result) {
  if (!result) std::fprintf(stderr, "%s\n", result.error().ToString().c_str());
  CHECK(result.ok());
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

std::unique_ptr<block::BlockDevice> Borrow(block::BlockDevice& device) {
  return std::make_unique<block::ForwardingDevice>(device);
}

std::string ReadDirectory(Root& root, const std::string& directory, Tree& tree) {
  auto entries = root.List(directory);
  if (!entries) return "list " + directory + ": " + entries.error().ToString();
  for (const DirectoryEntry& entry : *entries) {
    const std::string path = directory.empty() ? entry.name : directory + "/" + entry.name;
    if (entry.stat.kind == InodeKind::kDirectory) {
      tree[path].is_directory = true;
      if (std::string why = ReadDirectory(root, path, tree); !why.empty()) return why;
      continue;
    }
    auto file = root.Open(path, {});
    if (!file) return "open " + path + ": " + file.error().ToString();
    tree[path].inode = entry.stat.inode;
    std::string& bytes = tree[path].bytes;
    bytes.resize(entry.stat.size_bytes);
    const auto read = (*file)->ReadAt(0, bytes);
    if (!read) return "read " + path + ": " + read.error().ToString();
    if (*read != bytes.size()) return "read " + path + ": it is short";
  }
  return {};
}

}  // namespace

std::string ReadTree(Volume& volume, Tree& tree) {
  auto other = volume.OpenRoot("other", false);
  if (!other) return "the other root is gone: " + other.error().ToString();
  auto kept = (*other)->Open("keep", {});
  if (!kept) return "the other root's file is gone: " + kept.error().ToString();
  std::string bytes((*kept)->size_bytes(), '\0');
  if (!(*kept)->ReadAt(0, bytes) || bytes != kKept) return "the other root's file has changed";
  auto root = volume.OpenRoot("kv", false);
  if (!root) return "the root is gone: " + root.error().ToString();
  return ReadDirectory(**root, "", tree);
}

sim::DiskImage MakeVolumeImage(const VolumeWorldOptions& options, const Tree& tree) {
  sim::DiskImage blank(options.disk.size_bytes);
  blank.Fill(0, options.disk.size_bytes, kForbidden);
  ManualClock clock;
  sim::SimBlockDevice disk(options.disk, blank);
  FormatOptions format{.name = "crash", .extent_unit_bytes = options.extent_unit_bytes};
  format.uuid = Uuid{1, 2, 3};
  Must(Volume::Format(disk, format, clock));
  auto volume = Must(Volume::Open(Borrow(disk), OptionsOf({}, clock)));
  auto other = Must(volume->OpenRoot("other", true));
  auto root = Must(volume->OpenRoot("kv", true));
  const auto write = [](Root& where, const std::string& path, std::string_view bytes) {
    auto file = Must(where.Open(path, {.write = true, .create = true}));
    Must(file->Append(bytes));
    Must(file->Sync());
  };
  write(*other, "keep", kKept);
  for (const auto& [path, entry] : tree) {
    if (entry.is_directory) {
      Must(root->MakeDirectory(path));
    } else {
      write(*root, path, entry.bytes);
    }
  }
  Must(volume->Close());
  return disk.Contents();
}

VolumeRun::VolumeRun(const VolumeWorldOptions& options, const sim::DiskImage& image,
                     const Tree& tree, uint64_t seed)
    : options_(options), random_(seed), start_(image), model_(tree) {
  sim::SimDeviceOptions disk = options.disk;
  disk.record = true;
  disk.seed = seed;
  disk_ = std::make_unique<sim::SimBlockDevice>(disk, image);
}

VolumeRun::~VolumeRun() {
  // As a kill: nothing more may reach the log.
  disk_->power().CutAfter(0);
}

std::string VolumeRun::Begin() {
  const uint64_t begin = disk_->power().calls();
  std::string why = Open();
  spans_.push_back({begin, disk_->power().calls(), true});
  history_.push_back("(open)");
  return why;
}

std::string VolumeRun::Open() {
  auto volume = Volume::Open(Borrow(*disk_), OptionsOf(options_, clock_));
  if (!volume) return "open: " + volume.error().ToString();
  volume_ = std::move(*volume);
  auto root = volume_->OpenRoot("kv", false);
  if (!root) return "open root: " + root.error().ToString();
  root_ = std::move(*root);
  return {};
}

File* VolumeRun::FileFor(int file, const std::string& path) {
  if (const auto at = handles_.find(file); at != handles_.end()) return at->second.get();
  auto opened = root_->Open(path, {.write = true});
  if (!opened) return nullptr;
  return (handles_[file] = std::move(*opened)).get();
}

void VolumeRun::CloseHandles() { handles_.clear(); }

std::string VolumeRun::DoLatched(const VolumeOp& op) {
  if (op.kind == VolumeOp::Kind::kReopenVolume) return {};
  const uint64_t calls = disk_->power().calls();
  bool done = false;
  fill_.resize(op.size);
  (void)DoOnVolume(op, done);
  // Closing is done in any case, and appending nothing is nothing.
  const bool harmless = op.kind == VolumeOp::Kind::kClose;
  std::string why;
  if (done && !harmless) why = "it was done on a latched volume";
  if (disk_->power().calls() != calls) why = "it was written to after an error";
  return why.empty() ? "" : Describe(UINT64_MAX, OpText(op) + ": " + why);
}

std::string VolumeRun::Do(const VolumeOp& op) {
  if (is_latched()) return DoLatched(op);
  history_.push_back(OpText(op));
  // Bytes that say which operation wrote them.
  fill_.resize(op.size);
  for (size_t i = 0; i < fill_.size(); ++i) {
    fill_[i] = static_cast<char>(1 + (history_.size() * 37 + i * 11 + i / 256) % 200);
  }
  const uint64_t begin = disk_->power().calls();
  bool done = false;
  std::string why = DoOnVolume(op, done);
  using Kind = VolumeOp::Kind;
  const bool durable = op.kind == Kind::kSync || op.kind == Kind::kSyncDirectory ||
                       op.kind == Kind::kSyncVolume || op.kind == Kind::kCheckpoint ||
                       op.kind == Kind::kReopenVolume;
  const bool wanted = model_.Apply(op, fill_);
  spans_.push_back({begin, disk_->power().calls(), durable && done});
  if (is_latched() || !is_open()) return {};
  if (why.empty() && done != wanted) {
    why = done ? "it should have failed" : "it should have been done";
  }
  if (!why.empty()) why = Describe(UINT64_MAX, OpText(op) + ": " + why);
  return why;
}

std::string VolumeRun::DoOnVolume(const VolumeOp& op, bool& done) {
  using Kind = VolumeOp::Kind;
  Status status;
  const std::optional<int> file = model_.FileAt(op.path);
  switch (op.kind) {
    case Kind::kCreate: {
      auto made = root_->Open(op.path, {.write = true, .create = true, .exclusive = true});
      done = made.ok();
      if (made) handles_[model_.NextFile()] = std::move(*made);
      return {};
    }
    case Kind::kAppend:
    case Kind::kWriteAt:
    case Kind::kTruncate:
    case Kind::kAllocate:
    case Kind::kSync: {
      if (!file) return {};
      File* handle = FileFor(*file, op.path);
      if (handle == nullptr) return "it cannot be opened";
      if (op.kind == Kind::kAppend) status = handle->Append(fill_);
      if (op.kind == Kind::kWriteAt) status = handle->WriteAt(op.offset, fill_);
      if (op.kind == Kind::kTruncate) status = handle->Truncate(op.size);
      if (op.kind == Kind::kAllocate) status = handle->Allocate(op.size);
      if (op.kind == Kind::kSync) status = handle->Sync();
      break;
    }
    case Kind::kClose: {
      const auto handle = file ? handles_.find(*file) : handles_.end();
      if (handle == handles_.end()) return {};
      status = handle->second->Close();
      handles_.erase(handle);
      break;
    }
    case Kind::kRename: status = root_->Rename(op.path, op.to); break;
    case Kind::kLink: status = root_->Link(op.path, op.to); break;
    case Kind::kUnlink: status = root_->Unlink(op.path); break;
    case Kind::kMakeDirectory: status = root_->MakeDirectory(op.path); break;
    case Kind::kRemoveDirectory: status = root_->RemoveDirectory(op.path); break;
    case Kind::kSyncDirectory: status = root_->SyncDirectory(op.path); break;
    case Kind::kSyncVolume: status = volume_->Sync(); break;
    case Kind::kCheckpoint: status = volume_->Checkpoint(); break;
    case Kind::kReopenVolume: {
      CloseHandles();
      root_.reset();
      status = volume_->Close();
      if (!status) break;
      volume_.reset();
      done = true;
      return Open();
    }
  }
  done = status.ok();
  if (!status && status.error().code() == ErrorCode::kIo) return status.error().ToString();
  return {};
}

std::string VolumeRun::Describe(uint64_t calls_done, const std::string& problem) const {
  std::string text = problem + "\noperations, each with the changing calls that it made:";
  for (size_t i = 0; i < history_.size(); ++i) {
    text += "\n  " + std::to_string(i) + ": " + history_[i];
    if (i < spans_.size()) {
      text += " [" + std::to_string(spans_[i].begin) + ", " + std::to_string(spans_[i].end) + ")";
    }
  }
  if (calls_done != UINT64_MAX) {
    text += "\nthe power went after " + std::to_string(calls_done) + " calls";
  }
  return text;
}

std::string VolumeRun::Compare(sim::SimBlockDevice& disk, uint64_t calls_done, bool warnings,
                               Tree& found) {
  ++checks_;
  size_t durable = 0, begun = 0;
  for (size_t i = 0; i < spans_.size(); ++i) {
    if (spans_[i].durable && spans_[i].end <= calls_done) durable = i;
    if (spans_[i].begin <= calls_done) begun = i;
  }
  auto volume = Volume::Open(Borrow(disk), OptionsOf({}, clock_));
  if (!volume) return "it does not open: " + volume.error().ToString();
  if (!warnings && !(*volume)->Warnings().empty()) {
    return "a warning: " + (*volume)->Warnings()[0];
  }
  if (Status sound = (*volume)->Verify(); !sound) return sound.error().ToString();
  std::string why = ReadTree(**volume, found);
  if (why.empty()) why = model_.Check(found, durable, begun);
  if (!why.empty()) {
    for (const std::string& warning : (*volume)->Warnings()) why += "\nwarned: " + warning;
  }
  disk.power().CutAfter(0);
  return why;
}

std::string VolumeRun::CheckImage(const sim::DiskImage& image, uint64_t calls_done, Tree& found) {
  sim::SimBlockDevice disk(options_.disk, image);
  const std::string why = Compare(disk, calls_done, false, found);
  if (!why.empty()) return Describe(calls_done, why);
  // Before it is open nobody has seen what the last crash left of unsynced bytes.
  const bool is_open = calls_done >= spans_[0].end;
  return damages_ && is_open ? CheckDamaged(image, calls_done) : "";
}

namespace {

// Any block of metadata, those at the beginning of an area more often.
uint64_t SomeMetadataBlock(const Superblock& superblock, Random& random) {
  const auto within = [&random](uint64_t offset, uint64_t blocks) {
    const uint64_t most = random.OneIn(2) ? std::min<uint64_t>(blocks, 2) : blocks;
    return offset + random.Below(most) * kBlockBytes;
  };
  switch (random.Below(5)) {
    case 0: return random.OneIn(2) ? 0 : superblock.second_offset;
    case 1:
    case 2: return within(superblock.journal_offsets[random.Below(2)], superblock.journal_blocks);
    default:
      return within(superblock.checkpoint_offsets[random.Below(3)], superblock.checkpoint_blocks);
  }
}

// One of the ways in which a disk spoils a block, at rest. What was done, for messages.
std::string Damage(sim::SimBlockDevice& disk, const sim::DiskImage& older, Random& random) {
  auto copies = ReadSuperblocks(disk);
  if (!copies) return "nothing";
  const uint64_t offset = SomeMetadataBlock(copies->best, random);
  const bool is_superblock = offset == 0 || offset == copies->best.second_offset;
  std::string block(kBlockBytes, '\0');
  std::string how = "zeros";
  switch (random.Below(is_superblock ? 3 : 5)) {
    case 0: {
      // Not in the superblock's first bytes: then it looks like somebody else's.
      const uint64_t byte = 8 + random.Below(kBlockBytes - 8);
      disk.FlipBit(offset + byte, static_cast<uint8_t>(random.Below(8)));
      return "a flipped bit in byte " + std::to_string(byte) + " of the block at " +
             std::to_string(offset);
    }
    case 1:
      disk.Inject({.kind = block::IoKind::kRead,
                   .fault = sim::DeviceFault::kError,
                   .count = UINT64_MAX,
                   .begin_bytes = offset,
                   .end_bytes = offset + kBlockBytes});
      return "an unreadable block at " + std::to_string(offset);
    case 2: break;
    case 3:
      older.Read(offset, block);
      how = "an old block";
      break;
    default:
      disk.Contents().Read(SomeMetadataBlock(copies->best, random), block);
      how = "another block";
  }
  if (!disk.Write(offset, block) || !disk.Flush()) return "nothing";
  return how + " at " + std::to_string(offset);
}

}  // namespace

std::string VolumeRun::CheckDamaged(const sim::DiskImage& image, uint64_t calls_done) {
  sim::SimBlockDevice disk(options_.disk, image);
  const std::string damage = Damage(disk, start_, random_);
  Tree found;
  const std::string why = Compare(disk, calls_done, true, found);
  return why.empty() ? "" : Describe(calls_done, "with " + damage + ": " + why);
}

std::string VolumeRun::CheckCuts(size_t first_op, size_t samples, Random& random) {
  const sim::DeviceLog log = disk_->Log();
  for (sim::CutSequence cuts(log); cuts.has_cut(); cuts.Next()) {
    const size_t position = cuts.position();
    const uint64_t calls_done =
        position < log.calls.size() ? log.calls[position].power_call : disk_->power().calls();
    if (calls_done < spans_[first_op].begin) continue;
    const sim::WriteCache& cache = cuts.cache();
    const bool all = cache.writes() < 10 && (uint64_t{1} << cache.writes()) <= samples;
    const size_t outcomes = all ? (size_t{1} << cache.writes()) : samples;
    for (size_t i = 0; i < outcomes; ++i) {
      Tree found;
      const sim::DiskImage image = all ? cache.KeepWrites(i) : cache.KeepSome(random);
      if (std::string why = CheckImage(image, calls_done, found); !why.empty()) return why;
    }
    if (all && cache.writes() != 0) {
      Tree found;
      const auto coin = [&random](size_t, size_t) { return random.OneIn(2); };
      std::string why = CheckImage(cache.Keep(coin), calls_done, found);
      if (!why.empty()) return why;
    }
  }
  return {};
}

std::string VolumeRun::CheckNow(size_t samples, Random& random) {
  const sim::WriteCache cache = disk_->Cache();
  for (size_t i = 0; i < samples; ++i) {
    ++checks_;
    sim::SimBlockDevice disk(options_.disk, cache.KeepSome(random));
    Tree found;
    const std::string why = Compare(disk, UINT64_MAX, true, found);
    if (!why.empty()) return Describe(UINT64_MAX, why);
  }
  return {};
}

std::string VolumeRun::CheckRandomCuts(size_t cuts, Random& random, sim::DiskImage& image,
                                       Tree& tree) {
  const sim::DeviceLog log = disk_->Log();
  std::set<size_t> positions;
  for (size_t i = 0; i < cuts; ++i) positions.insert(random.Below(log.calls.size() + 1));
  for (sim::CutSequence sequence(log); sequence.has_cut(); sequence.Next()) {
    const size_t position = sequence.position();
    if (!positions.contains(position)) continue;
    const uint64_t calls_done =
        position < log.calls.size() ? log.calls[position].power_call : disk_->power().calls();
    for (int outcome = 0; outcome < 3; ++outcome) {
      Tree found;
      const sim::DiskImage left = sequence.cache().KeepSome(random);
      if (std::string why = CheckImage(left, calls_done, found); !why.empty()) return why;
      tree = std::move(found);
      image = left;
    }
  }
  return {};
}

}  // namespace tifs::volume
