#include "sim/power_cut_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

// How the fault model is kept: every file has two contents and the list of writes between them;
// every directory two sets of entries and, for the whole disk, one list of unsynced operations.
// Losing power is choosing, from each list, what had already reached the platters.

namespace tifs::sim {
namespace {

constexpr uint64_t kSectorBytes = 512;

Error PowerIsOff() { return Error(ErrorCode::kIo, "the power is off"); }

std::vector<std::string> Components(const std::string& path) {
  std::vector<std::string> components;
  size_t begin = 0;
  while (begin < path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) components.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return components;
}

std::string Garbage(uint64_t size, Random& random) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Next());
  return bytes;
}

}  // namespace

PowerCutDisk::PowerCutDisk()
    : own_power_(std::make_unique<PowerSupply>()),
      power_(*own_power_),
      root_(std::make_shared<Node>()) {
  root_->is_directory = true;
  power_.Attach(*this);
}

PowerCutDisk::PowerCutDisk(PowerSupply& power) : power_(power), root_(std::make_shared<Node>()) {
  root_->is_directory = true;
  power_.Attach(*this);
}

PowerCutDisk::~PowerCutDisk() { power_.Detach(*this); }

// --- files ---

Result<size_t> PowerCutDisk::File::Read(uint64_t offset_bytes, std::span<char> out) const {
  MutexLock lock(disk_.mutex_);
  TRY(disk_.CheckAlive(*this));
  const std::string& content = node_->content;
  if (offset_bytes >= content.size()) return size_t{0};
  const size_t count = std::min<uint64_t>(out.size(), content.size() - offset_bytes);
  std::memcpy(out.data(), content.data() + offset_bytes, count);
  return count;
}

Status PowerCutDisk::File::Write(uint64_t offset_bytes, std::string_view data) {
  return disk_.WriteTo(*this, PendingWrite{offset_bytes, std::string(data)});
}

Status PowerCutDisk::File::Append(std::string_view data) {
  return disk_.WriteTo(*this, PendingWrite{UINT64_MAX, std::string(data)});
}

Status PowerCutDisk::File::Truncate(uint64_t size_bytes) {
  return disk_.WriteTo(*this, PendingWrite{size_bytes, std::nullopt});
}

Status PowerCutDisk::File::Sync() { return disk_.SyncFile(*this); }

Result<uint64_t> PowerCutDisk::File::Size() const {
  MutexLock lock(disk_.mutex_);
  TRY(disk_.CheckAlive(*this));
  return node_->content.size();
}

void PowerCutDisk::Apply(std::string& content, const PendingWrite& write) {
  if (!write.data) {
    content.resize(write.offset_bytes);
    return;
  }
  const uint64_t end = write.offset_bytes + write.data->size();
  if (content.size() < end) content.resize(end);
  std::memcpy(content.data() + write.offset_bytes, write.data->data(), write.data->size());
}

Status PowerCutDisk::WriteTo(const File& file, PendingWrite write) {
  MutexLock lock(mutex_);
  TRY(CheckAlive(file));
  const Status alive = Changing();
  if (write.offset_bytes == UINT64_MAX) write.offset_bytes = file.node_->content.size();
  Apply(file.node_->content, write);
  // The write that met the cut is pending too: it may or may not have reached the disk.
  file.node_->pending.push_back(std::move(write));
  if (!alive) return PowerIsOff();
  return {};
}

Status PowerCutDisk::SyncFile(const File& file) {
  MutexLock lock(mutex_);
  TRY(CheckAlive(file));
  TRY(Changing());
  if (lie_ && lie_(SyncKind::kFile, file.path_)) {
    ++lies_;
    return {};
  }
  for (const PendingWrite& write : file.node_->pending) Apply(file.node_->durable, write);
  file.node_->pending.clear();
  return {};
}

// --- names ---

