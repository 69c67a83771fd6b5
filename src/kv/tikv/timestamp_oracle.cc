#include "kv/tikv/timestamp_oracle.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "base/sync.h"

namespace tifs::kv::tikv {

using std::chrono::nanoseconds;

// Guarded by the mutex of the stream that it was asked of.
class PendingTimestamp {
 public:
  std::optional<Timestamp> answer;
  CondVar changed;  // of its own: who waits is woken for its own answer only
};

// The queue, and the connection if there is one. Each connection has a number; what an old one
// still says is ignored. The waiting threads drive it: one of them connects, all watch for silence.
class TimestampStream : public std::enable_shared_from_this<TimestampStream> {
 public:
  TimestampStream(Environment& environment, PdClient& pd) : environment_(environment), pd_(pd) {}

  std::shared_ptr<PendingTimestamp> Ask() EXCLUDES(mutex_);
  Result<Timestamp> Wait(PendingTimestamp& pending, Backoff& backoff) EXCLUDES(mutex_);
  void Close() EXCLUDES(mutex_);

 private:
  static constexpr size_t kMaxUnanswered = 4;

  using Batch = std::vector<std::shared_ptr<PendingTimestamp>>;
  struct Sent {
    Batch batch;
    nanoseconds at;
  };
  // Hands what comes in on one connection on, with the connection's number.
  class Listener;

  void Send() EXCLUDES(mutex_);
  void OnResponse(uint64_t connection, const pdpb::TsoResponse& response) EXCLUDES(mutex_);
  void OnClosed(uint64_t connection) EXCLUDES(mutex_);
  Status Connect(Backoff& backoff) EXCLUDES(mutex_);
  // What is unanswered is asked for again. Returns the stream, to be destroyed without the mutex.
  std::shared_ptr<Stream> Disconnect() REQUIRES(mutex_);
  Status Take(const pdpb::TsoResponse& response, const Batch& batch) REQUIRES(mutex_);
  nanoseconds UntilSilence() REQUIRES(mutex_);
  void WakeAll() REQUIRES(mutex_);

  Environment& environment_;
  PdClient& pd_;
  Mutex mutex_;
  std::deque<std::shared_ptr<PendingTimestamp>> queue_ GUARDED_BY(mutex_);
  std::deque<Sent> unanswered_ GUARDED_BY(mutex_);
  std::shared_ptr<Stream> stream_ GUARDED_BY(mutex_);
  std::string address_ GUARDED_BY(mutex_);         // of the connection, or of the last one
  std::string failed_address_ GUARDED_BY(mutex_);  // of one that broke; empty: none has
  bool answered_ GUARDED_BY(mutex_) = false;       // something came since the last connect
  uint64_t connection_ GUARDED_BY(mutex_) = 0;
  bool connecting_ GUARDED_BY(mutex_) = false;
  bool sending_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool went_back_ GUARDED_BY(mutex_) = false;
  Timestamp last_ GUARDED_BY(mutex_) = 0;
};

class TimestampStream::Listener : public StreamListener {
 public:
  Listener(std::weak_ptr<TimestampStream> stream, uint64_t connection)
      : stream_(std::move(stream)), connection_(connection) {}

  std::unique_ptr<Message> NewMessage() override { return std::make_unique<pdpb::TsoResponse>(); }
  void OnMessage(const Message& message) override {
    if (auto stream = stream_.lock()) {
      stream->OnResponse(connection_, static_cast<const pdpb::TsoResponse&>(message));
    }
  }
  void OnClosed(const Error&) override {
    if (auto stream = stream_.lock()) stream->OnClosed(connection_);
  }

