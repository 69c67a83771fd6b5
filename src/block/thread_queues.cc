#include "block/thread_queues.h"

#include <utility>
#include <vector>

#include "base/sync.h"

namespace tifs::block {

// The queues of one device. A queue is destroyed under the lock: a device that dies meanwhile waits
// for that, and only then takes away what the queue stands on.
class ThreadQueues::Set {
 public:
  IoQueue* Add(std::unique_ptr<IoQueue> queue) {
    MutexLock lock(mutex_);
    return queues_.emplace_back(std::move(queue)).get();
  }
  void Drop(const IoQueue* queue) {
    MutexLock lock(mutex_);
    std::erase_if(queues_, [&](const auto& each) { return each.get() == queue; });
  }
  void Clear() {
    MutexLock lock(mutex_);
    queues_.clear();
  }
  size_t size() {
    MutexLock lock(mutex_);
    return queues_.size();
  }

 private:
  Mutex mutex_;
  std::vector<std::unique_ptr<IoQueue>> queues_ GUARDED_BY(mutex_);
};

// A thread's queues, over all devices that it uses. What a device that died leaves is swept out
// when the next one is added.
class ThreadQueues::OfThisThread {
 public:
  // Whether the calling thread's is gone: of the main thread it is before objects with static
  // storage are destroyed, and those may own devices. Has no destructor, so it can be asked then.
  static thread_local bool is_gone;

  ~OfThisThread() {
    is_gone = true;
    for (const Entry& entry : entries_) {
      if (const std::shared_ptr<Set> set = entry.set.lock()) set->Drop(entry.queue);
    }
  }
  IoQueue* Find(const Set* set) const {
    for (const Entry& entry : entries_) {
      if (entry.key == set) return entry.queue;
    }
    return nullptr;
  }
  void Add(const std::shared_ptr<Set>& set, IoQueue* queue) {
    std::erase_if(entries_, [](const Entry& entry) { return entry.set.expired(); });
    entries_.push_back({set.get(), set, queue});
  }

 private:
  struct Entry {
    // Compared, never followed. No later set can lie there: the weak pointer keeps the memory.
    const Set* key;
    std::weak_ptr<Set> set;
    IoQueue* queue;
  };
  std::vector<Entry> entries_;
};

thread_local bool ThreadQueues::OfThisThread::is_gone = false;

ThreadQueues::ThreadQueues(Open open) : open_(std::move(open)), set_(std::make_shared<Set>()) {}

ThreadQueues::~ThreadQueues() { set_->Clear(); }

IoQueue* ThreadQueues::ForThisThread() {
  if (OfThisThread::is_gone) return nullptr;
  static thread_local OfThisThread mine;
  if (IoQueue* const queue = mine.Find(set_.get())) return queue;
  Result<std::unique_ptr<IoQueue>> opened = open_();
  if (!opened) return nullptr;
  IoQueue* const queue = set_->Add(*std::move(opened));
  mine.Add(set_, queue);
  return queue;
}

size_t ThreadQueues::size() const { return set_->size(); }

}  // namespace tifs::block