Result<std::shared_ptr<PowerCutDisk::Node>> PowerCutDisk::Find(const std::string& path) const {
  std::shared_ptr<Node> node = root_;
  for (const std::string& component : Components(path)) {
    if (!node->is_directory) return Error(ErrorCode::kNotDirectory, "power cut disk");
    const auto found = node->entries.find(component);
    if (found == node->entries.end()) return Error(ErrorCode::kNotFound, "power cut disk", path);
    node = found->second;
  }
  return node;
}

Result<PowerCutDisk::Place> PowerCutDisk::FindPlace(const std::string& path) const {
  std::vector<std::string> components = Components(path);
  if (components.empty()) return Error(ErrorCode::kInvalid, "power cut disk", path);
  std::string parent;
  for (size_t i = 0; i + 1 < components.size(); ++i) parent += "/" + components[i];
  std::shared_ptr<Node> directory = TRY(Find(parent));
  if (!directory->is_directory) return Error(ErrorCode::kNotDirectory, "power cut disk", path);
  return Place{std::move(directory), std::move(components.back())};
}

void PowerCutDisk::Change(DirectoryOperation operation) {
  for (const EntryChange& change : operation) {
    if (change.node) {
      change.directory->entries[change.name] = change.node;
    } else {
      change.directory->entries.erase(change.name);
    }
  }
  pending_.push_back(std::move(operation));
}

Result<std::unique_ptr<PowerCutDisk::File>> PowerCutDisk::Open(const std::string& path,
                                                               OpenMode mode) {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  Place place = TRY(FindPlace(path));
  const auto found = place.directory->entries.find(place.name);
  std::shared_ptr<Node> node;
  if (found == place.directory->entries.end()) {
    if (!mode.create) return Error(ErrorCode::kNotFound, "power cut disk", path);
    node = std::make_shared<Node>();
    const Status alive = Changing();
    Change({{place.directory, place.name, node}});
    if (!alive) return PowerIsOff();
  } else {
    node = found->second;
    if (node->is_directory) return Error(ErrorCode::kIsDirectory, "power cut disk", path);
    if (mode.create && mode.exclusive) return Error(ErrorCode::kExists, "power cut disk", path);
    if (mode.truncate && !node->content.empty()) {
      const Status alive = Changing();
      node->content.clear();
      node->pending.push_back({0, std::nullopt});
      if (!alive) return PowerIsOff();
    }
  }
  node->unwritten_reads_zeros |= mode.unwritten_reads_zeros;
  node->in_order |= mode.in_order;
  return std::unique_ptr<File>(new File(*this, std::move(node), path, generation_));
}

Status PowerCutDisk::MakeDirectory(const std::string& path) {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  Place place = TRY(FindPlace(path));
  if (place.directory->entries.contains(place.name)) {
    return Error(ErrorCode::kExists, "power cut disk", path);
  }
  const Status alive = Changing();
  auto node = std::make_shared<Node>();
  node->is_directory = true;
  Change({{place.directory, place.name, std::move(node)}});
  if (!alive) return PowerIsOff();
  return {};
}

Status PowerCutDisk::RemoveDirectory(const std::string& path) {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  Place place = TRY(FindPlace(path));
  const std::shared_ptr<Node> node = TRY(Find(path));
  if (!node->is_directory) return Error(ErrorCode::kNotDirectory, "power cut disk", path);
  if (!node->entries.empty()) return Error(ErrorCode::kNotEmpty, "power cut disk", path);
  const Status alive = Changing();
  Change({{place.directory, place.name, nullptr}});
  if (!alive) return PowerIsOff();
  return {};
}

Status PowerCutDisk::Remove(const std::string& path) {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  Place place = TRY(FindPlace(path));
  const std::shared_ptr<Node> node = TRY(Find(path));
  if (node->is_directory) return Error(ErrorCode::kIsDirectory, "power cut disk", path);
  const Status alive = Changing();
  Change({{place.directory, place.name, nullptr}});
  if (!alive) return PowerIsOff();
  return {};
}

