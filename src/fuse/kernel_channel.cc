#include "fuse/kernel_channel.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace tifs::fuse {
namespace {

constexpr size_t kPageBytes = 4096;
// A request that carries names or values rather than file data: setxattr with the longest of both.
constexpr size_t kRequestRoomBytes = 256 << 10;
// Copying more than this takes longer than waking another thread.
constexpr size_t kLongWriteBytes = 128 << 10;
constexpr size_t kWriteHeaderBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);

thread_local ChannelWorker* current_worker = nullptr;

// The operation's own struct behind the header, if the request is long enough to hold it.
template <typename Body>
bool ReadBody(std::span<const char> request, Body& body) {
  if (request.size() < sizeof(fuse_in_header) + sizeof(Body)) return false;
  std::memcpy(&body, request.data() + sizeof(fuse_in_header), sizeof(Body));
  return true;
}

bool MayBlock(uint32_t opcode, size_t request_bytes) {
  switch (opcode) {
    case FUSE_READ:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_STATFS: return true;
    case FUSE_WRITE: return request_bytes > kLongWriteBytes;
    default: return false;
  }
}

}  // namespace

RequestFacts ReadFacts(std::span<const char> request) {
  RequestFacts facts;
  if (request.size() < sizeof(fuse_in_header)) return facts;
  fuse_in_header header;
  std::memcpy(&header, request.data(), sizeof(header));
  facts.may_block = MayBlock(header.opcode, request.size());
  if (header.opcode == FUSE_WRITE) {
    fuse_write_in body;
    if (ReadBody(request, body)) facts.kill_privileges = body.write_flags & FUSE_WRITE_KILL_SUIDGID;
  } else if (header.opcode == FUSE_SETATTR) {
    fuse_setattr_in body;
    if (ReadBody(request, body)) facts.kill_privileges = body.valid & FATTR_KILL_SUIDGID;
  } else if (header.opcode == FUSE_OPEN) {
    fuse_open_in body;
    if (ReadBody(request, body)) facts.kill_privileges = body.open_flags & FUSE_OPEN_KILL_SUIDGID;
  } else if (header.opcode == FUSE_CREATE) {
    fuse_create_in body;
    if (ReadBody(request, body)) facts.kill_privileges = body.open_flags & FUSE_OPEN_KILL_SUIDGID;
  }
  return facts;
}

void AddInitFlags(std::span<char> init_out, uint64_t wanted, uint64_t offered) {
  // Kernels of before 7.23 get a shorter answer; they have none of these flags.
  if (init_out.size() < sizeof(fuse_init_out)) return;
  const uint64_t flags = wanted & offered;
  fuse_init_out out;
  std::memcpy(&out, init_out.data(), sizeof(out));
  out.flags |= static_cast<uint32_t>(flags);
  if (flags >> 32 != 0) {
    out.flags |= FUSE_INIT_EXT;
    out.flags2 |= static_cast<uint32_t>(flags >> 32);
  }
  std::memcpy(init_out.data(), &out, sizeof(out));
}

Status KernelChannel::Attach(fuse_session* session) {
  session_ = session;
  const fuse_custom_io io = {.writev = &KernelChannel::Writev, .read = &KernelChannel::Read};
  const int error = fuse_session_custom_io(session, &io, fuse_session_fd(session));
  if (error != 0) return ErrorFromErrno(-error, "attach to the FUSE device");
  return OkStatus();
}

ssize_t KernelChannel::Read(int fd, void* buffer, size_t size, void* /*userdata*/) {
  return ::read(fd, buffer, size);
}

ssize_t KernelChannel::Writev(int fd, iovec* parts, int count, void* /*userdata*/) {
  ChannelWorker* worker = current_worker;
  if (worker == nullptr) return ::writev(fd, parts, count);  // a notification
  if (worker->own_fd_ >= 0) fd = worker->own_fd_;
  KernelChannel& channel = worker->channel_;
  if (!channel.init_answered_) [[unlikely]]
    return channel.AnswerInit(fd, parts, count);
  return ::writev(fd, parts, count);
}

Status KernelChannel::Negotiate(ChannelWorker& worker) {
  while (!init_answered_) {
    const ChannelWorker::Outcome outcome = TRY(worker.Receive());
    if (outcome == ChannelWorker::Outcome::kEnded) {
      return Error(ErrorCode::kIo, "answer INIT", "the mount went away");
    }
    if (outcome == ChannelWorker::Outcome::kReceived) worker.Handle();
    // libfuse answers an INIT that it cannot serve with an error, logs why and ends the session.
    if (fuse_session_exited(session_)) {
      return Error(ErrorCode::kNotSupported, "answer INIT", "libfuse and the kernel do not agree");
    }
  }
  return OkStatus();
}

