#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

// Clang's thread-safety annotations; nothing under other compilers.
#if defined(__clang__)
#define TIFS_TSA(x) __attribute__((x))
#else
#define TIFS_TSA(x)
#endif
#define CAPABILITY(x) TIFS_TSA(capability(x))
#define SCOPED_CAPABILITY TIFS_TSA(scoped_lockable)
#define GUARDED_BY(x) TIFS_TSA(guarded_by(x))
#define REQUIRES(...) TIFS_TSA(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) TIFS_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) TIFS_TSA(release_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) TIFS_TSA(acquire_shared_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) TIFS_TSA(release_shared_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) TIFS_TSA(release_generic_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) TIFS_TSA(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) TIFS_TSA(locks_excluded(__VA_ARGS__))
#define RETURN_CAPABILITY(x) TIFS_TSA(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS TIFS_TSA(no_thread_safety_analysis)

namespace tifs {

class CAPABILITY("mutex") Mutex {
 public:
  void Lock() ACQUIRE() { mutex_.lock(); }
  void Unlock() RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// One writer or many readers.
class CAPABILITY("shared mutex") SharedMutex {
 public:
  void Lock() ACQUIRE() { mutex_.lock(); }
  void Unlock() RELEASE() { mutex_.unlock(); }
  void LockShared() ACQUIRE_SHARED() { mutex_.lock_shared(); }
  void UnlockShared() RELEASE_SHARED() { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

class SCOPED_CAPABILITY ExclusiveLock {
 public:
  explicit ExclusiveLock(SharedMutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~ExclusiveLock() RELEASE() { mutex_.Unlock(); }
  ExclusiveLock(const ExclusiveLock&) = delete;
  ExclusiveLock& operator=(const ExclusiveLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class SCOPED_CAPABILITY SharedLock {
 public:
  explicit SharedLock(SharedMutex& mutex) ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.LockShared();
  }
  ~SharedLock() RELEASE_GENERIC() { mutex_.UnlockShared(); }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class CondVar {
 public:
  void Wait(Mutex& mutex) REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // True if woken, false if `timeout` passed first.
  bool WaitFor(Mutex& mutex, std::chrono::nanoseconds timeout)
      REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool woken = condition_.wait_for(lock, timeout) == std::cv_status::no_timeout;
    lock.release();
    return woken;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace tifs
