#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fs/session_records.h"
#include "kv/kv.h"

// What may be asked of a file system's sessions, and done about them, by who is none of them.
// Errors of all: kUnavailable, kIo, kCorrupt.
namespace tifs::fs {

struct SessionStatus {
  SessionRecord record;
  uint64_t holds = 0;  // unlinked files that it has open
};
// All sessions of the file system in an open store, by ascending id.
Result<std::vector<SessionStatus>> ListSessions(kv::Store& store, Clock& clock);

// Ends a session, dead or alive: returns once nothing of it can change the file system any more and
// what it had is taken away. One that is alive finds out with its next heartbeat. kNotFound: there
// is none of that id; kNotSupported: it works on the file system alone.
Status EvictSession(kv::Store& store, Clock& clock, SessionId id);

// Takes the file system away for good, before its keys are deleted. kBusy: it has sessions;
// kNotFound: it is gone.
Status CloseForGood(kv::Store& store, Clock& clock);

// Nobody else has a session while this lives.
class ExclusiveSession {
 public:
  // `record`: host, process and time, for others to see. kBusy: there are sessions.
  static Result<std::unique_ptr<ExclusiveSession>> Begin(kv::Store& store, Clock& clock,
                                                         SessionRecord record);
  ~ExclusiveSession();
  ExclusiveSession(const ExclusiveSession&) = delete;
  ExclusiveSession& operator=(const ExclusiveSession&) = delete;

 private:
  ExclusiveSession(kv::Store& store, Clock& clock, SessionId id)
      : store_(store), clock_(clock), id_(id) {}

  kv::Store& store_;
  Clock& clock_;
  const SessionId id_;
};

}  // namespace tifs::fs
