#include "tests/tikv/store/loopback_transport.h"

#include <atomic>
#include <string>
#include <utility>

namespace tifs::tikv_store {
namespace {

using kv::tikv::Message;
using kv::tikv::Stream;
using kv::tikv::StreamListener;

class LoopbackStream : public Stream {
 public:
  LoopbackStream(Cluster& cluster, std::string address, std::string method,
                 std::shared_ptr<StreamListener> listener)
      : cluster_(cluster),
        address_(std::move(address)),
        method_(std::move(method)),
        listener_(std::move(listener)) {}

  void Write(std::unique_ptr<Message> message) override {
    if (closed_.load()) return;
    const auto node = cluster_.NodeAt(address_);
    Cluster::Reply reply;
    if (node) reply = cluster_.Handle(*node, method_, message->SerializeAsString());
    const std::unique_ptr<Message> answer = listener_->NewMessage();
    if (reply && answer->ParseFromString(*reply)) {
      listener_->OnWritten();
      listener_->OnMessage(*answer);
    } else if (!closed_.exchange(true)) {
      listener_->OnClosed(Error(ErrorCode::kUnavailable, "loopback", address_));
    }
  }

 private:
  Cluster& cluster_;
  const std::string address_;
  const std::string method_;
  const std::shared_ptr<StreamListener> listener_;
  std::atomic<bool> closed_{false};
};

class LoopbackTransport : public kv::tikv::Transport {
 public:
  explicit LoopbackTransport(Cluster& cluster) : cluster_(cluster) {}

  void Call(const std::string& address, const char* method, const Message& request,
            Message& response, std::chrono::nanoseconds, Done done) override {
    const auto node = cluster_.NodeAt(address);
    Cluster::Reply reply;
    if (node && !closed_.load()) {
      reply = cluster_.Handle(*node, method, request.SerializeAsString());
    }
    if (reply && response.ParseFromString(*reply)) {
      done({});
    } else {
      done(Error(ErrorCode::kUnavailable, "loopback", address));
    }
  }

  std::unique_ptr<Stream> OpenStream(const std::string& address, const char* method,
                                     std::shared_ptr<StreamListener> listener) override {
    return std::make_unique<LoopbackStream>(cluster_, address, method, std::move(listener));
  }

  void Shutdown() override { closed_.store(true); }

 private:
  Cluster& cluster_;
  std::atomic<bool> closed_{false};
};

}  // namespace

std::unique_ptr<kv::tikv::Transport> MakeLoopbackTransport(Cluster& cluster) {
  return std::make_unique<LoopbackTransport>(cluster);
}

}  // namespace tifs::tikv_store
