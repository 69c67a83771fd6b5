#include "kv/tikv/grpc_transport.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <iterator>
#include <list>
#include <map>
#include <utility>

#include "base/sync.h"
#include "kv/tikv/command_batch.h"

namespace tifs::kv::tikv {
namespace {

using GenericStub = grpc::TemplatedGenericStub<Message, Message>;

Status FromGrpc(const grpc::Status& status, const std::string& address) {
  if (status.ok()) return {};
  const bool unknown = status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
  return Error(unknown ? ErrorCode::kNotSupported : ErrorCode::kUnavailable, "grpc",
               address + ": " + status.error_message());
}

grpc::ChannelArguments ArgumentsOfChannels() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3'000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);  // also how long connecting may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

// What is under way, so that it can be cancelled and waited for.
class InFlight {
 public:
  using Token = std::list<grpc::ClientContext*>::iterator;

  // False after Shutdown: then nothing has been added, and nothing may be started.
  bool Add(grpc::ClientContext& context, Token& token) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (closed_) return false;
    token = contexts_.insert(contexts_.end(), &context);
    ++count_;
    return true;
  }
  // The context will not be touched any more.
  void Forget(Token token) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    contexts_.erase(token);
  }
  // Its last callback is about to return.
  void Done() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (--count_ == 0) none_.NotifyAll();
  }
  void Shutdown() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    closed_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    while (count_ > 0) none_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar none_;
  std::list<grpc::ClientContext*> contexts_ GUARDED_BY(mutex_);
  size_t count_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

// Lives from its start until gRPC's last callback, by a reference to itself.
class StreamReactor final : public grpc::ClientBidiReactor<Message, Message>,
                            public std::enable_shared_from_this<StreamReactor> {
 public:
  StreamReactor(std::string address, std::shared_ptr<StreamListener> listener,
                std::shared_ptr<InFlight> in_flight)
      : address_(std::move(address)),
        listener_(std::move(listener)),
        in_flight_(std::move(in_flight)) {}

  void Start(GenericStub& stub, const char* method) {
    if (!in_flight_->Add(context_, token_)) {
      listener_->OnClosed(Error(ErrorCode::kUnavailable, "grpc: closed"));
      return;
    }
    self_ = shared_from_this();
    stub.PrepareBidiStreamingCall(&context_, method, grpc::StubOptions(), this);
    AddHold();  // for writes that come from elsewhere; ends with the first failed read
    incoming_ = listener_->NewMessage();
    StartRead(incoming_.get());
    {
      MutexLock lock(mutex_);
      open_ = true;
    }
    StartCall();
  }

  void Write(std::unique_ptr<Message> message) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (!open_) return;
    outgoing_.push_back(std::move(message));
    if (outgoing_.size() == 1) StartWrite(outgoing_.front().get());
  }

  void Cancel() { context_.TryCancel(); }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      outgoing_.pop_front();
      if (ok && open_ && !outgoing_.empty()) StartWrite(outgoing_.front().get());
      if (!ok || !outgoing_.empty()) return;
    }
    listener_->OnWritten();
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      listener_->OnMessage(*incoming_);
      incoming_ = listener_->NewMessage();
      StartRead(incoming_.get());
      return;
    }
    {
      MutexLock lock(mutex_);
      open_ = false;
    }
    RemoveHold();
  }

  void OnDone(const grpc::Status& status) override {
    Status ended = FromGrpc(status, address_);
    if (ended) ended = Error(ErrorCode::kUnavailable, "grpc: the stream has ended", address_);
    in_flight_->Forget(token_);
    listener_->OnClosed(ended.error());
    const std::shared_ptr<InFlight> in_flight = in_flight_;
    self_.reset();
    in_flight->Done();
  }

 private:
  const std::string address_;
  const std::shared_ptr<StreamListener> listener_;
  const std::shared_ptr<InFlight> in_flight_;
  InFlight::Token token_;
  grpc::ClientContext context_;
  std::shared_ptr<StreamReactor> self_;
  std::unique_ptr<Message> incoming_;
  Mutex mutex_;
  std::deque<std::unique_ptr<Message>> outgoing_ GUARDED_BY(mutex_);  // the first is being sent
  bool open_ GUARDED_BY(mutex_) = false;
};

class GrpcStream : public Stream {
 public:
  explicit GrpcStream(std::shared_ptr<StreamReactor> reactor) : reactor_(std::move(reactor)) {}
  ~GrpcStream() override { reactor_->Cancel(); }
  void Write(std::unique_ptr<Message> message) override { reactor_->Write(std::move(message)); }

 private:
  const std::shared_ptr<StreamReactor> reactor_;
};

class GrpcTransport : public Transport {
 public:
  explicit GrpcTransport(std::shared_ptr<grpc::ChannelCredentials> credentials)
      : credentials_(std::move(credentials)) {}
  ~GrpcTransport() override { in_flight_->Shutdown(); }

