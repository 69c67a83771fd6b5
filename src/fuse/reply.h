#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "fs/file_system.h"
#include "fs/op_context.h"
#include "fuse/connection.h"
#include "fuse/libfuse.h"

namespace tifs::fuse {

struct stat ToStat(const fs::Attributes& attributes);
fuse_entry_param ToEntryParam(const NodeMap& nodes, const fs::Entry& entry);

// One request in hand: who asks, about which node, and its one answer. Every path through a handler
// ends in exactly one Reply; errors become errnos here and nowhere else, and those that users see
// as EIO are logged with their reason.
class Request {
 public:
  // `name`, if the request has one, is for the log.
  Request(fuse_req_t request, fs::Op operation, fuse_ino_t node, std::string_view name);
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  Connection& connection() { return connection_; }
  fs::FileSystem& file_system() { return connection_.file_system; }
  const fs::OpContext& context() const { return context_; }
  fs::InodeNumber inode() const { return connection_.nodes.ToInode(node_); }
  // What the kernel said beyond libfuse's arguments.
  const RequestFacts& facts() const;
  // Room for the answer's data; see ChannelWorker::reply_buffer.
  std::span<char> reply_buffer();
  bool answered() const { return answered_; }

  void Reply(const Status& status);
  void ReplyError(const Error& error);
  void ReplyErrno(int errno_value);
  void ReplyEntry(const Result<fs::Entry>& entry);
  // Nothing has that name; the kernel may remember it as long as it remembers names that are there.
  void ReplyNoEntry();
  void ReplyAttributes(const Result<fs::Entry>& entry);
  // False if the caller has gone and will never release what was opened.
  [[nodiscard]] bool ReplyOpened(const fuse_file_info& info);
  [[nodiscard]] bool ReplyCreated(const fs::Entry& entry, const fuse_file_info& info);
  void ReplyTarget(const Result<std::string>& target);
  void ReplyData(std::span<const char> data);
  void ReplyCount(const Result<size_t>& count);  // of WRITE and COPY_FILE_RANGE
  void ReplyOffset(const Result<uint64_t>& offset);
  void ReplyUsage(const Result<fs::FileSystemUsage>& usage);
  // An xattr's value or the list of names: its size if `room_bytes` is 0, itself if it fits, else
  // ERANGE.
  void ReplyXattr(const Result<std::string>& value, size_t room_bytes);

 private:
  const fuse_req_t request_;
  const fs::Op operation_;
  const fuse_ino_t node_;
  const std::string_view name_;
  Connection& connection_;
  fs::OpContext context_;
  bool answered_ = false;
};

// Runs a handler's body with its Request. Nothing thrown gets past here into libfuse's C frames; a
// body that throws before it answered is answered for.
template <typename Body>
void Handle(fuse_req_t raw, fs::Op operation, fuse_ino_t node, std::string_view name,
            Body&& body) noexcept;

// What Handle answers when a body throws.
void ReplyToException(Request& request) noexcept;

template <typename Body>
void Handle(fuse_req_t raw, fs::Op operation, fuse_ino_t node, std::string_view name,
            Body&& body) noexcept {
  Request request(raw, operation, node, name);
  try {
    body(request);
  } catch (...) {
    ReplyToException(request);
  }
}

}  // namespace tifs::fuse
