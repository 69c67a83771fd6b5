#pragma once

#include <map>
#include <memory>
#include <string>

#include "tests/tikv/store/cluster.h"

namespace tifs::tikv_store {

class GrpcServer;

// Serves a cluster over gRPC on loopback addresses: each node by a server of its own, which can be
// stopped and started again at its address.
class GrpcCluster {
 public:
  // `cluster` must outlive it, and gets its nodes' addresses.
  explicit GrpcCluster(Cluster& cluster);
  ~GrpcCluster();

  // Ends the connections, too; nothing answers at the address until it is started.
  void Stop(Node node);
  void Start(Node node);

 private:
  Cluster& cluster_;
  std::map<Node, std::unique_ptr<GrpcServer>> servers_;
};

}  // namespace tifs::tikv_store
