#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/sync.h"
#include "cli/output.h"

namespace tifs::cli {

// How a mount answers the commands `info`, `stats`, `gc`, `fsck -n` and remount: over a Unix socket
// that only its owner (and root) can use. One connection carries one request: a line of JSON,
// {"request": NAME, ...}, at most kMaxRequestBytes; the answer is lines of JSON, any number of
// {"progress": N} and then one {"ok": ...} or {"error": {"code": NAME, "text": TEXT, "explained":
// BOOL}}.
inline constexpr size_t kMaxRequestBytes = 16 << 10;
inline constexpr size_t kMaxAnswerBytes = 16 << 20;

// Told of the progress of a long request. False: the asker has gone, stop.
using ControlProgress = std::function<bool(uint64_t done)>;
// Answers a request. Called from several threads at once.
using ControlHandler = std::function<Result<Json>(const Json& request, const ControlProgress&)>;

class ControlSocket {
 public:
  // Serves at `path` (its directory is created, 0700) until destroyed, which waits for the requests
  // that run: a handler must not take longer than it sees progress being wanted. Sockets that dead
  // processes left in the same directory are removed.
  static Result<std::unique_ptr<ControlSocket>> Serve(const std::string& path,
                                                      ControlHandler handler);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  const std::string& path() const { return path_; }

 private:
  ControlSocket(std::string path, int listen_fd, int stop_fd, ControlHandler handler);
  void AcceptLoop();
  void ServeConnection(int fd);

  const std::string path_;
  const int listen_fd_;
  const int stop_fd_;
  const ControlHandler handler_;
  std::atomic<bool> stopping_{false};

  Mutex mutex_;
  CondVar idle_;
  unsigned connections_ GUARDED_BY(mutex_) = 0;
  std::thread accept_thread_;
};

// Where what lives no longer than its process is put: /run/tifs for root, $XDG_RUNTIME_DIR/tifs for
// others; empty where there is none. It may not be there yet.
std::string RuntimeDirectory();
// Where the mount of process `pid` answers: in the run-time directory; where there is none, in
// `fallback_directory`.
std::string ControlSocketPath(pid_t pid, const std::string& fallback_directory);

// Asks the mount at `path`. Blocks until it answers. Errors: those of the answer; kUnavailable if
// nobody answers there; kAccessDenied.
Result<Json> AskMount(const std::string& path, const Json& request,
                      const std::function<void(uint64_t done)>& progress = {});

}  // namespace tifs::cli
