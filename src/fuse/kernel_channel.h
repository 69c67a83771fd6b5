#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "fuse/libfuse.h"

// The device through which the kernel sends requests and takes answers. libfuse parses the
// requests; reading and writing the device is done here, because libfuse 3.14 is older than the
// kernels it runs on: this is where the parts of the protocol that it does not know are put in and
// taken out.
//
// Protocol facts (linux/fuse.h; the kernel's fs/fuse/{dev,inode,file}.c):
//   - Each read(2) of the device returns exactly one request: fuse_in_header, the operation's own
//     struct, then names or data. A WRITE's data follows 80 bytes of headers.
//   - An answer is one writev(2): fuse_out_header with the request's `unique`, then the payload. It
//     must go to the descriptor that the request was read from (each descriptor, also a cloned one,
//     has its own list of requests in progress).
//   - INIT is the first request. What a flag of the reply does not name is off; flags above bit 31
//   go
//     into flags2 and count only with FUSE_INIT_EXT.
//   - FUSE_HANDLE_KILLPRIV_V2: the kernel leaves clearing of setuid, setgid and file capabilities
//   to
//     us and says with WRITE, SETATTR(size) and OPEN(O_TRUNC), each by a flag of its own, when the
//     caller has no right to keep them. Without it, it asks for the xattr security.capability
//     before every single write.
namespace tifs::fuse {

// INIT flags that libfuse 3.14 does not pass on; the numbers are the protocol's.
inline constexpr uint64_t kHandleKillprivV2 = uint64_t{1} << 28;

// What libfuse does not tell the handler of a request.
struct RequestFacts {
  // The kernel asks that setuid, setgid and capabilities be cleared along with the operation.
  bool kill_privileges = false;
  // Serving it means waiting for a disk, or moving much.
  bool may_block = false;
};

// Reads the facts off a raw request as it came from the device.
RequestFacts ReadFacts(std::span<const char> request);
// Adds those `wanted` flags that the kernel `offered` to the answer of INIT (a fuse_init_out).
void AddInitFlags(std::span<char> init_out, uint64_t wanted, uint64_t offered);

class ChannelWorker;

// One mount's channel. Lives as long as the session; used by all workers.
class KernelChannel {
 public:
  // `wanted_init_flags`: flags of the protocol to add to the INIT reply where the kernel has them.
  explicit KernelChannel(uint64_t wanted_init_flags) : wanted_init_flags_(wanted_init_flags) {}

  // Puts this channel between libfuse and the device of a session that is mounted and that nothing
  // has been read from.
  Status Attach(fuse_session* session);
  // Answers INIT. Afterwards, and not before, any number of workers may serve.
  Status Negotiate(ChannelWorker& worker);

  fuse_session* session() const { return session_; }
  // Whether the kernel has `flag` and we took it.
  bool negotiated(uint64_t flag) const { return (negotiated_ & flag) == flag; }

 private:
  friend class ChannelWorker;

  static ssize_t Writev(int fd, iovec* parts, int count, void* userdata);
  static ssize_t Read(int fd, void* buffer, size_t size, void* userdata);
  void NoteInit(std::span<const char> request);
  ssize_t AnswerInit(int fd, iovec* parts, int count);

  fuse_session* session_ = nullptr;
  const uint64_t wanted_init_flags_;
  // Constant after Negotiate.
  bool init_answered_ = false;
  uint32_t kernel_major_ = 0;
  uint64_t offered_init_flags_ = 0;
  uint64_t negotiated_ = 0;
};

// One thread's end of the channel: a buffer, and a descriptor of its own if wished. A request is
// handled, and must be answered, on the thread that read it.
class ChannelWorker {
 public:
  // `payload_bytes`: the largest data of a read or write, a multiple of the page size. With
  // `own_descriptor` the device is cloned for this thread; if that fails the common one is used.
  static Result<std::unique_ptr<ChannelWorker>> Open(KernelChannel& channel, size_t payload_bytes,
                                                     bool own_descriptor);
  ~ChannelWorker();

  enum class Outcome : uint8_t {
    kReceived,
    kNothing,  // interrupted by a signal, or the request went away
    kEnded,    // unmounted or aborted; there will be no more
  };
  // Waits for one request. Errors: kIo, the device is broken.
  Result<Outcome> Receive();
  // After kReceived, until the next Receive.
  const RequestFacts& facts() const { return facts_; }
  // After kReceived, once: has libfuse call the handler of the request, which answers it.
  void Handle();

  // The worker of the calling thread while it handles a request, else nullptr.
  static ChannelWorker* Current();
  // Page-aligned room for the answer of the request in hand. Overlaps names and data of the request
  // itself; READ and READDIR have none.
  std::span<char> reply_buffer() { return {payload_, payload_bytes_}; }

 private:
  friend class KernelChannel;
  ChannelWorker(KernelChannel& channel, size_t payload_bytes)
      : channel_(channel), payload_bytes_(payload_bytes) {}

  KernelChannel& channel_;
  const size_t payload_bytes_;
  char* mapping_ = nullptr;  // a page for headers, then the payload
  char* payload_ = nullptr;  // mapping_ + one page
  char* request_ = nullptr;  // where a request is read to, so that a WRITE's data falls on payload_
  int own_fd_ = -1;
  size_t request_bytes_ = 0;
  RequestFacts facts_;
};

}  // namespace tifs::fuse
