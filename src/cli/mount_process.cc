#include "cli/mount_process.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>

#include "base/log.h"
#include "base/sync.h"
#include "cli/control_socket.h"
#include "cli/metrics_server.h"
#include "cli/mount_requests.h"
#include "cli/output.h"

namespace tifs::cli {
namespace {

using std::chrono::steady_clock;

constexpr char kMountProcessName[] = "tifs-mount";

// Takes the signals of the process in a thread of its own; every other thread has them blocked, so
// it is made before any of them.
class SignalThread {
 public:
  SignalThread() {
    sigemptyset(&signals_);
    for (int number : {SIGINT, SIGTERM, SIGHUP, kEnd}) sigaddset(&signals_, number);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  // `on_stop` is called for SIGINT and SIGTERM.
  void Start(std::function<void()> on_stop) {
    thread_ = std::thread([this, on_stop = std::move(on_stop)] {
      while (true) {
        int number = 0;
        if (sigwait(&signals_, &number) != 0) continue;
        if (number == kEnd) return;
        if (number == SIGHUP) {
          ReopenLog();
          LogInfo("log reopened");
          continue;
        }
        LogInfo("stopping on {}", number == SIGINT ? "SIGINT" : "SIGTERM");
        on_stop();
      }
    });
  }
  ~SignalThread() {
    if (!thread_.joinable()) return;
    pthread_kill(thread_.native_handle(), kEnd);
    thread_.join();
  }
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  static constexpr int kEnd = SIGUSR2;
  sigset_t signals_;
  std::thread thread_;
};

Status OpenMountLog(const MountOptions& options, bool detached) {
  LogOptions log;
  log.level = options.log_level;
  if (!options.log_file.empty()) {
    log.sink = LogOptions::Sink::kFile;
    log.file = options.log_file;
  } else if (detached) {
    log.sink = LogOptions::Sink::kSyslog;
  }
  if (Status status = OpenLog(log); !status) {
    return ExplainedAs(Escaped(options.log_file), std::move(status).error(),
                       "name a file that can be written with 'log='");
  }
  return {};
}

// Tells systemd (Type=notify) how the service is; nothing elsewhere. The protocol is
// sd_notify(3)'s.
void NotifySupervisor(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(path);
  if (length >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  (void)::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
  ::close(fd);
}

// Claims and mounts, and serves to the end. Its errors are explained.
class MountProcess {
 public:
  explicit MountProcess(const MountRequest& request) : request_(request) {}

  Status Start() {
    OwnerRecord record;
    record.activity = "mount";
    record.mount_point = request_.mount_point;
    auto store = TRY(ClaimStore(request_.uri, ClaimFor::kUse, record, kUnmountPatience));
    {
      MutexLock lock(mutex_);
      claimed_ = true;
    }
    const bool recovering = store->owner().predecessor_failure().has_value();
    if (recovering) {
      const std::string& reason = store->owner().predecessor_failure()->reason;
      LogWarning("{}: the last process that had the store {}; recovering",
                 Escaped(request_.uri.Subject()),
                 reason.empty() ? "died" : "ended with an error: " + Escaped(reason));
    }
    const std::string socket = ControlSocketPath(::getpid(), store->directory());
    auto mount = TRY(
        MountFileSystem(std::move(store), request_.uri, request_.mount_point, request_.options));
    {
      MutexLock lock(mutex_);
      mount_ = std::move(mount);
      if (stop_requested_) mount_->Stop();
    }
    if (recovering) LogInfo("{}: recovered", Escaped(request_.uri.Subject()));
    TRY(StartMetrics());
    StartControlSocket(socket, std::move(record));
    LogInfo("tifs {}: {} serves at {}{}", TIFS_VERSION, request_.uri.ToString(),
            Escaped(request_.mount_point), request_.options.read_only ? ", read-only" : "");
    return {};
  }

  Status Serve() {
    const auto started = steady_clock::now();
    Status served = mount_->Serve();
    NotifySupervisor("STOPPING=1");
    control_.reset();
    metrics_.reset();
    Status closed = mount_->Close();
    const double seconds = std::chrono::duration<double>(steady_clock::now() - started).count();
    LogInfo("{} stopped after {:.0f} s{}", request_.uri.ToString(), seconds,
            served.ok() && closed.ok() ? "" : ", with errors");
    // Who unmounts waits to hear of it.
    if (!closed) {
      const std::string detail(closed.error().detail());
      mount_->claimed_store().owner().NoteFailure(
          detail.empty() ? std::strerror(closed.error().ToErrno()) : detail);
    }
    if (!served) return ExplainedAs(request_.mount_point, std::move(served).error());
    if (!closed) return ExplainedAs(Escaped(request_.uri.Subject()), std::move(closed).error());
    return {};
  }

  // From the thread of signals, at any time.
  void Stop() {
    MutexLock lock(mutex_);
    // Nothing is open yet, and the wait for the store may be long.
    if (!claimed_) ::_exit(kExitFailed);
    stop_requested_ = true;
    if (mount_) mount_->Stop();
  }

 private:
  Status StartMetrics() {
    if (request_.options.metrics_address.empty()) return {};
    metrics_ = TRY(MetricsServer::Start(request_.options.metrics_address, mount_->file_system(),
                                        mount_->claimed_store()));
    return {};
  }

  // A mount that cannot be asked is still a mount.
  void StartControlSocket(const std::string& path, OwnerRecord record) {
    requests_ = std::make_unique<MountRequests>(request_.uri, request_.mount_point,
                                                request_.options, *mount_);
    auto control =
        ControlSocket::Serve(path, [this](const Json& request, const ControlProgress& progress) {
          return requests_->Answer(request, progress);
        });
    if (!control) {
      LogWarning("no control socket, 'tifs info' and 'tifs stats' will not work: {}",
                 control.error().ToString());
      return;
    }
    control_ = *std::move(control);
    record.socket = path;
    if (Status status = mount_->claimed_store().owner().Update(record); !status) {
      LogWarning("{}", status.error().ToString());
    }
  }

  const MountRequest& request_;
  Mutex mutex_;
  bool claimed_ GUARDED_BY(mutex_) = false;
  bool stop_requested_ GUARDED_BY(mutex_) = false;
  // Set once, under the mutex; then constant.
  std::unique_ptr<MountedFileSystem> mount_;
  std::unique_ptr<MountRequests> requests_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<ControlSocket> control_;
};

}  // namespace

int RunMountProcess(const MountRequest& request, std::optional<Detachment> detachment,
                    int code_if_failed) {
  // The store's files, the log and the socket are for their owner alone.
  ::umask(077);
  const auto fail = [&](const Error& error) {
    PrintError(error);
    // Where stderr is the log, it has been said.
    if (detachment || !request.options.log_file.empty()) LogError("{}", ErrorText(error));
    FlushLog();
    if (detachment) detachment->Fail(code_if_failed);
    return code_if_failed;
  };
  if (Status status = OpenMountLog(request.options, detachment.has_value()); !status) {
    PrintError(status.error());
    if (detachment) detachment->Fail(code_if_failed);
    return code_if_failed;
  }
  MountProcess process(request);
  SignalThread signals;
  // Told from other commands, under whichever name it was called; once SIGHUP does not end it.
  ::prctl(PR_SET_NAME, kMountProcessName);
  signals.Start([&process] { process.Stop(); });
  if (Status status = process.Start(); !status) return fail(status.error());
  if (detachment) detachment->Succeed();
  NotifySupervisor("READY=1");
  if (Status status = process.Serve(); !status) return fail(status.error());
  return kExitDone;
}

}  // namespace tifs::cli
