#include "kv/tikv/command_batch.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <thread>
#include <vector>

#include "base/sync.h"
#include "proto/tikvpb.pb.h"

namespace tifs::kv::tikv {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using std::chrono::nanoseconds;

constexpr char kBatchMethod[] = "/tikvpb.Tikv/BatchCommands";
constexpr std::string_view kService = "/tikvpb.Tikv/";
constexpr uint32_t kLengthDelimited = 2;
// The numbers of TiKV's protocol.
constexpr std::pair<std::string_view, int> kFields[] = {{"KvGet", 1},
                                                        {"KvScan", 2},
                                                        {"KvPrewrite", 3},
                                                        {"KvCommit", 4},
                                                        {"KvBatchGet", 7},
                                                        {"KvBatchRollback", 8},
                                                        {"KvScanLock", 9},
                                                        {"KvResolveLock", 10},
                                                        {"KvCheckTxnStatus", 25},
                                                        {"KvTxnHeartBeat", 26},
                                                        {"KvCheckSecondaryLocks", 33}};

// One request, from Call until `done`.
struct Command {
  uint32_t field;
  const char* method;
  const Message* request;
  Message* response;
  Transport::Done done;
  nanoseconds timeout;
  nanoseconds begun;
  std::string bytes;  // until it is sent
};

using Commands = std::map<uint64_t, Command>;

// A command of which only the last `size` bytes are missing; they begin at `out`.
std::string StartCommand(uint32_t field, size_t size, char*& out) {
  const uint32_t tag = field << 3 | kLengthDelimited;
  const size_t head = CodedOutputStream::VarintSize32(tag) + CodedOutputStream::VarintSize64(size);
  std::string command(head + size, '\0');
  auto* at = reinterpret_cast<uint8_t*>(command.data());
  at = CodedOutputStream::WriteVarint32ToArray(tag, at);
  CodedOutputStream::WriteVarint64ToArray(size, at);
  out = command.data() + head;
  return command;
}

std::string EncodeCommand(uint32_t field, const Message& message) {
  char* out = nullptr;
  std::string command = StartCommand(field, message.ByteSizeLong(), out);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(out));
  return command;
}

bool DecodeCommand(std::string_view command, uint32_t field, Message& message) {
  const auto parts = SplitCommand(command);
  return parts && parts->first == field &&
         message.ParseFromArray(parts->second.data(), static_cast<int>(parts->second.size()));
}

Error Unanswered(const std::string& address, std::string_view why) {
  return Error(ErrorCode::kUnavailable, "tikv", address + ": " + std::string(why));
}

}  // namespace

uint32_t FieldOfMethod(std::string_view method) {
  if (!method.starts_with(kService)) return 0;
  method.remove_prefix(kService.size());
  const auto* found = std::ranges::find(kFields, method, &std::pair<std::string_view, int>::first);
  return found == std::end(kFields) ? 0 : found->second;
}

std::string MethodOfField(uint32_t field) {
  const auto* found = std::ranges::find(kFields, static_cast<int>(field),
                                        &std::pair<std::string_view, int>::second);
  if (found == std::end(kFields)) return {};
  return std::string(kService).append(found->first);
}

std::string JoinCommand(uint32_t field, std::string_view bytes) {
  char* out = nullptr;
  std::string command = StartCommand(field, bytes.size(), out);
  bytes.copy(out, bytes.size());
  return command;
}

std::optional<std::pair<uint32_t, std::string_view>> SplitCommand(std::string_view command) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(command.data()),
                      static_cast<int>(command.size()));
  const uint32_t tag = in.ReadTag();
  uint32_t size = 0;
  if ((tag & 7) != kLengthDelimited || !in.ReadVarint32(&size)) return std::nullopt;
  command.remove_prefix(in.CurrentPosition());
  if (command.size() != size) return std::nullopt;
  return std::pair(tag >> 3, command);
}

// All stores' streams, and the thread that ends what stays unanswered.
class CommandStreams : public std::enable_shared_from_this<CommandStreams> {
 public:
  CommandStreams(Transport& base, Clock& clock, const BatchLimits& limits)
      : base_(base), clock_(clock), limits_(limits) {}

