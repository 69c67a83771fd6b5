#include "sim/sim_block_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "block/sync_queue.h"

namespace tifs::sim {

using block::Durability;
using block::IoKind;
using block::IoQueue;
using block::IoRequest;

namespace {

// What a discarded range reads as if not as zeros.
constexpr char kDiscarded = '\xdb';

block::Geometry GeometryOf(const SimDeviceOptions& options) {
  return {.block_bytes = options.block_bytes,
          // As a disk wants it, so that what runs here runs there.
          .buffer_alignment_bytes = options.block_bytes,
          .atomic_write_bytes = std::max(options.atomic_write_bytes, options.block_bytes),
          .max_transfer_bytes = 1 << 20,
          .has_flush = true,
          .has_fua = options.has_fua,
          .has_discard = options.has_discard,
          .discard_reads_zeros = options.has_discard && options.discard_reads_zeros};
}

Error InjectedError(std::string_view what, uint64_t offset_bytes, uint64_t size_bytes) {
  return Error(ErrorCode::kIo, "simulated device",
               fmt::format("{} at offset {}, length {}: injected", what, offset_bytes, size_bytes));
}

}  // namespace

// Requests wait until somebody polls; but a flush covers what is done when it is submitted.
class SimQueue : public IoQueue {
 public:
  SimQueue(SimBlockDevice& device, uint32_t depth) : device_(device), depth_(depth) {}
  ~SimQueue() override { Finish(waiting_.size()); }

  size_t Submit(std::span<IoRequest* const> requests) override {
    const size_t taken = std::min<size_t>(requests.size(), depth_ - in_flight());
    for (IoRequest* request : requests.first(taken)) {
      if (!device_.Prepare(*request)) {
        done_.push_back(request);
      } else if (request->kind == IoKind::kFlush) {
        std::vector<IoRequest*> alone = {request};
        device_.DoInAnyOrder(alone);
        done_.push_back(request);
      } else {
        waiting_.push_back(request);
      }
    }
    return taken;
  }

  size_t Poll(size_t at_least, std::span<IoRequest*> done) override {
    at_least = std::min({at_least, done.size(), in_flight()});
    const size_t needed = at_least - std::min(at_least, done_.size());
    Finish(needed + device_.Below(waiting_.size() - needed + 1));
    const size_t count = std::min(done.size(), done_.size());
    std::copy_n(done_.begin(), count, done.begin());
    done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }

  size_t in_flight() const override { return waiting_.size() + done_.size(); }
  size_t depth() const override { return depth_; }

 private:
  void Finish(size_t count) {
    device_.Shuffle(waiting_);
    std::vector<IoRequest*> now(waiting_.end() - static_cast<std::ptrdiff_t>(count),
                                waiting_.end());
    waiting_.resize(waiting_.size() - count);
    device_.DoInAnyOrder(now);
    done_.insert(done_.end(), now.begin(), now.end());
  }

