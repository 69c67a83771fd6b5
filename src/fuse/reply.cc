#include "fuse/reply.h"

#include <sys/statvfs.h>

#include <cerrno>
#include <exception>
#include <new>
#include <vector>

#include "base/check.h"
#include "base/coding.h"
#include "base/log.h"

namespace tifs::fuse {
namespace {

constexpr uint64_t kSectorBytes = 512;
// Inode numbers are never used again, so a node's number alone tells it from all others.
constexpr uint64_t kGeneration = 1;
// Nothing but this mount makes names in exclusive mode, and then the kernel knows.
constexpr double kForeverSeconds = 365.0 * 24 * 3600;

timespec ToTimespec(const Timespec& time) {
  return {.tv_sec = time.seconds, .tv_nsec = time.nanoseconds};
}

std::vector<uint32_t> SupplementaryGroups(fuse_req_t request) {
  std::vector<gid_t> groups(64);
  int count = fuse_req_getgroups(request, static_cast<int>(groups.size()), groups.data());
  if (count > static_cast<int>(groups.size())) {
    groups.resize(static_cast<size_t>(count));
    count = fuse_req_getgroups(request, count, groups.data());
  }
  // The caller may have gone, or be in a PID namespace that we cannot see: then it has its gid
  // only.
  groups.resize(std::min(groups.size(), static_cast<size_t>(std::max(count, 0))));
  return groups;
}

}  // namespace

struct stat ToStat(const fs::Attributes& attributes) {
  struct stat out = {};
  out.st_ino = attributes.inode.value;
  out.st_mode = attributes.mode;
  out.st_nlink = attributes.nlink;
  out.st_uid = attributes.uid;
  out.st_gid = attributes.gid;
  out.st_rdev = attributes.rdev;
  out.st_size = static_cast<off_t>(attributes.size_bytes);
  out.st_blocks =
      static_cast<blkcnt_t>((attributes.allocated_bytes + kSectorBytes - 1) / kSectorBytes);
  out.st_blksize = attributes.block_size_bytes;
  out.st_atim = ToTimespec(attributes.atime);
  out.st_mtim = ToTimespec(attributes.mtime);
  out.st_ctim = ToTimespec(attributes.ctime);
  return out;
}

fuse_entry_param ToEntryParam(const NodeMap& nodes, const fs::Entry& entry) {
  return {.ino = nodes.ToNode(entry.attributes.inode),
          .generation = kGeneration,
          .attr = ToStat(entry.attributes),
          .attr_timeout = entry.cache.attributes_seconds,
          .entry_timeout = entry.cache.entry_seconds};
}

Request::Request(fuse_req_t request, fs::Op operation, fuse_ino_t node, std::string_view name)
    : request_(request),
      operation_(operation),
      node_(node),
      name_(name),
      connection_(*static_cast<Connection*>(fuse_req_userdata(request))) {
  const fuse_ctx* caller = fuse_req_ctx(request);
  context_.uid = caller->uid;
  context_.gid = caller->gid;
  context_.pid = static_cast<uint32_t>(caller->pid);
  context_.umask = connection_.options.umask.value_or(caller->umask);
  context_.supplementary_groups = [request] { return SupplementaryGroups(request); };
}

const RequestFacts& Request::facts() const { return ChannelWorker::Current()->facts(); }

std::span<char> Request::reply_buffer() { return ChannelWorker::Current()->reply_buffer(); }

void Request::ReplyErrno(int errno_value) {
  CHECK(!answered_);
  answered_ = true;
  // A failure to answer means that the caller or the mount has gone: there is nobody to tell.
  (void)fuse_reply_err(request_, errno_value);
}

void Request::ReplyError(const Error& error) {
  const int errno_value = error.ToErrno();
  if (errno_value == EIO) connection_.errors.Record(fs::OpName(operation_), node_, name_, error);
  ReplyErrno(errno_value);
}

void Request::Reply(const Status& status) {
  if (!status) return ReplyError(status.error());
  ReplyErrno(0);
}

void Request::ReplyEntry(const Result<fs::Entry>& entry) {
  if (!entry) return ReplyError(entry.error());
  CHECK(!answered_);
  answered_ = true;
  const fuse_entry_param param = ToEntryParam(connection_.nodes, entry.value());
  (void)fuse_reply_entry(request_, &param);
}

void Request::ReplyNoEntry() {
  if (!connection_.exclusive()) return ReplyErrno(ENOENT);
  CHECK(!answered_);
  answered_ = true;
  fuse_entry_param param = {};
  param.entry_timeout = kForeverSeconds;
  (void)fuse_reply_entry(request_, &param);
}

void Request::ReplyAttributes(const Result<fs::Entry>& entry) {
  if (!entry) return ReplyError(entry.error());
  CHECK(!answered_);
  answered_ = true;
  const struct stat attributes = ToStat(entry.value().attributes);
  (void)fuse_reply_attr(request_, &attributes, entry.value().cache.attributes_seconds);
}

bool Request::ReplyOpened(const fuse_file_info& info) {
  CHECK(!answered_);
  answered_ = true;
  return fuse_reply_open(request_, &info) != -ENOENT;
}

bool Request::ReplyCreated(const fs::Entry& entry, const fuse_file_info& info) {
  CHECK(!answered_);
  answered_ = true;
  const fuse_entry_param param = ToEntryParam(connection_.nodes, entry);
  return fuse_reply_create(request_, &param, &info) != -ENOENT;
}

void Request::ReplyTarget(const Result<std::string>& target) {
  if (!target) return ReplyError(target.error());
  CHECK(!answered_);
  answered_ = true;
  (void)fuse_reply_readlink(request_, target.value().c_str());
}

void Request::ReplyData(std::span<const char> data) {
  CHECK(!answered_);
  answered_ = true;
  (void)fuse_reply_buf(request_, data.data(), data.size());
}

void Request::ReplyCount(const Result<size_t>& count) {
  if (!count) return ReplyError(count.error());
  CHECK(!answered_);
  answered_ = true;
  (void)fuse_reply_write(request_, count.value());
}

void Request::ReplyOffset(const Result<uint64_t>& offset) {
  if (!offset) return ReplyError(offset.error());
  CHECK(!answered_);
  answered_ = true;
  (void)fuse_reply_lseek(request_, static_cast<off_t>(offset.value()));
}

void Request::ReplyUsage(const Result<fs::FileSystemUsage>& usage) {
  if (!usage) return ReplyError(usage.error());
  CHECK(!answered_);
  answered_ = true;
  const fs::FileSystemUsage& from = usage.value();
  struct statvfs to = {};
  to.f_bsize = from.block_size_bytes;
  to.f_frsize = from.block_size_bytes;
  to.f_blocks = from.total_blocks;
  to.f_bfree = from.free_blocks;
  to.f_bavail = from.available_blocks;
  to.f_files = from.total_inodes;
  to.f_ffree = from.free_inodes;
  to.f_favail = from.free_inodes;
  to.f_namemax = fs::kMaxNameBytes;
  (void)fuse_reply_statfs(request_, &to);
}

void Request::ReplyXattr(const Result<std::string>& value, size_t room_bytes) {
  if (!value) return ReplyError(value.error());
  const std::string& bytes = value.value();
  if (room_bytes > 0 && bytes.size() > room_bytes) return ReplyErrno(ERANGE);
  if (room_bytes > 0) return ReplyData(bytes);
  CHECK(!answered_);
  answered_ = true;
  (void)fuse_reply_xattr(request_, bytes.size());
}

void ReplyToException(Request& request) noexcept {
  int errno_value = EIO;
  try {
    throw;
  } catch (const std::bad_alloc&) {
    errno_value = ENOMEM;
  } catch (const std::exception& exception) {
    LogError("fuse: a request failed by exception: {}", EscapeForLog(exception.what()));
  } catch (...) {
    LogError("fuse: a request failed by an unknown exception");
  }
  if (!request.answered()) request.ReplyErrno(errno_value);
}

}  // namespace tifs::fuse