  void Call(const std::string& address, Command command) EXCLUDES(mutex_);
  // Ends what is left, and the thread. Nothing comes from the base any more.
  void Close() EXCLUDES(mutex_);

 private:
  // One store. Each of its streams has a number; what an old one still says is ignored.
  struct Lane {
    std::shared_ptr<Stream> stream;
    uint64_t number = 0;
    bool sending = false;     // a thread is opening the stream, or making or handing on a message
    bool writing = false;     // a message is not written yet
    bool alone = false;       // the store has no such stream: each request goes by itself
    nanoseconds heard_at{0};  // when something came on this stream; 0: never
    Commands waiting;
    Commands sent;
  };
  class Listener;

  void Send(const std::string& address) EXCLUDES(mutex_);
  void Open(const std::string& address, Lane& lane) EXCLUDES(mutex_);
  std::unique_ptr<tikvpb::BatchCommandsRequest> NextMessage(Lane& lane) REQUIRES(mutex_);
  void OnMessage(const std::string& address, uint64_t number,
                 const tikvpb::BatchCommandsResponse& batch) EXCLUDES(mutex_);
  void OnWritten(const std::string& address, uint64_t number) EXCLUDES(mutex_);
  void OnClosed(const std::string& address, uint64_t number, const Error& error) EXCLUDES(mutex_);
  // Takes all commands, to be failed without the mutex; the stream is to be destroyed without it.
  std::shared_ptr<Stream> Break(Lane& lane, Commands& commands) REQUIRES(mutex_);
  void GoAlone(const std::string& address, Command command);
  void Watch() EXCLUDES(mutex_);
  nanoseconds Expire(std::vector<std::pair<std::string, Commands>>& expired,
                     std::vector<std::shared_ptr<Stream>>& broken) REQUIRES(mutex_);
  static void Fail(const std::string& address, Commands& commands, std::string_view why);

  Transport& base_;
  Clock& clock_;
  const BatchLimits limits_;
  Mutex mutex_;
  CondVar sooner_;
  std::map<std::string, Lane> lanes_ GUARDED_BY(mutex_);  // never shrinks
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  std::optional<nanoseconds> wake_at_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
  std::thread watcher_ GUARDED_BY(mutex_);
};

class CommandStreams::Listener : public StreamListener {
 public:
  Listener(std::weak_ptr<CommandStreams> streams, std::string address, uint64_t number)
      : streams_(std::move(streams)), address_(std::move(address)), number_(number) {}

  std::unique_ptr<Message> NewMessage() override {
    return std::make_unique<tikvpb::BatchCommandsResponse>();
  }
  void OnMessage(const Message& message) override {
    if (auto streams = streams_.lock()) {
      streams->OnMessage(address_, number_,
                         static_cast<const tikvpb::BatchCommandsResponse&>(message));
    }
  }
  void OnWritten() override {
    if (auto streams = streams_.lock()) streams->OnWritten(address_, number_);
  }
  void OnClosed(const Error& error) override {
    if (auto streams = streams_.lock()) streams->OnClosed(address_, number_, error);
  }

 private:
  const std::weak_ptr<CommandStreams> streams_;
  const std::string address_;
  const uint64_t number_;
};

void CommandStreams::Call(const std::string& address, Command command) {
  command.begun = clock_.Monotonic();
  const nanoseconds deadline = command.begun + command.timeout;
  bool closed = false;
  bool alone = false;
  {
    MutexLock lock(mutex_);
    closed = closed_;
    alone = !closed && lanes_[address].alone;
    if (!closed && !alone) {
      lanes_[address].waiting.emplace(next_id_++, std::move(command));
      if (!watcher_.joinable()) watcher_ = std::thread([this] { Watch(); });
      if (!wake_at_ || deadline < *wake_at_) {
        wake_at_ = deadline;
        sooner_.NotifyAll();
      }
    }
  }
  if (closed) {
    command.done(Unanswered(address, "closed"));
  } else if (alone) {
    GoAlone(address, std::move(command));
  } else {
    Send(address);
  }
}

void CommandStreams::GoAlone(const std::string& address, Command command) {
  base_.Call(address, command.method, *command.request, *command.response, command.timeout,
             std::move(command.done));
}