  SimBlockDevice& device_;
  const uint32_t depth_;
  std::vector<IoRequest*> waiting_;
  std::vector<IoRequest*> done_;
};

SimBlockDevice::SimBlockDevice(const SimDeviceOptions& options)
    : SimBlockDevice(options, nullptr, DiskImage(options.size_bytes)) {}

SimBlockDevice::SimBlockDevice(const SimDeviceOptions& options, PowerSupply& power)
    : SimBlockDevice(options, &power, DiskImage(options.size_bytes)) {}

SimBlockDevice::SimBlockDevice(const SimDeviceOptions& options, DiskImage image)
    : SimBlockDevice(options, nullptr, std::move(image)) {}

SimBlockDevice::SimBlockDevice(const SimDeviceOptions& options, PowerSupply* shared_power,
                               DiskImage image)
    : BlockDevice(GeometryOf(options), image.size_bytes(), options.identity, options.read_only),
      options_(options),
      own_power_(shared_power == nullptr ? std::make_unique<PowerSupply>() : nullptr),
      power_(shared_power == nullptr ? *own_power_ : *shared_power),
      contents_(image),
      cache_(image, geometry().atomic_write_bytes),
      log_{std::move(image), geometry().atomic_write_bytes, {}},
      random_(options.seed) {
  power_.Attach(*this);
}

SimBlockDevice::~SimBlockDevice() { power_.Detach(*this); }

Result<std::unique_ptr<IoQueue>> SimBlockDevice::OpenQueue(uint32_t depth) {
  TRY(block::CheckDepth(depth));
  return std::unique_ptr<IoQueue>(std::make_unique<SimQueue>(*this, depth));
}

// --- calls ---

Status SimBlockDevice::CheckPower() const {
  if (power_.IsOff()) return Error(ErrorCode::kIo, "simulated device", "the power is off");
  return {};
}

Status SimBlockDevice::DoRead(uint64_t offset_bytes, std::span<char> out) {
  MutexLock lock(mutex_);
  TRY(CheckPower());
  if (offset_bytes + out.size() > contents_.size_bytes()) {
    return InjectedError("read beyond a shrunk end", offset_bytes, out.size());
  }
  contents_.Read(offset_bytes, out);
  const std::optional<FaultPlan> fault = MeetFault(IoKind::kRead, offset_bytes, out.size());
  if (!fault) return {};
  if (fault->fault == DeviceFault::kError) {
    std::memset(out.data(), kDiscarded, out.size());
    return InjectedError("read", offset_bytes, out.size());
  }
  if (fault->fault == DeviceFault::kStale) {
    cache_.durable().Read(offset_bytes, out);
    return {};
  }
  CHECK(fault->fault == DeviceFault::kFlipped);
  out[random_.Below(out.size())] ^= static_cast<char>(1 << random_.Below(8));
  return {};
}

Status SimBlockDevice::DoWrite(uint64_t offset_bytes, std::span<const char> data,
                               Durability durability) {
  MutexLock lock(mutex_);
  TRY(CheckPower());
  if (offset_bytes + data.size() > contents_.size_bytes()) {
    return InjectedError("write beyond a shrunk end", offset_bytes, data.size());
  }
  Patch patch = {offset_bytes, data.size(),
                 std::make_shared<const std::string>(data.begin(), data.end())};
  const bool through = durability == Durability::kThrough;
  const std::optional<uint64_t> call = power_.CountCall();
  if (!call) {
    KeepUnderWay(patch);
    return CheckPower();
  }
  if (const auto fault = MeetFault(IoKind::kWrite, offset_bytes, data.size())) {
    return WriteWithFault(*fault, std::move(patch), through);
  }
  Record({IoKind::kWrite, through, patch, *call});
  Perform(std::move(patch), through);
  return {};
}

Status SimBlockDevice::WriteWithFault(const FaultPlan& fault, Patch patch, bool through) {
  switch (fault.fault) {
    case DeviceFault::kLost: return {};
    case DeviceFault::kMisdirected:
      patch.offset_bytes = (patch.offset_bytes + fault.shift_bytes) % contents_.size_bytes();
      patch.offset_bytes = std::min(patch.offset_bytes, contents_.size_bytes() - patch.size_bytes);
      Perform(std::move(patch), through);
      return {};
    case DeviceFault::kFlipped: {
      std::string data = *patch.data;
      data[random_.Below(data.size())] ^= static_cast<char>(1 << random_.Below(8));
      patch.data = std::make_shared<const std::string>(std::move(data));
      Perform(std::move(patch), through);
      return {};
    }
    case DeviceFault::kError: break;
    case DeviceFault::kStale: CHECK(false);
  }
  KeepUnderWay(patch);
  return InjectedError("write", patch.offset_bytes, patch.size_bytes);
}

Status SimBlockDevice::DoFlush() {
  MutexLock lock(mutex_);
  return FlushLocked();
}

Status SimBlockDevice::FlushLocked() {
  TRY(CheckPower());
  const std::optional<uint64_t> call = power_.CountCall();
  if (!call) return CheckPower();
  if (const auto fault = MeetFault(IoKind::kFlush, 0, contents_.size_bytes())) {
    if (fault->fault == DeviceFault::kLost) return {};
    cache_.FailFlush(random_);
    return InjectedError("flush", 0, contents_.size_bytes());
  }
  Record({IoKind::kFlush, false, {}, *call});
  cache_.Flush();
  return {};
}

Status SimBlockDevice::DoDiscard(uint64_t offset_bytes, uint64_t size_bytes) {
  MutexLock lock(mutex_);
  TRY(CheckPower());
  Patch patch = {offset_bytes, size_bytes, nullptr,
                 geometry().discard_reads_zeros ? '\0' : kDiscarded};
  const std::optional<uint64_t> call = power_.CountCall();
  if (!call) {
    KeepUnderWay(patch);
    return CheckPower();
  }
  if (const auto fault = MeetFault(IoKind::kDiscard, offset_bytes, size_bytes)) {
    if (fault->fault == DeviceFault::kLost) return {};
    KeepUnderWay(patch);
    return InjectedError("discard", offset_bytes, size_bytes);
  }
  Record({IoKind::kDiscard, false, patch, *call});
  Perform(std::move(patch), false);
  return {};
}

void SimBlockDevice::DoRun(std::span<IoRequest> requests) {
  std::vector<IoRequest*> undone;
  for (IoRequest& request : requests) {
    if (!request.done) undone.push_back(&request);
  }
  Shuffle(undone);
  DoInAnyOrder(undone);
}

void SimBlockDevice::DoInAnyOrder(std::vector<IoRequest*>& requests) {
  std::ranges::stable_partition(
      requests, [](const IoRequest* request) { return request->kind == IoKind::kFlush; });
  for (IoRequest* request : requests) BlockDevice::DoRun({request, 1});
}

void SimBlockDevice::Shuffle(std::vector<IoRequest*>& requests) {
  MutexLock lock(mutex_);
  for (size_t i = requests.size(); i > 1; --i) {
    std::swap(requests[i - 1], requests[random_.Below(i)]);
  }
}

uint64_t SimBlockDevice::Below(uint64_t bound) {
  MutexLock lock(mutex_);
  return random_.Below(bound);
}

Result<uint64_t> SimBlockDevice::DoRefreshSize() {
  MutexLock lock(mutex_);
  TRY(CheckPower());
  return contents_.size_bytes();
}

void SimBlockDevice::Perform(Patch patch, bool through) {
  patch.ApplyTo(contents_);
  if (through) {
    cache_.WriteThrough(patch);
  } else {
    cache_.Write(std::move(patch));
  }
}

// Of a call that failed on its way: reads see some of its units from now on, or later; any of them
// may survive.
void SimBlockDevice::KeepUnderWay(const Patch& patch) {
  WriteCache alone(contents_, geometry().atomic_write_bytes);
  alone.Write(patch);
  contents_ = alone.KeepSome(random_);
  cache_.Write(patch);
}

void SimBlockDevice::Record(LoggedCall call) {
  if (options_.record) log_.calls.push_back(std::move(call));
}

// --- faults ---

void SimBlockDevice::Inject(const FaultPlan& plan) {
  CHECK(plan.shift_bytes % geometry().block_bytes == 0);
  MutexLock lock(mutex_);
  faults_.push_back(plan);
}

void SimBlockDevice::ClearFaults() {
  MutexLock lock(mutex_);
  faults_.clear();
}

std::optional<FaultPlan> SimBlockDevice::MeetFault(IoKind kind, uint64_t offset_bytes,
                                                   uint64_t size_bytes) {
  std::optional<FaultPlan> met;
  for (FaultPlan& plan : faults_) {
    if (plan.kind != kind || plan.count == 0) continue;
    if (offset_bytes >= plan.end_bytes || offset_bytes + size_bytes <= plan.begin_bytes) continue;
    if (plan.skip > 0) {
      --plan.skip;
    } else if (!met) {
      --plan.count;
      met = plan;
    }
  }
  return met;
}

void SimBlockDevice::FlipBit(uint64_t offset_bytes, uint8_t bit) {
  MutexLock lock(mutex_);
  char byte = 0;
  contents_.Read(offset_bytes, {&byte, 1});
  byte = static_cast<char>(byte ^ (1 << bit));
  contents_.Write(offset_bytes, {&byte, 1});
  cache_.FlipBit(offset_bytes, bit);
}

void SimBlockDevice::Resize(uint64_t size_bytes) {
  CHECK(size_bytes % geometry().block_bytes == 0);
  CHECK(!options_.record);
  MutexLock lock(mutex_);
  contents_.Resize(size_bytes);
  cache_.Resize(size_bytes);
}

// --- what survives ---

void SimBlockDevice::Survive(Random& random) {
  MutexLock lock(mutex_);
  contents_ = cache_.KeepSome(random);
  cache_ = WriteCache(contents_, geometry().atomic_write_bytes);
  log_.start = contents_;
  log_.calls.clear();
}

WriteCache SimBlockDevice::Cache() const {
  MutexLock lock(mutex_);
  return cache_;
}

DiskImage SimBlockDevice::Contents() const {
  MutexLock lock(mutex_);
  return contents_;
}

DeviceLog SimBlockDevice::Log() const {
  CHECK(options_.record);
  MutexLock lock(mutex_);
  return log_;
}

CutSequence::CutSequence(const DeviceLog& log)
    : log_(log), done_(log.start, log.unit_bytes), under_way_(done_) {
  BeginCall();
}

void CutSequence::BeginCall() {
  under_way_ = done_;
  if (position_ >= log_.calls.size()) return;
  const LoggedCall& call = log_.calls[position_];
  if (call.kind != IoKind::kFlush) under_way_.Write(call.patch);
}

void CutSequence::Next() {
  if (position_ < log_.calls.size()) {
    const LoggedCall& call = log_.calls[position_];
    if (call.kind == IoKind::kFlush) {
      done_.Flush();
    } else if (call.through) {
      done_.WriteThrough(call.patch);
    } else {
      done_.Write(call.patch);
    }
  }
  ++position_;
  if (has_cut()) BeginCall();
}

}  // namespace tifs::sim