 private:
  const std::weak_ptr<TimestampStream> stream_;
  const uint64_t connection_;
};

std::shared_ptr<PendingTimestamp> TimestampStream::Ask() {
  auto pending = std::make_shared<PendingTimestamp>();
  {
    MutexLock lock(mutex_);
    queue_.push_back(pending);
  }
  Send();
  return pending;
}

// One thread at a time writes to the stream, so that requests go out in the order of `unanswered_`.
void TimestampStream::Send() {
  const uint64_t cluster_id = pd_.cluster_id();
  for (;;) {
    std::shared_ptr<Stream> stream;
    auto request = std::make_unique<pdpb::TsoRequest>();
    {
      MutexLock lock(mutex_);
      if (sending_ || !stream_ || queue_.empty() || unanswered_.size() >= kMaxUnanswered) return;
      sending_ = true;
      stream = stream_;
      Sent& sent = unanswered_.emplace_back();
      sent.at = environment_.clock.Monotonic();
      sent.batch.assign(queue_.begin(), queue_.end());
      queue_.clear();
      request->mutable_header()->set_cluster_id(cluster_id);
      request->set_count(static_cast<uint32_t>(sent.batch.size()));
    }
    stream->Write(std::move(request));
    MutexLock lock(mutex_);
    sending_ = false;
  }
}

void TimestampStream::OnResponse(uint64_t connection, const pdpb::TsoResponse& response) {
  std::shared_ptr<Stream> broken;
  Batch batch;
  {
    MutexLock lock(mutex_);
    if (connection != connection_ || !stream_) return;
    if (response.header().error().type() != pdpb::OK || unanswered_.empty() ||
        response.count() != unanswered_.front().batch.size() || !response.has_timestamp()) {
      broken = Disconnect();
      WakeAll();
    } else {
      batch = std::move(unanswered_.front().batch);
      unanswered_.pop_front();
      answered_ = true;
      if (!Take(response, batch)) {
        went_back_ = true;
        WakeAll();
      }
    }
  }
  Send();
  for (const auto& pending : batch) pending->changed.NotifyAll();
}

Status TimestampStream::Take(const pdpb::TsoResponse& response, const Batch& batch) {
  const auto physical = static_cast<uint64_t>(response.timestamp().physical());
  const auto logical = static_cast<uint64_t>(response.timestamp().logical());
  const Timestamp newest = (physical << kLogicalBits) + logical;
  if (newest < batch.size() || newest - batch.size() < last_) {
    return Error(ErrorCode::kCorrupt, "pd: timestamps went back");
  }
  Timestamp next = newest - batch.size() + 1;
  for (const auto& pending : batch) pending->answer = next++;
  last_ = newest;
  return {};
}

void TimestampStream::OnClosed(uint64_t connection) {
  std::shared_ptr<Stream> broken;
  MutexLock lock(mutex_);
  if (connection != connection_) return;
  broken = Disconnect();
  WakeAll();
}

// Whoever waits has a place in one of these.
void TimestampStream::WakeAll() {
  for (const auto& pending : queue_) pending->changed.NotifyAll();
  for (const Sent& sent : unanswered_) {
    for (const auto& pending : sent.batch) pending->changed.NotifyAll();
  }
}

std::shared_ptr<Stream> TimestampStream::Disconnect() {
  for (auto sent = unanswered_.rbegin(); sent != unanswered_.rend(); ++sent) {
    queue_.insert(queue_.begin(), sent->batch.begin(), sent->batch.end());
  }
  unanswered_.clear();
  ++connection_;
  failed_address_ = address_;
  return std::exchange(stream_, nullptr);
}

Status TimestampStream::Connect(Backoff& backoff) {
  std::string failed;
  bool back_off = false;
  {
    MutexLock lock(mutex_);
    failed = std::exchange(failed_address_, {});
    back_off = !failed.empty() && !std::exchange(answered_, false);
  }
  if (!failed.empty()) pd_.ForgetLeader(failed);
  if (back_off) {
    TRY(backoff.Wait(BackoffKind::kPd, Error(ErrorCode::kUnavailable, "pd: no timestamps")));
  }
  const std::string address = TRY(pd_.Leader(backoff));
  uint64_t connection = 0;
  {
    MutexLock lock(mutex_);
    connection = ++connection_;
    address_ = address;
  }
  std::shared_ptr<Stream> stream = environment_.transport.OpenStream(
      address, "/pdpb.PD/Tso", std::make_shared<Listener>(weak_from_this(), connection));
  MutexLock lock(mutex_);
  // Otherwise it was closed already.
  if (connection == connection_) stream_.swap(stream);
  return {};
}

// How long the oldest request may still stay unanswered.
nanoseconds TimestampStream::UntilSilence() {
  const nanoseconds timeout = environment_.options.rpc_timeout;
  if (unanswered_.empty()) return timeout;
  return unanswered_.front().at + timeout - environment_.clock.Monotonic();
}

Result<Timestamp> TimestampStream::Wait(PendingTimestamp& pending, Backoff& backoff) {
  for (;;) {
    std::shared_ptr<Stream> broken;
    bool connect = false;
    {
      MutexLock lock(mutex_);
      if (went_back_) return Error(ErrorCode::kCorrupt, "pd: timestamps went back");
      if (pending.answer) return *pending.answer;
      if (closed_ || environment_.stop.stopped() || backoff.remaining() <= nanoseconds(0)) {
        return Error(ErrorCode::kUnavailable, "pd: no timestamp");
      }
      if (!stream_ && !connecting_) {
        connect = connecting_ = true;
      } else {
        const nanoseconds wait = std::min(UntilSilence(), backoff.remaining());
        if (wait > nanoseconds(0)) {
          environment_.clock.WaitFor(pending.changed, mutex_, wait);
        } else if (stream_) {
          broken = Disconnect();
        }
      }
    }
    if (!connect) continue;
    Status connected = Connect(backoff);
    {
      MutexLock lock(mutex_);
      connecting_ = false;
      WakeAll();
    }
    TRY(std::move(connected));
    Send();
  }
}

void TimestampStream::Close() {
  std::shared_ptr<Stream> stream;
  MutexLock lock(mutex_);
  closed_ = true;
  stream = Disconnect();
  WakeAll();
}

TimestampOracle::TimestampOracle(Environment& environment, PdClient& pd)
    : stream_(std::make_shared<TimestampStream>(environment, pd)) {}

TimestampOracle::~TimestampOracle() { stream_->Close(); }

std::shared_ptr<PendingTimestamp> TimestampOracle::Ask() { return stream_->Ask(); }

Result<Timestamp> TimestampOracle::Wait(PendingTimestamp& pending, Backoff& backoff) {
  return stream_->Wait(pending, backoff);
}

}  // namespace tifs::kv::tikv