// One thread at a time sends for a store. Who comes meanwhile only leaves a command behind.
void CommandStreams::Send(const std::string& address) {
  for (;;) {
    std::shared_ptr<Stream> stream;
    std::unique_ptr<tikvpb::BatchCommandsRequest> message;
    Lane* to_open = nullptr;
    {
      MutexLock lock(mutex_);
      Lane& lane = lanes_[address];
      if (lane.sending || lane.writing || lane.waiting.empty() || closed_) return;
      if (lane.stream && lane.sent.size() >= limits_.unanswered) return;
      lane.sending = true;
      if (lane.stream) {
        stream = lane.stream;
        message = NextMessage(lane);
        lane.writing = true;
      } else {
        to_open = &lane;
      }
    }
    if (to_open != nullptr) {
      Open(address, *to_open);
    } else {
      stream->Write(std::move(message));
    }
    MutexLock lock(mutex_);
    lanes_[address].sending = false;
  }
}

void CommandStreams::Open(const std::string& address, Lane& lane) {
  uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    number = ++lane.number;
    lane.heard_at = nanoseconds(0);
  }
  std::shared_ptr<Stream> stream = base_.OpenStream(
      address, kBatchMethod, std::make_shared<Listener>(weak_from_this(), address, number));
  MutexLock lock(mutex_);
  // Otherwise it was closed already.
  if (lane.number == number) lane.stream.swap(stream);
}

std::unique_ptr<tikvpb::BatchCommandsRequest> CommandStreams::NextMessage(Lane& lane) {
  auto message = std::make_unique<tikvpb::BatchCommandsRequest>();
  size_t bytes = 0;
  while (!lane.waiting.empty() && lane.sent.size() < limits_.unanswered) {
    auto next = lane.waiting.begin();
    bytes += next->second.bytes.size();
    const auto commands = static_cast<size_t>(message->requests_size());
    if (commands > 0 && (commands >= limits_.commands || bytes > limits_.bytes)) break;
    message->add_requests(std::move(next->second.bytes));
    message->add_request_ids(next->first);
    lane.sent.insert(lane.waiting.extract(next));
  }
  return message;
}

void CommandStreams::OnWritten(const std::string& address, uint64_t number) {
  {
    MutexLock lock(mutex_);
    Lane& lane = lanes_[address];
    if (lane.number != number) return;
    lane.writing = false;
  }
  Send(address);
}

void CommandStreams::OnMessage(const std::string& address, uint64_t number,
                               const tikvpb::BatchCommandsResponse& batch) {
  std::vector<std::pair<Command, const std::string*>> answered;
  {
    MutexLock lock(mutex_);
    Lane& lane = lanes_[address];
    if (lane.number != number) return;
    lane.heard_at = clock_.Monotonic();
    const int count = std::min(batch.responses_size(), batch.request_ids_size());
    for (int i = 0; i < count; ++i) {
      // What is not found was given up.
      auto found = lane.sent.extract(batch.request_ids(i));
      if (found) answered.emplace_back(std::move(found.mapped()), &batch.responses(i));
    }
  }
  for (auto& [command, bytes] : answered) {
    const bool parsed = DecodeCommand(*bytes, command.field, *command.response);
    command.done(parsed ? Status() : Status(Unanswered(address, "an answer makes no sense")));
  }
  Send(address);
}

std::shared_ptr<Stream> CommandStreams::Break(Lane& lane, Commands& commands) {
  ++lane.number;
  lane.writing = false;
  commands.merge(lane.sent);
  commands.merge(lane.waiting);
  return std::exchange(lane.stream, nullptr);
}

void CommandStreams::OnClosed(const std::string& address, uint64_t number, const Error& error) {
  std::shared_ptr<Stream> broken;
  Commands commands;
  bool alone = false;
  {
    MutexLock lock(mutex_);
    Lane& lane = lanes_[address];
    if (lane.number != number) return;
    // Refused before it did anything.
    alone = error.code() == ErrorCode::kNotSupported && lane.heard_at == nanoseconds(0);
    lane.alone = lane.alone || alone;
    broken = Break(lane, commands);
  }
  if (!alone) return Fail(address, commands, error.detail());
  for (auto& [id, command] : commands) GoAlone(address, std::move(command));
}