Status PowerCutDisk::Rename(const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  Place source = TRY(FindPlace(from));
  Place target = TRY(FindPlace(to));
  std::shared_ptr<Node> node = TRY(Find(from));
  const auto replaced = target.directory->entries.find(target.name);
  if (replaced != target.directory->entries.end() && replaced->second == node) return {};
  const Status alive = Changing();
  Change({{source.directory, source.name, nullptr}, {target.directory, target.name, node}});
  if (!alive) return PowerIsOff();
  return {};
}

Status PowerCutDisk::Link(const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  Place target = TRY(FindPlace(to));
  std::shared_ptr<Node> node = TRY(Find(from));
  if (target.directory->entries.contains(target.name)) {
    return Error(ErrorCode::kExists, "power cut disk", to);
  }
  const Status alive = Changing();
  Change({{target.directory, target.name, std::move(node)}});
  if (!alive) return PowerIsOff();
  return {};
}

Status PowerCutDisk::SyncDirectory(const std::string& path) {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  const std::shared_ptr<Node> directory = TRY(Find(path));
  if (!directory->is_directory) return Error(ErrorCode::kNotDirectory, "power cut disk", path);
  TRY(Changing());
  if (lie_ && lie_(SyncKind::kDirectory, path)) {
    ++lies_;
    return {};
  }
  std::erase_if(pending_, [&](const DirectoryOperation& operation) {
    const bool here = std::ranges::any_of(
        operation, [&](const EntryChange& change) { return change.directory == directory; });
    if (!here) return false;
    for (const EntryChange& change : operation) {
      if (change.node) {
        change.directory->durable_entries[change.name] = change.node;
      } else {
        change.directory->durable_entries.erase(change.name);
      }
    }
    return true;
  });
  return {};
}

Result<std::vector<std::string>> PowerCutDisk::List(const std::string& path) const {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  const std::shared_ptr<Node> directory = TRY(Find(path));
  if (!directory->is_directory) return Error(ErrorCode::kNotDirectory, "power cut disk", path);
  std::vector<std::string> names;
  for (const auto& [name, node] : directory->entries) names.push_back(name);
  return names;
}

Result<std::optional<uint64_t>> PowerCutDisk::FileSize(const std::string& path) const {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  const std::shared_ptr<Node> node = TRY(Find(path));
  if (node->is_directory) return std::optional<uint64_t>();
  return std::optional<uint64_t>(node->content.size());
}

Status PowerCutDisk::Lock(const std::string& path) {
  MutexLock lock(mutex_);
  TRY(CheckAlive());
  if (!locks_.insert(path).second) return Error(ErrorCode::kBusy, "power cut disk", path);
  return {};
}

void PowerCutDisk::Unlock(const std::string& path) {
  MutexLock lock(mutex_);
  locks_.erase(path);
}

// --- power ---

Status PowerCutDisk::CheckAlive() const {
  if (power_.IsOff()) return PowerIsOff();
  return {};
}

Status PowerCutDisk::CheckAlive(const File& file) const {
  if (power_.IsOff() || file.generation_ != generation_) return PowerIsOff();
  return {};
}

Status PowerCutDisk::Changing() {
  if (!power_.CountCall()) return PowerIsOff();
  return {};
}

void PowerCutDisk::CutAfter(uint64_t calls) { power_.CutAfter(calls); }

bool PowerCutDisk::IsOff() const { return power_.IsOff(); }

uint64_t PowerCutDisk::calls() const { return power_.calls(); }

void PowerCutDisk::LieAboutSync(std::function<bool(SyncKind, std::string_view)> lie) {
  MutexLock lock(mutex_);
  lie_ = std::move(lie);
}

uint64_t PowerCutDisk::syncs_lied_about() const {
  MutexLock lock(mutex_);
  return lies_;
}