  void Call(const std::string& address, const char* method, const Message& request,
            Message& response, std::chrono::nanoseconds timeout, Done done) override;
  std::unique_ptr<Stream> OpenStream(const std::string& address, const char* method,
                                     std::shared_ptr<StreamListener> listener) override {
    auto reactor = std::make_shared<StreamReactor>(address, std::move(listener), in_flight_);
    reactor->Start(*StubOf(address), method);
    return std::make_unique<GrpcStream>(std::move(reactor));
  }
  void Shutdown() override { in_flight_->Shutdown(); }

 private:
  // One call, from its start until gRPC has called back.
  struct UnaryCall {
    grpc::ClientContext context;
    InFlight::Token token;
    std::string address;
    Done done;
    std::shared_ptr<GenericStub> stub;
  };

  std::shared_ptr<GenericStub> StubOf(const std::string& address) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    std::shared_ptr<GenericStub>& stub = stubs_[address];
    if (!stub) {
      stub = std::make_shared<GenericStub>(
          grpc::CreateCustomChannel(address, credentials_, ArgumentsOfChannels()));
    }
    return stub;
  }

  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const std::shared_ptr<InFlight> in_flight_ = std::make_shared<InFlight>();
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<GenericStub>> stubs_ GUARDED_BY(mutex_);
};

void GrpcTransport::Call(const std::string& address, const char* method, const Message& request,
                         Message& response, std::chrono::nanoseconds timeout, Done done) {
  auto call = std::make_shared<UnaryCall>();
  if (!in_flight_->Add(call->context, call->token)) {
    done(Error(ErrorCode::kUnavailable, "grpc: closed"));
    return;
  }
  call->context.set_deadline(std::chrono::system_clock::now() + timeout);
  call->address = address;
  call->done = std::move(done);
  call->stub = StubOf(address);
  call->stub->UnaryCall(&call->context, method, grpc::StubOptions(), &request, &response,
                        [call, in_flight = in_flight_](const grpc::Status& status) {
                          in_flight->Forget(call->token);
                          call->done(FromGrpc(status, call->address));
                          in_flight->Done();
                        });
}

// Whether a server is the one that it is called, and one of those that it may be.
class ServerVerifier : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit ServerVerifier(std::vector<std::string> common_names)
      : common_names_(std::move(common_names)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> callback, grpc::Status* status) override {
    if (!host_names_.Verify(request, std::move(callback), status)) return false;
    const std::string name(request->common_name().data(), request->common_name().size());
    if (!status->ok()) {
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                             "the certificate of \"" + name + "\" does not name this host");
    } else if (!common_names_.empty() &&
               std::ranges::find(common_names_, name) == common_names_.end()) {
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                             "the certificate is that of \"" + name + "\", which is not allowed");
    }
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest* request) override {
    host_names_.Cancel(request);
  }

 private:
  const std::vector<std::string> common_names_;
  grpc::experimental::HostNameCertificateVerifier host_names_;
};

// The bytes of a file that has a block of that kind.
Result<std::string> ReadPem(const std::string& path, std::string_view kind) {
  std::ifstream file(path, std::ios::binary);
  std::string pem{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) {
    return Error(ErrorCode::kInvalid, "tls", path + ": cannot be read");
  }
  if (pem.find(std::string(kind) + "-----") == std::string::npos) {
    return Error(ErrorCode::kInvalid, "tls", path + ": has no " + std::string(kind));
  }
  return pem;
}

std::unique_ptr<Transport> MakeTransport(std::shared_ptr<grpc::ChannelCredentials> credentials,
                                         const GrpcOptions& options) {
  auto transport = std::make_unique<GrpcTransport>(std::move(credentials));
  if (!options.batch_commands) return transport;
  return MakeBatchingTransport(std::move(transport), SystemClock());
}

}  // namespace

std::unique_ptr<Transport> MakeGrpcTransport(const GrpcOptions& options) {
  return MakeTransport(grpc::InsecureChannelCredentials(), options);
}

Result<std::unique_ptr<Transport>> MakeTlsTransport(const TlsOptions& tls,
                                                    const GrpcOptions& options) {
  namespace experimental = grpc::experimental;
  if (tls.cert.empty() != tls.key.empty()) {
    return Error(ErrorCode::kInvalid, "tls", "a certificate and its key go together");
  }
  const std::string ca = TRY(ReadPem(tls.ca, "CERTIFICATE"));
  std::vector<experimental::IdentityKeyCertPair> identity;
  if (!tls.cert.empty()) {
    std::string cert = TRY(ReadPem(tls.cert, "CERTIFICATE"));
    std::string key = TRY(ReadPem(tls.key, "PRIVATE KEY"));
    identity.push_back({.private_key = std::move(key), .certificate_chain = std::move(cert)});
  }
  experimental::TlsChannelCredentialsOptions credentials;
  credentials.set_certificate_provider(
      std::make_shared<experimental::StaticDataCertificateProvider>(ca, identity));
  credentials.watch_root_certs();
  if (!identity.empty()) credentials.watch_identity_key_cert_pairs();
  credentials.set_certificate_verifier(
      experimental::ExternalCertificateVerifier::Create<ServerVerifier>(tls.verify_cn));
  return MakeTransport(experimental::TlsCredentials(credentials), options);
}

}  // namespace tifs::kv::tikv
