#include "fuse/server.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/coding.h"
#include "base/log.h"
#include "fuse/capabilities.h"
#include "fuse/connection.h"
#include "fuse/fuse_ops.h"
#include "fuse/libfuse.h"
#include "fuse/mount_table.h"

namespace tifs::fuse {
namespace {

constexpr char kDevice[] = "/dev/fuse";
// Ends a worker's wait for a request. Ignored by default, so that a stray one harms nobody.
constexpr int kInterruptSignal = SIGURG;
// A worker may be about to wait when it is interrupted: so again until it has gone.
constexpr std::chrono::milliseconds kInterruptInterval(10);
// How long after an unmount the kernel may take to end the connection.
constexpr std::chrono::seconds kUnmountGrace(2);

// Lets kInterruptSignal end system calls for as long as it lives.
class InterruptHandler {
 public:
  InterruptHandler() {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(kInterruptSignal, &action, &previous_);
  }
  ~InterruptHandler() { sigaction(kInterruptSignal, &previous_, nullptr); }

 private:
  struct sigaction previous_ = {};
};

Status CheckMountpoint(const std::string& mountpoint) {
  struct stat attributes;
  if (stat(mountpoint.c_str(), &attributes) != 0) {
    return ErrorFromErrno(errno, "mount point", mountpoint);
  }
  if (!S_ISDIR(attributes.st_mode)) {
    return Error(ErrorCode::kNotDirectory, "mount point", mountpoint + ": not a directory");
  }
  if (access(kDevice, R_OK | W_OK) != 0) {
    const bool denied = errno == EACCES || errno == EPERM;
    return Error(denied ? ErrorCode::kAccessDenied : ErrorCode::kNotSupported, "mount",
                 std::string(kDevice) + ": " + strerror(errno));
  }
  return OkStatus();
}

// INIT can only lower how far the kernel reads ahead; to raise it is root's, at the backing device
// of the mount. Without it, reads of cold files are slower and that is all.
void SetReadahead(const MountEntry& mount, uint32_t bytes) {
  const std::string path = "/sys/class/bdi/" + std::to_string(mount.device_major) + ":" +
                           std::to_string(mount.device_minor) + "/read_ahead_kb";
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const std::string kib = std::to_string(bytes >> 10);
  if (write(fd, kib.data(), kib.size()) < 0) {
    LogWarning("fuse: {}: {}", path, strerror(errno));
  }
  close(fd);
}

// All signals are for the threads of the command, but the one that ends a worker's wait.
void BlockSignals() {
  sigset_t signals;
  sigfillset(&signals);
  sigdelset(&signals, kInterruptSignal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

LogLevel ToLogLevel(fuse_log_level level) {
  if (level <= FUSE_LOG_ERR) return LogLevel::kError;
  if (level == FUSE_LOG_WARNING) return LogLevel::kWarning;
  return level == FUSE_LOG_DEBUG ? LogLevel::kDebug : LogLevel::kInfo;
}

void LogFromLibfuse(fuse_log_level level, const char* format, va_list arguments) {
  if (!LogEnabled(ToLogLevel(level))) return;
  char line[512];
  const int length = vsnprintf(line, sizeof(line), format, arguments);
  if (length <= 0) return;
  std::string_view text(line, std::min<size_t>(static_cast<size_t>(length), sizeof(line) - 1));
  while (text.ends_with('\n')) text.remove_suffix(1);
  WriteLog(ToLogLevel(level), EscapeForLog(text));
}

}  // namespace

void RouteLibfuseLog() { fuse_set_log_func(&LogFromLibfuse); }

Result<std::unique_ptr<Server>> Server::Mount(fs::FileSystem& file_system, ServerOptions options) {
  TRY(options.Validate());
  std::string mountpoint = TRY(ResolveMountpoint(options.mountpoint));
  TRY(CheckMountpoint(mountpoint));
  const uint64_t init_flags = ChooseInitFlags();
  std::unique_ptr<Connection> connection(new Connection{.file_system = file_system,
                                                        .nodes = {file_system.root()},
                                                        .options = std::move(options),
                                                        .channel = KernelChannel(init_flags),
                                                        .errors = ErrorLog(SystemClock())});
  std::unique_ptr<Server> server(new Server(std::move(connection), std::move(mountpoint)));
  TRY(server->OpenSession());
  return server;
}

Server::Server(std::unique_ptr<Connection> connection, std::string mountpoint)
    : connection_(std::move(connection)),
      mountpoint_(std::move(mountpoint)),
      gate_(connection_->options.waiting_threads, SystemClock()) {}

Server::~Server() { Close(); }

const std::string& Server::mountpoint() const { return mountpoint_; }

Status Server::OpenSession() {
  const fuse_lowlevel_ops operations = Operations();
  std::string program = "tifs", flag = "-o", text = connection_->options.ToMountText();
  char* arguments[] = {program.data(), flag.data(), text.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(3, arguments);
  session_ = fuse_session_new(&args, &operations, sizeof(operations), connection_.get());
  fuse_opt_free_args(&args);
  if (session_ == nullptr) return Error(ErrorCode::kIo, "start libfuse", "see the log");
  errno = 0;
  if (fuse_session_mount(session_, mountpoint_.c_str()) != 0) {
    const int error = errno;
    fuse_session_destroy(std::exchange(session_, nullptr));
    return ErrorFromErrno(error != 0 ? error : EPERM, "mount", mountpoint_);
  }
  TRY(connection_->channel.Attach(session_));
  const ServerOptions& options = connection_->options;
  for (uint32_t i = 0; i < options.threads; ++i) {
    // The first reads the descriptor that all others are clones of.
    const bool own_descriptor = options.clone_descriptors && i > 0;
    workers_.push_back(TRY(ChannelWorker::Open(
        connection_->channel, std::max(options.max_read_bytes, options.max_write_bytes),
        own_descriptor)));
  }
  TRY(connection_->channel.Negotiate(*workers_.front()));
  if (const auto entry = FindMount(mountpoint_)) {
    mount_id_ = entry->id;
    SetReadahead(*entry, options.readahead_bytes);
  }
  return OkStatus();
}

Status Server::Serve() {
  CHECK(threads_.empty());
  const InterruptHandler handler;
  if (connection_->options.limit_cpu_latency) {
    latency_limit_.emplace(CpuLatencyLimit::kDevice, SystemClock());
  }
  TRY(StartWorkers());
  mutex_.Lock();
  while (running_ > 0 && !stop_requested_ && !failure_) changed_.Wait(mutex_);
  const bool unmount = running_ > 0;
  mutex_.Unlock();
  if (unmount) {
    const bool idle = DetachForStop();
    InterruptWorkers(idle ? kUnmountGrace : std::chrono::seconds(0));
  }
  for (std::thread& thread : threads_) thread.join();
  latency_limit_.reset();
  Close();
  MutexLock lock(mutex_);
  if (failure_) return *std::exchange(failure_, std::nullopt);
  return OkStatus();
}

Status Server::StartWorkers() {
  {
    MutexLock lock(mutex_);
    running_ = workers_.size();
  }
  for (size_t i = 0; i < workers_.size(); ++i) {
    threads_.emplace_back([this, i] { RunWorker(i); });
  }
  return OkStatus();
}

void Server::RunWorker(size_t index) {
  BlockSignals();
  pthread_setname_np(pthread_self(), ("fuse-" + std::to_string(index)).c_str());
  ChannelWorker& worker = *workers_[index];
  std::optional<Error> failure;
  while (gate_.Enter()) {
    auto outcome = worker.Receive();
    gate_.Leave();
    if (!outcome) {
      failure = std::move(outcome).error();
      break;
    }
    if (outcome.value() == ChannelWorker::Outcome::kEnded) break;
    if (outcome.value() == ChannelWorker::Outcome::kReceived) {
      if (latency_limit_) latency_limit_->NoteRequest();
      if (worker.facts().may_block) gate_.AboutToBlock();
      worker.Handle();
    }
    if (stopping_.load(std::memory_order_relaxed)) break;
  }
  // What ended this thread ends all.
  gate_.Close();
  MutexLock lock(mutex_);
  if (failure) {
    LogError("fuse: {}", EscapeForLog(failure->ToString()));
    if (!failure_) failure_ = std::move(failure);
  }
  --running_;
  changed_.NotifyAll();
}

void Server::Stop() {
  MutexLock lock(mutex_);
  stop_requested_ = true;
  changed_.NotifyAll();
}

bool Server::StillMounted() const {
  // The kernel says so at the device when the connection has gone.
  pollfd device = {.fd = fuse_session_fd(session_), .events = 0, .revents = 0};
  if (poll(&device, 1, 0) == 1 && (device.revents & POLLERR) != 0) return false;
  if (mount_id_ == 0) return true;  // no /proc to ask
  const auto entry = FindMount(mountpoint_);
  return entry && entry->id == mount_id_;
}

// While the workers go on serving: the kernel writes dirty pages through them. Returns whether the
// mount was idle, so that the kernel ends the connection by itself.
bool Server::DetachForStop() {
  if (!StillMounted()) return true;
  const Status idle = DetachMount(mountpoint_, Detachment::kWhenIdle);
  if (idle) return true;
  LogWarning("fuse: {} is still in use and is detached: {}", EscapeForLog(mountpoint_),
             EscapeForLog(idle.error().ToString()));
  const int root = open(mountpoint_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root >= 0) {
    if (syncfs(root) != 0) LogError("fuse: dirty pages were not written: {}", strerror(errno));
    close(root);
  }
  const Status lazy = DetachMount(mountpoint_, Detachment::kLazy);
  if (!lazy) LogError("fuse: {}", EscapeForLog(lazy.error().ToString()));
  return false;
}

void Server::InterruptWorkers(std::chrono::seconds grace) {
  Clock& clock = SystemClock();
  MutexLock lock(mutex_);
  const auto deadline = clock.Monotonic() + grace;
  while (running_ > 0 && clock.Monotonic() < deadline) {
    clock.WaitFor(changed_, mutex_, kInterruptInterval);
  }
  stopping_.store(true, std::memory_order_relaxed);
  gate_.Close();
  while (running_ > 0) {
    for (std::thread& thread : threads_) pthread_kill(thread.native_handle(), kInterruptSignal);
    clock.WaitFor(changed_, mutex_, kInterruptInterval);
  }
}

void Server::Close() {
  if (session_ == nullptr) return;
  workers_.clear();
  // Closes the device first, so this waits for nobody. Something else may be mounted there by now.
  if (StillMounted()) fuse_session_unmount(session_);
  fuse_session_destroy(std::exchange(session_, nullptr));
}

}  // namespace tifs::fuse