// Of the unsynced directory operations: none, all, the first few, or any.
void PowerCutDisk::SurviveDirectories(Random& random) {
  const uint64_t manner = random.Below(5);
  const size_t first_few = random.Below(pending_.size() + 1);
  for (size_t i = 0; i < pending_.size(); ++i) {
    const bool survives = manner == 0   ? false
                          : manner == 1 ? true
                          : manner == 2 ? i < first_few
                                        : random.OneIn(2);
    if (!survives) continue;
    for (const EntryChange& change : pending_[i]) {
      if (change.node) {
        change.directory->durable_entries[change.name] = change.node;
      } else {
        change.directory->durable_entries.erase(change.name);
      }
    }
  }
  pending_.clear();
}

// Of a file's unsynced writes: none, all, a prefix with its last one torn, or sectors at random.
void PowerCutDisk::SurviveFile(Node& file, Random& random) {
  const uint64_t manner = random.Below(file.in_order ? 3 : 5);
  size_t count = manner == 0 ? 0 : file.pending.size();
  if (manner == 2) count = random.Below(file.pending.size() + 1);
  const bool by_sectors = manner >= 3;
  const bool with_garbage = manner == 4 && !file.unwritten_reads_zeros;
  for (size_t i = 0; i < count; ++i) {
    const PendingWrite& write = file.pending[i];
    const bool is_torn = manner == 2 && i + 1 == count;
    if (!write.data || (!by_sectors && !is_torn)) {
      if (by_sectors && random.OneIn(2)) continue;
      Apply(file.durable, write);
      continue;
    }
    if (is_torn) {
      const uint64_t kept = random.Below(write.data->size() + 1);
      Apply(file.durable, PendingWrite{write.offset_bytes, write.data->substr(0, kept)});
      continue;
    }
    for (uint64_t begin = 0; begin < write.data->size();) {
      const uint64_t to_sector_end = kSectorBytes - (write.offset_bytes + begin) % kSectorBytes;
      const uint64_t size = std::min<uint64_t>(to_sector_end, write.data->size() - begin);
      const uint64_t offset = write.offset_bytes + begin;
      if (random.OneIn(2)) {
        Apply(file.durable, PendingWrite{offset, write.data->substr(begin, size)});
      } else if (with_garbage && offset + size > file.durable.size()) {
        // The length survived, the bytes did not: what was on the disk there before.
        Apply(file.durable, PendingWrite{offset, Garbage(size, random)});
      }
      begin += size;
    }
  }
  file.pending.clear();
  file.content = file.durable;
}

std::shared_ptr<PowerCutDisk::Node> PowerCutDisk::Rebuild(
    const Node& node, std::map<const Node*, std::shared_ptr<Node>>& rebuilt, Random& random) {
  std::shared_ptr<Node>& copy = rebuilt[&node];
  if (copy) return copy;
  copy = std::make_shared<Node>();
  copy->is_directory = node.is_directory;
  copy->unwritten_reads_zeros = node.unwritten_reads_zeros;
  copy->in_order = node.in_order;
  if (!node.is_directory) {
    copy->durable = node.durable;
    copy->pending = node.pending;
    SurviveFile(*copy, random);
    return copy;
  }
  const std::shared_ptr<Node> directory = copy;
  for (const auto& [name, child] : node.durable_entries) {
    directory->durable_entries[name] = Rebuild(*child, rebuilt, random);
  }
  directory->entries = directory->durable_entries;
  return directory;
}

void PowerCutDisk::PowerOn(Random& random) { power_.TurnOn(random); }

void PowerCutDisk::Survive(Random& random) {
  MutexLock lock(mutex_);
  SurviveDirectories(random);
  std::map<const Node*, std::shared_ptr<Node>> rebuilt;
  root_ = Rebuild(*root_, rebuilt, random);
  locks_.clear();
  ++generation_;
}

}  // namespace tifs::sim
