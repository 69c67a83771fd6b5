#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

// How messages get to stores and to PD: calls by name, and streams. Implementations: gRPC
// (grpc_transport.h), and in tests a store in the same process.
namespace tifs::kv::tikv {

using Message = google::protobuf::MessageLite;

// Receives what comes back on a stream; called by threads of the transport, one call at a time
// unless said otherwise.
class StreamListener {
 public:
  virtual ~StreamListener() = default;
  // An empty message of the type that the stream answers with.
  virtual std::unique_ptr<Message> NewMessage() = 0;
  virtual void OnMessage(const Message& message) = 0;
  // All that was written until now has left, so that more goes out at once. May run beside the
  // other calls.
  virtual void OnWritten() {}
  // The last call: the stream has ended, and nothing that is unanswered will be.
  virtual void OnClosed(const Error& error) = 0;
};

// Messages both ways, in order. Destroying it cancels it without waiting.
class Stream {
 public:
  virtual ~Stream() = default;
  // Sends, or queues behind what is being sent; never blocks. Safe for use by several threads.
  virtual void Write(std::unique_ptr<Message> message) = 0;
};

// Safe for use by several threads.
class Transport {
 public:
  // Success: `response` is filled. An error is kUnavailable and decides nothing: the request may
  // have been executed, or may yet be. kNotSupported: the peer has no such method.
  using Done = std::function<void(Status)>;

  virtual ~Transport() = default;

  // Sends `request` to `method` ("/package.Service/Method") at `address` ("host:port"). Both
  // messages stay valid, and are not touched by the caller, until `done` has been called: once, by
  // any thread, this call's own included. `done` does not block. Without an answer within
  // `timeout` it gets an error.
  virtual void Call(const std::string& address, const char* method, const Message& request,
                    Message& response, std::chrono::nanoseconds timeout, Done done) = 0;

  // The listener lives until OnClosed has returned.
  virtual std::unique_ptr<Stream> OpenStream(const std::string& address, const char* method,
                                             std::shared_ptr<StreamListener> listener) = 0;

  // Ends all calls and streams with errors, and what is begun later, too. Returns once no callback
  // is running or will be.
  virtual void Shutdown() = 0;
};

// One call of several that go out together. `request` and `response` belong to the caller.
struct OutgoingCall {
  std::string address;
  const char* method = nullptr;
  const Message* request = nullptr;
  Message* response = nullptr;
  Status status;  // the answer
};

// Makes all calls in parallel and returns when each has its answer.
void CallAll(Transport& transport, std::span<OutgoingCall> calls, std::chrono::nanoseconds timeout);

}  // namespace tifs::kv::tikv
