// tikv_test_store: a TiKV cluster for tests in a process of its own, PD and one store at one
// address, in memory. For mounts and whatever else takes tikv://.
//
//   tikv_test_store [--listen HOST:PORT] [--split FILE_SYSTEMS] [--faults PERMILLE] [--seed N]
//
// Prints "ready HOST:PORT" once it answers, and serves until SIGTERM or SIGINT, or until its
// standard input, if that is a pipe, is closed: a test that dies takes it along.
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "kv/tikv/keyspace.h"
#include "tests/tikv/store/cluster.h"
#include "tests/tikv/store/grpc_cluster.h"

namespace tifs::tikv_store {
namespace {

struct StoreArguments {
  std::string listen = "127.0.0.1:0";
  uint64_t split = 0;
  uint64_t faults = 0;
  uint64_t seed = 1;
};

std::optional<StoreArguments> Parse(int argc, char** argv) {
  StoreArguments arguments;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return std::nullopt;
    const std::string_view value = argv[i + 1];
    if (name == "--listen") {
      arguments.listen = value;
      continue;
    }
    uint64_t* const number = name == "--split"    ? &arguments.split
                             : name == "--faults" ? &arguments.faults
                             : name == "--seed"   ? &arguments.seed
                                                  : nullptr;
    if (number == nullptr) return std::nullopt;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  }
  return arguments;
}

// Each scope of the first file systems gets a region of its own, so that no transaction is of one.
void Split(Cluster& cluster, uint64_t file_systems) {
  constexpr char kScopes = 10;
  for (uint64_t number = 1; number <= file_systems; ++number) {
    const kv::tikv::Keyspace keyspace(static_cast<uint32_t>(number));
    for (char scope = 0; scope <= kScopes; ++scope) {
      cluster.Split(keyspace.Encode(std::string_view(&scope, 1)));
    }
  }
}

void AwaitEnd(int signals) {
  struct stat input;
  const bool watched = ::fstat(STDIN_FILENO, &input) == 0 && S_ISFIFO(input.st_mode);
  pollfd ends[] = {{signals, POLLIN, 0}, {watched ? STDIN_FILENO : -1, 0, 0}};
  while (::poll(ends, 2, -1) < 0 && errno == EINTR) {
  }
}

int Serve(const StoreArguments& arguments) {
  // Before gRPC's threads, which inherit the mask.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int signal_fd = ::signalfd(-1, &signals, SFD_CLOEXEC);
  Cluster cluster(1, SystemClock());
  Split(cluster, arguments.split);
  cluster.Randomly(arguments.seed, static_cast<uint32_t>(arguments.faults));
  const OneAddressServer server(cluster, arguments.listen);
  if (server.port() == 0) {
    fmt::print(stderr, "tikv_test_store: cannot listen at {}\n", arguments.listen);
    return 1;
  }
  fmt::print("ready {}{}\n", arguments.listen.substr(0, arguments.listen.rfind(':') + 1),
             server.port());
  std::fflush(stdout);
  AwaitEnd(signal_fd);
  return 0;
}

}  // namespace
}  // namespace tifs::tikv_store

int main(int argc, char** argv) {
  const auto arguments = tifs::tikv_store::Parse(argc, argv);
  if (!arguments) {
    fmt::print(stderr,
               "usage: tikv_test_store [--listen HOST:PORT] [--split FILE_SYSTEMS] "
               "[--faults PERMILLE] [--seed N]\n");
    return 2;
  }
  return tifs::tikv_store::Serve(*arguments);
}
