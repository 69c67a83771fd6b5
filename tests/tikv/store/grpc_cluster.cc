#include "tests/tikv/store/grpc_cluster.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"

namespace tifs::tikv_store {
namespace {

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// One call: a message in, a message out, and again if it is a stream. Deletes itself when done.
class CallReactor final : public grpc::ServerGenericBidiReactor {
 public:
  CallReactor(Cluster& cluster, Node node, std::string method)
      : cluster_(cluster),
        node_(node),
        method_(std::move(method)),
        stream_(method_ == "/pdpb.PD/Tso" || method_ == "/tikvpb.Tikv/BatchCommands") {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    const Cluster::Reply reply = cluster_.Handle(node_, method_, BytesOf(request_));
    if (!reply) {
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "no answer"));
      return;
    }
    const grpc::Slice slice(*reply);
    response_ = grpc::ByteBuffer(&slice, 1);
    if (stream_) {
      StartWrite(&response_);
    } else {
      StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
    }
  }
  void OnWriteDone(bool ok) override {
    if (!stream_) return;
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status::OK);
    }
  }
  void OnDone() override { delete this; }

 private:
  Cluster& cluster_;
  const Node node_;
  const std::string method_;
  const bool stream_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

std::shared_ptr<grpc::ServerCredentials> CredentialsOf(const std::optional<GrpcCluster::Tls>& tls) {
  if (!tls) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = tls->ca;
  options.pem_key_cert_pairs.push_back({.private_key = tls->key, .cert_chain = tls->cert});
  return grpc::SslServerCredentials(options);
}

}  // namespace

class GrpcServer : public grpc::CallbackGenericService {
 public:
  // On any free port if `address` ends in ":0". Without a node it is the first of whichever kind a
  // method is of.
  GrpcServer(Cluster& cluster, std::optional<Node> node, const std::string& address,
             const std::shared_ptr<grpc::ServerCredentials>& credentials)
      : cluster_(cluster), node_(node) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, credentials, &port_);
    builder.SetMaxReceiveMessageSize(-1);
    builder.SetMaxSendMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~GrpcServer() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  }

  // 0: the address could not be listened at.
  int port() const { return server_ == nullptr ? 0 : port_; }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const bool pd = context->method().starts_with("/pdpb.");
    const Node first = {pd ? Node::Kind::kPd : Node::Kind::kStore, 0};
    return new CallReactor(cluster_, node_.value_or(first), context->method());
  }

 private:
  Cluster& cluster_;
  const std::optional<Node> node_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

GrpcCluster::GrpcCluster(Cluster& cluster, std::optional<Tls> tls)
    : cluster_(cluster), tls_(std::move(tls)) {
  std::vector<Node> nodes;
  for (size_t i = 0; i < Cluster::kPdMembers; ++i) nodes.push_back({Node::Kind::kPd, i});
  for (size_t i = 0; i < cluster.stores(); ++i) nodes.push_back({Node::Kind::kStore, i});
  for (const Node node : nodes) {
    auto server = std::make_unique<GrpcServer>(cluster, node, "127.0.0.1:0", CredentialsOf(tls_));
    CHECK(server->port() != 0);
    cluster.SetAddress(node, "127.0.0.1:" + std::to_string(server->port()));
    servers_[node] = std::move(server);
  }
}

GrpcCluster::~GrpcCluster() = default;

void GrpcCluster::Stop(Node node) {
  servers_[node].reset();
  cluster_.Stop(node);
}

void GrpcCluster::Start(Node node) {
  cluster_.Start(node);
  servers_[node] =
      std::make_unique<GrpcServer>(cluster_, node, cluster_.AddressOf(node), CredentialsOf(tls_));
  CHECK(servers_[node]->port() != 0);
}

OneAddressServer::OneAddressServer(Cluster& cluster, const std::string& address)
    : server_(std::make_unique<GrpcServer>(cluster, std::nullopt, address,
                                           grpc::InsecureServerCredentials())) {
  const std::string here =
      address.substr(0, address.rfind(':') + 1) + std::to_string(server_->port());
  for (size_t i = 0; i < Cluster::kPdMembers; ++i) {
    cluster.SetAddress({Node::Kind::kPd, i}, here);
  }
  for (size_t i = 0; i < cluster.stores(); ++i) {
    cluster.SetAddress({Node::Kind::kStore, i}, here);
  }
}

OneAddressServer::~OneAddressServer() = default;

int OneAddressServer::port() const { return server_->port(); }

}  // namespace tifs::tikv_store