void KernelChannel::NoteInit(std::span<const char> request) {
  fuse_init_in body = {};
  // Old kernels send only the first part of the struct.
  std::memcpy(&body, request.data() + sizeof(fuse_in_header),
              std::min(sizeof(body), request.size() - sizeof(fuse_in_header)));
  kernel_major_ = body.major;
  offered_init_flags_ = body.flags;
  if (body.flags & FUSE_INIT_EXT) offered_init_flags_ |= uint64_t{body.flags2} << 32;
}

ssize_t KernelChannel::AnswerInit(int fd, iovec* parts, int count) {
  const auto* header = static_cast<const fuse_out_header*>(parts[0].iov_base);
  const bool accepted = header->error == 0 && count == 2;
  // A kernel of a newer major version is told ours, and sends INIT again.
  const bool final = accepted && kernel_major_ == FUSE_KERNEL_VERSION;
  if (final) {
    AddInitFlags({static_cast<char*>(parts[1].iov_base), parts[1].iov_len}, wanted_init_flags_,
                 offered_init_flags_);
  }
  const ssize_t written = ::writev(fd, parts, count);
  if (final && written >= 0) {
    negotiated_ = wanted_init_flags_ & offered_init_flags_;
    init_answered_ = true;
  }
  return written;
}

ChannelWorker* ChannelWorker::Current() { return current_worker; }

Result<std::unique_ptr<ChannelWorker>> ChannelWorker::Open(KernelChannel& channel,
                                                           size_t payload_bytes,
                                                           bool own_descriptor) {
  std::unique_ptr<ChannelWorker> worker(
      new ChannelWorker(channel, std::max(payload_bytes, kRequestRoomBytes)));
  void* mapping = mmap(nullptr, kPageBytes + worker->payload_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return ErrorFromErrno(errno, "make a request buffer");
  worker->mapping_ = static_cast<char*>(mapping);
  worker->payload_ = worker->mapping_ + kPageBytes;
  worker->request_ = worker->payload_ - kWriteHeaderBytes;
  if (own_descriptor) {
    const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    uint32_t common = static_cast<uint32_t>(fuse_session_fd(channel.session()));
    if (fd >= 0 && ioctl(fd, FUSE_DEV_IOC_CLONE, &common) == 0) {
      worker->own_fd_ = fd;
    } else {
      LogWarning("fuse: cannot clone the device, its descriptor is shared: {}", strerror(errno));
      if (fd >= 0) close(fd);
    }
  }
  return worker;
}

ChannelWorker::~ChannelWorker() {
  if (own_fd_ >= 0) close(own_fd_);
  if (mapping_ != nullptr) munmap(mapping_, kPageBytes + payload_bytes_);
}

Result<ChannelWorker::Outcome> ChannelWorker::Receive() {
  const int fd = own_fd_ >= 0 ? own_fd_ : fuse_session_fd(channel_.session());
  const ssize_t got = ::read(fd, request_, kWriteHeaderBytes + payload_bytes_);
  if (got < 0) {
    switch (errno) {
      case EINTR:
      case EAGAIN: return Outcome::kNothing;
      case ENOENT: return Outcome::kNothing;  // its caller was killed before we took it
      case ENODEV:
      case ECONNABORTED: return Outcome::kEnded;
      default: return ErrorFromErrno(errno, "read the FUSE device");
    }
  }
  request_bytes_ = static_cast<size_t>(got);
  if (request_bytes_ < sizeof(fuse_in_header)) {
    return Error(ErrorCode::kIo, "read the FUSE device", "short request");
  }
  facts_ = ReadFacts({request_, request_bytes_});
  return Outcome::kReceived;
}

void ChannelWorker::Handle() {
  const std::span<const char> request(request_, request_bytes_);
  if (!channel_.init_answered_) [[unlikely]]
    channel_.NoteInit(request);
  fuse_buf buffer = {.size = request.size(), .flags = {}, .mem = request_, .fd = -1, .pos = 0};
  current_worker = this;
  fuse_session_process_buf(channel_.session(), &buffer);
  current_worker = nullptr;
}

}  // namespace tifs::fuse
