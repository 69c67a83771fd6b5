#include "cli/bench_folder.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

namespace tifs::cli {
namespace {

volatile sig_atomic_t g_interrupted = 0;

void Note(int) { g_interrupted = 1; }

void Handle(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  for (int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

}  // namespace

Result<std::unique_ptr<BenchFolder>> BenchFolder::Make(const std::string& parent) {
  Handle(Note);
  std::string path = parent + "/.tifs-bench-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    const int error = errno;
    Handle(SIG_DFL);
    return ErrorFromErrno(error, "create a directory");
  }
  return std::unique_ptr<BenchFolder>(new BenchFolder(std::move(path)));
}

BenchFolder::BenchFolder(std::string path) : path_(std::move(path)) {}

BenchFolder::~BenchFolder() {
  (void)Remove();
  Handle(SIG_DFL);
}

Status BenchFolder::Remove() {
  if (std::exchange(removed_, true)) return {};
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (error) return ErrorFromErrno(error.value(), "delete", path_);
  return {};
}

bool BenchFolder::Interrupted() { return g_interrupted != 0; }

}  // namespace tifs::cli
