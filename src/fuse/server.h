#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "fs/file_system.h"
#include "fuse/cpu_latency_limit.h"
#include "fuse/server_options.h"
#include "fuse/worker_gate.h"

struct fuse_session;

namespace tifs::fuse {

struct Connection;
class ChannelWorker;

// A mounted file system: takes the kernel's requests and hands them to a fs::FileSystem.
class Server {
 public:
  // Mounts, and settles the protocol with the kernel: from then on every system call on the mount
  // point waits for Serve. `file_system` outlives the server. Start it in the process that will
  // serve (after the fork of a daemon). Others than root mount through fusermount3. Errors:
  // kInvalid (options), kNotFound, kNotDirectory, kAccessDenied and others of the mount point,
  // kNotSupported (no FUSE here, or of a version that we do not speak), kNotPermitted, kIo. The
  // detail of a kAccessDenied of the FUSE device begins with its path.
  static Result<std::unique_ptr<Server>> Mount(fs::FileSystem& file_system, ServerOptions options);
  // Unmounts if that has not happened yet.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves until somebody unmounts or Stop is called, then returns once no request is in hand. The
  // file system is not closed. Called once, with the signals of the process blocked as its threads
  // are to have them. Errors: kIo, the device broke.
  Status Serve();
  // Has Serve unmount and return: at once if nothing is open, else after what is dirty in the page
  // cache is written; the mount point is then gone, and its users get ENOTCONN. From any thread but
  // not from a signal handler; idempotent.
  void Stop();

  const std::string& mountpoint() const;
  uint64_t mount_id() const { return mount_id_; }

 private:
  Server(std::unique_ptr<Connection> connection, std::string mountpoint);

  Status OpenSession();
  Status StartWorkers();
  void RunWorker(size_t index);
  bool DetachForStop();
  bool StillMounted() const;
  void InterruptWorkers(std::chrono::seconds grace);
  void Close();

  const std::unique_ptr<Connection> connection_;
  const std::string mountpoint_;  // absolute, without symbolic links
  uint64_t mount_id_ = 0;
  fuse_session* session_ = nullptr;
  std::vector<std::unique_ptr<ChannelWorker>> workers_;
  WorkerGate gate_;
  std::optional<CpuLatencyLimit> latency_limit_;  // while it serves, if it is to be

  Mutex mutex_;
  CondVar changed_;
  bool stop_requested_ GUARDED_BY(mutex_) = false;
  size_t running_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> failure_ GUARDED_BY(mutex_);
  // Written before the workers are interrupted, read by them.
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

// Reads and drops what libfuse logs into our log. Once per process, before the first Mount.
void RouteLibfuseLog();

}  // namespace tifs::fuse
