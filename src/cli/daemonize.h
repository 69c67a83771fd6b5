#pragma once

#include <optional>

#include "base/result.h"

namespace tifs::cli {

// A process that goes on in the background once it serves. Made before any thread starts and before
// RocksDB is touched: neither survives a fork.
//
// The parent stays until the child says how it went, so that a mount command returns only once the
// mount serves; the child's messages go to the same stderr until then.
class Detachment {
 public:
  // Forks. Returns in the child alone, which has a session of its own, the directory `/`, no input
  // and no descriptor above stderr but our own. The parent waits and exits with the child's code;
  // if the child dies silently, it says so and exits with `code_if_it_dies`. SIGINT and SIGTERM to
  // the waiting parent are passed on as SIGTERM.
  static Result<Detachment> Detach(int code_if_it_dies);

  // Lets the parent go, with success, and lets go of its stdout and stderr.
  void Succeed();
  // Lets the parent go with `exit_code`; the reason has been printed.
  void Fail(int exit_code);

  Detachment(Detachment&& other) noexcept;
  Detachment& operator=(Detachment&&) = delete;
  ~Detachment();

 private:
  explicit Detachment(int pipe_fd) : pipe_fd_(pipe_fd) {}
  void Tell(unsigned char code);

  int pipe_fd_;
};

}  // namespace tifs::cli
