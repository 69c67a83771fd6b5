#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kv/tikv/grpc_transport.h"
#include "kv/tikv/tikv_kv.h"
#include "tests/must.h"

// The real PD and a TiKV-protocol store by others, behind a shim of ours (tests/tikv/peer): one
// set for a test program, started at first use and stopped when it ends, however it does.
namespace tifs::tikv_peer {

class Peers {
 public:
  // The program's; aborts it where they do not start.
  static Peers& Get();

  // Why they cannot be here, or empty.
  const std::string& lacking() const { return lacking_; }
  const std::string& pd() const { return pd_; }

  // Runs `tools/peer` with these arguments, quoted for the shell; fails the test if that fails.
  void Tool(const std::string& arguments);
  // Makes `key`, which is one of the cluster, the first of its region.
  void Split(const std::string& key);
  // The requests that `method` fits ("KvPrewrite"; * as in file names) meet `fault`, a region
  // error's name or as `tools/peer fault --help` says: `times` of them, or, if that is 0, all; of
  // those a `permille` by chance.
  void Fault(const std::string& method, const std::string& fault, int times = 0, int permille = 0);
  void ClearFaults();

  // Each client of these has a keyspace that no test before has used.
  kv::tikv::TikvOptions NewOptions();
  std::unique_ptr<kv::tikv::TikvKv> Open(const kv::tikv::TikvOptions& options);

 private:
  Peers();
  ~Peers();
  // A request to the store's controls; fails the test if it is refused.
  void Control(const std::string& method, const std::string& path, const std::string& body);

  std::string directory_;
  std::string lacking_;
  std::string pd_;
  std::string controls_;
  int pid_ = 0;
  int stdin_ = -1;
  uint32_t keyspace_ = 0;
};

// A key of a client with these options, as the cluster has it.
std::string ClusterKey(const kv::tikv::TikvOptions& options, std::string_view key);

}  // namespace tifs::tikv_peer
