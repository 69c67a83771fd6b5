#include "cli/store_owner.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/control_socket.h"

namespace tifs::cli {
namespace {

constexpr size_t kMaxRecordBytes = 16 << 10;

// `failure`: what the owner leaves behind, if it leaves something.
std::string ToText(const OwnerRecord& record, const std::optional<std::string>& failure) {
  nlohmann::ordered_json json = {{"pid", record.pid},
                                 {"activity", record.activity},
                                 {"mount_point", record.mount_point},
                                 {"socket", record.socket},
                                 {"since", record.since}};
  if (failure) json["failure"] = *failure;
  if (record.previous) {
    json["previous"] = {{"pid", record.previous->pid}, {"failure", record.previous->reason}};
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

OwnerFailure FailureFrom(const nlohmann::json& json) {
  OwnerFailure failure;
  if (!json.is_object()) return failure;
  if (const auto pid = json.find("pid"); pid != json.end() && pid->is_number_integer()) {
    failure.pid = pid->get<pid_t>();
  }
  const auto reason = json.find("failure");
  if (reason != json.end() && reason->is_string()) failure.reason = reason->get<std::string>();
  return failure;
}

// An owner writes its record just after it took the lock: a reader may see none, or a part.
std::optional<OwnerRecord> FromText(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto string_of = [&json](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  OwnerRecord record;
  if (const auto pid = json.find("pid"); pid != json.end() && pid->is_number_integer()) {
    record.pid = pid->get<pid_t>();
  }
  record.activity = string_of("activity");
  record.mount_point = string_of("mount_point");
  record.socket = string_of("socket");
  record.since = string_of("since");
  return record;
}

std::string ReadText(int fd) {
  std::string text(kMaxRecordBytes, '\0');
  const ssize_t length = ::pread(fd, text.data(), text.size(), 0);
  text.resize(length < 0 ? 0 : static_cast<size_t>(length));
  return text;
}

// Never empties the file on the way: on a disk that fails, an empty one would say that all is well.
Status WriteText(int fd, const std::string& text) {
  const ssize_t written = ::pwrite(fd, text.data(), text.size(), 0);
  if (written < 0 || ::ftruncate(fd, written) != 0)
    return ErrorFromErrno(errno, "store owner file");
  // A cut record on a full disk only names nobody.
  return {};
}

// Where an owner's record is that cannot be written into the store; empty where there is no place.
std::string RecordBesideStore(const std::string& directory) {
  struct stat status;
  const std::string runtime = RuntimeDirectory();
  if (runtime.empty() || ::stat(directory.c_str(), &status) != 0) return {};
  return fmt::format("{}/{}-{}.owner", runtime, status.st_dev, status.st_ino);
}

// The record beside the store, if it is of a process that lives.
std::optional<OwnerRecord> ReadBesideStore(const std::string& directory) {
  const std::string path = RecordBesideStore(directory);
  if (path.empty()) return std::nullopt;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return std::nullopt;
  std::optional<OwnerRecord> record = FromText(ReadText(fd));
  ::close(fd);
  if (record && (record->pid <= 0 || (::kill(record->pid, 0) != 0 && errno == ESRCH))) return {};
  return record;
}

}  // namespace

Result<std::unique_ptr<StoreOwner>> StoreOwner::Claim(const std::string& directory,
                                                      OwnerRecord record) {
  const std::string path = directory + "/" + kOwnerFileName;
  std::string beside;
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == EROFS) {
    // A lock needs no writing. Without the file nobody can lock it.
    beside = RecordBesideStore(directory);
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
      fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
  }
  if (fd < 0) return ErrorFromErrno(errno, "store owner file");
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(fd);
    if (error == EWOULDBLOCK) return Error(ErrorCode::kBusy, "store in use");
    return ErrorFromErrno(error, "lock of the store owner file");
  }
  record.previous.reset();
  if (const std::string left = ReadText(fd); !left.empty()) {
    record.previous = FailureFrom(nlohmann::json::parse(left, nullptr, /*allow_exceptions=*/false));
  }
  record.pid = ::getpid();
  record.since = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  std::unique_ptr<StoreOwner> owner(new StoreOwner(fd, std::move(record)));
  owner->beside_ = std::move(beside);
  // Nothing depends on the record: a full disk must not keep anyone from freeing space.
  (void)owner->Write();
  return owner;
}

Result<std::optional<OwnerRecord>> StoreOwner::Read(const std::string& directory) {
  const std::string path = directory + "/" + kOwnerFileName;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    if (errno == ENOENT) return std::optional<OwnerRecord>();
    return ErrorFromErrno(errno, "store owner file");
  }
  std::optional<OwnerRecord> record;
  if (::flock(fd, LOCK_SH | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      struct statvfs space;
      if (::fstatvfs(fd, &space) == 0 && (space.f_flag & ST_RDONLY) != 0) {
        record = ReadBesideStore(directory);
      }
      if (!record) record = FromText(ReadText(fd));
      if (!record) record.emplace();
    }
  }
  ::close(fd);
  return record;
}

Status StoreOwner::Update(const OwnerRecord& record) {
  record_.activity = record.activity;
  record_.mount_point = record.mount_point;
  record_.socket = record.socket;
  return Write();
}

Status StoreOwner::Write() {
  const std::string text = ToText(record_, failure_);
  if (beside_.empty()) return WriteText(fd_, text);
  const std::string runtime = beside_.substr(0, beside_.rfind('/'));
  if (::mkdir(runtime.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrorFromErrno(errno, "store owner file", runtime);
  }
  const int fd = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return ErrorFromErrno(errno, "store owner file", beside_);
  Status status = WriteText(fd, text);
  ::close(fd);
  return status;
}

std::optional<OwnerFailure> StoreOwner::FailureOf(const std::string& directory, pid_t pid) {
  const std::string path = directory + "/" + kOwnerFileName;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return std::nullopt;
  const std::string text = ReadText(fd);
  ::close(fd);
  if (text.empty()) return std::nullopt;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  // A record that could not be written whole: not what is left when all is well.
  if (!json.is_object()) return OwnerFailure{pid, {}};
  OwnerFailure failure = FailureFrom(json);
  if (failure.pid == pid) return failure;
  const auto previous = json.find("previous");
  if (previous == json.end()) return std::nullopt;
  failure = FailureFrom(*previous);
  if (failure.pid == pid) return failure;
  return std::nullopt;
}

void StoreOwner::NoteFailure(std::string reason) {
  failure_ = std::move(reason);
  // Where not even that can be written, the record itself stays behind.
  (void)Write();
}

StoreOwner::~StoreOwner() {
  if (!beside_.empty()) {
    ::unlink(beside_.c_str());
    ::rmdir(beside_.substr(0, beside_.rfind('/')).c_str());  // if nobody else needs it
  } else if (!failure_) {
    (void)::ftruncate(fd_, 0);
  }
  ::close(fd_);
}

}  // namespace tifs::cli
