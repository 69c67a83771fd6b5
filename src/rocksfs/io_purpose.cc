#include "rocksfs/io_purpose.h"

#include <pthread.h>
#include <rocksdb/iostats_context.h>

#include <array>
#include <string_view>

namespace tifs::rocksfs {
namespace {

using block::IoClass;
using rocksdb::Env;

ThreadKind KindByName() {
  std::array<char, 32> name{};
  if (pthread_getname_np(pthread_self(), name.data(), name.size()) != 0) return ThreadKind::kUser;
  const std::string_view text(name.data());
  if (text.starts_with("rocksdb:high")) return ThreadKind::kFlush;
  if (text.starts_with("rocksdb:low") || text.starts_with("rocksdb:bot")) {
    return ThreadKind::kCompaction;
  }
  return ThreadKind::kUser;
}

bool IsBackground(Env::IOPriority priority) {
  return priority == Env::IO_LOW || priority == Env::IO_MID;
}

}  // namespace

ThreadKind CurrentThreadKind() {
  // Set at the begin of each piece of work. The bottom pool is 0, as is what nobody has set.
  switch (rocksdb::get_iostats_context()->thread_pool_id) {
    case Env::Priority::HIGH: return ThreadKind::kFlush;
    case Env::Priority::LOW: return ThreadKind::kCompaction;
    default: break;
  }
  thread_local const ThreadKind by_name = KindByName();
  return by_name;
}

IoClass ClassOfRead(ThreadKind thread, Env::IOPriority priority) {
  switch (thread) {
    case ThreadKind::kFlush: return IoClass::kFlush;
    case ThreadKind::kCompaction: return IoClass::kCompaction;
    case ThreadKind::kUser: break;
  }
  return IsBackground(priority) ? IoClass::kCompaction : IoClass::kForeground;
}

IoClass ClassOfWrite(ThreadKind thread, Env::IOPriority priority, bool is_table) {
  if (!is_table) return IoClass::kForeground;
  if (priority == Env::IO_HIGH) return IoClass::kFlush;
  if (IsBackground(priority)) return IoClass::kCompaction;
  return ClassOfRead(thread, priority);
}

}  // namespace tifs::rocksfs