void CommandStreams::Fail(const std::string& address, Commands& commands, std::string_view why) {
  for (auto& [id, command] : commands) command.done(Unanswered(address, why));
}

// Takes what is due, and breaks streams that were silent all that time. Returns when to look again.
nanoseconds CommandStreams::Expire(std::vector<std::pair<std::string, Commands>>& expired,
                                   std::vector<std::shared_ptr<Stream>>& broken) {
  const nanoseconds now = clock_.Monotonic();
  nanoseconds next = nanoseconds::max();
  for (auto& [address, lane] : lanes_) {
    Commands due;
    bool silent = false;
    for (Commands* const commands : {&lane.waiting, &lane.sent}) {
      for (auto at = commands->begin(); at != commands->end();) {
        const auto here = at++;
        const nanoseconds deadline = here->second.begun + here->second.timeout;
        if (deadline > now) {
          next = std::min(next, deadline);
          continue;
        }
        silent = silent || lane.heard_at <= here->second.begun;
        due.insert(commands->extract(here));
      }
    }
    if (silent) broken.push_back(Break(lane, due));
    if (!due.empty()) expired.emplace_back(address, std::move(due));
  }
  return next;
}

void CommandStreams::Watch() {
  for (;;) {
    std::vector<std::pair<std::string, Commands>> expired;
    std::vector<std::shared_ptr<Stream>> broken;
    {
      MutexLock lock(mutex_);
      while (!closed_) {
        if (!wake_at_) {
          sooner_.Wait(mutex_);
          continue;
        }
        const nanoseconds left = *wake_at_ - clock_.Monotonic();
        if (left <= nanoseconds(0)) break;
        clock_.WaitFor(sooner_, mutex_, left);
      }
      if (closed_) return;
      const nanoseconds next = Expire(expired, broken);
      wake_at_ = next == nanoseconds::max() ? std::nullopt : std::optional(next);
    }
    broken.clear();
    for (auto& [address, commands] : expired) {
      Fail(address, commands, "no answer in time");
      Send(address);
    }
  }
}

void CommandStreams::Close() {
  std::vector<std::pair<std::string, Commands>> left;
  std::vector<std::shared_ptr<Stream>> streams;
  std::thread watcher;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (auto& [address, lane] : lanes_) {
      Commands commands;
      streams.push_back(Break(lane, commands));
      left.emplace_back(address, std::move(commands));
    }
    watcher = std::move(watcher_);
    sooner_.NotifyAll();
  }
  if (watcher.joinable()) watcher.join();
  for (auto& [address, commands] : left) Fail(address, commands, "closed");
}

namespace {

class BatchingTransport : public Transport {
 public:
  BatchingTransport(std::unique_ptr<Transport> base, Clock& clock, const BatchLimits& limits)
      : base_(std::move(base)), streams_(std::make_shared<CommandStreams>(*base_, clock, limits)) {}
  ~BatchingTransport() override { Shutdown(); }

  void Call(const std::string& address, const char* method, const Message& request,
            Message& response, nanoseconds timeout, Done done) override {
    const uint32_t field = FieldOfMethod(method);
    if (field == 0) {
      base_->Call(address, method, request, response, timeout, std::move(done));
      return;
    }
    streams_->Call(address, {.field = field,
                             .method = method,
                             .request = &request,
                             .response = &response,
                             .done = std::move(done),
                             .timeout = timeout,
                             .begun = {},
                             .bytes = EncodeCommand(field, request)});
  }
  std::unique_ptr<Stream> OpenStream(const std::string& address, const char* method,
                                     std::shared_ptr<StreamListener> listener) override {
    return base_->OpenStream(address, method, std::move(listener));
  }
  void Shutdown() override {
    base_->Shutdown();
    streams_->Close();
  }

 private:
  const std::unique_ptr<Transport> base_;
  const std::shared_ptr<CommandStreams> streams_;
};

}  // namespace

std::unique_ptr<Transport> MakeBatchingTransport(std::unique_ptr<Transport> base, Clock& clock,
                                                 const BatchLimits& limits) {
  return std::make_unique<BatchingTransport>(std::move(base), clock, limits);
}

}  // namespace tifs::kv::tikv
