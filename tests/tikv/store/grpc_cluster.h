#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tests/tikv/store/cluster.h"

namespace tifs::tikv_store {

class GrpcServer;

// Serves a cluster over gRPC on loopback addresses: each node by a server of its own, which can be
// stopped and started again at its address.
class GrpcCluster {
 public:
  // What the servers show, in PEM form, and who may vouch for clients, which must show something.
  struct Tls {
    std::string ca;
    std::string cert;
    std::string key;
  };

  // `cluster` must outlive it, and gets its nodes' addresses.
  explicit GrpcCluster(Cluster& cluster, std::optional<Tls> tls = std::nullopt);
  ~GrpcCluster();

  // Ends the connections, too; nothing answers at the address until it is started.
  void Stop(Node node);
  void Start(Node node);

 private:
  Cluster& cluster_;
  const std::optional<Tls> tls_;
  std::map<Node, std::unique_ptr<GrpcServer>> servers_;
};

// Serves a cluster of one store, PD and the store, at one address: for other processes, that are to
// be told of one address only.
class OneAddressServer {
 public:
  // `address`: "HOST:PORT", port 0 for any that is free. `cluster` must outlive it, and gets it as
  // the address of all its nodes.
  OneAddressServer(Cluster& cluster, const std::string& address);
  ~OneAddressServer();

  // 0: the address could not be listened at.
  int port() const;

 private:
  const std::unique_ptr<GrpcServer> server_;
};

}  // namespace tifs::tikv_store
