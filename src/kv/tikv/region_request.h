#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/tikv/region_cache.h"
#include "proto/kvrpcpb.pb.h"

namespace tifs::kv::tikv {

// The method that takes a request, and its answer.
template <typename Request>
struct MethodOf;
#define TIFS_TIKV_METHOD(name)                                    \
  template <>                                                     \
  struct MethodOf<kvrpcpb::name##Request> {                       \
    using Response = kvrpcpb::name##Response;                     \
    static constexpr const char* kName = "/tikvpb.Tikv/Kv" #name; \
  };
TIFS_TIKV_METHOD(Get)
TIFS_TIKV_METHOD(BatchGet)
TIFS_TIKV_METHOD(Scan)
TIFS_TIKV_METHOD(Prewrite)
TIFS_TIKV_METHOD(Commit)
TIFS_TIKV_METHOD(BatchRollback)
TIFS_TIKV_METHOD(TxnHeartBeat)
TIFS_TIKV_METHOD(CheckTxnStatus)
TIFS_TIKV_METHOD(CheckSecondaryLocks)
TIFS_TIKV_METHOD(ResolveLock)
TIFS_TIKV_METHOD(ScanLock)
#undef TIFS_TIKV_METHOD

enum class Answered : uint8_t {
  kYes,       // `response` holds the store's answer
  kNo,        // not executed: the region or the store was not ready for it; try again
  kNobody,    // it may have been executed, or may yet be
  kTooLarge,  // not executed: split it
  kFailed,    // not executed, and will not be: `error` is final
};

// One request to one region. What to wait for before the next try is in `wait` and `at_least`.
class RegionCallBase {
 public:
  virtual ~RegionCallBase() = default;

  RegionRef region;
  Answered answered = Answered::kNo;
  Error error{ErrorCode::kUnavailable, "tikv: not sent"};  // unless kYes
  BackoffKind wait = BackoffKind::kRegion;
  std::chrono::nanoseconds at_least{0};

 protected:
  friend class RegionSender;
  explicit RegionCallBase(RegionRef to) : region(std::move(to)) {}
  virtual const char* method() const = 0;
  virtual const Message& request_message() const = 0;
  virtual Message& response_message() = 0;
  virtual kvrpcpb::Context& context() = 0;
  virtual const errorpb::Error* region_error() const = 0;
};

template <typename Request>
class RegionCall final : public RegionCallBase {
 public:
  explicit RegionCall(RegionRef to) : RegionCallBase(std::move(to)) {}

  Request request;
  typename MethodOf<Request>::Response response;

 private:
  const char* method() const override { return MethodOf<Request>::kName; }
  const Message& request_message() const override { return request; }
  Message& response_message() override { return response; }
  kvrpcpb::Context& context() override { return *request.mutable_context(); }
  const errorpb::Error* region_error() const override {
    return response.has_region_error() ? &response.region_error() : nullptr;
  }
};

// Sends requests to regions and says what their errors mean; tells the cache what they tell about
// regions. Safe for use by several threads.
class RegionSender {
 public:
  RegionSender(Environment& environment, RegionCache& cache, PdClient& pd)
      : environment_(environment), cache_(cache), pd_(pd) {}

  // One round: all calls in parallel; each has its `answered` then. Repeats nothing. An error means
  // that none was sent.
  Status Send(std::span<RegionCallBase* const> calls, Backoff& backoff);

  // Sends `request` to the region of `key` until it is executed. Only for requests of which it does
  // no harm if they are executed twice.
  template <typename Request>
  Result<typename MethodOf<Request>::Response> Repeat(std::string_view key, const Request& request,
                                                      Backoff& backoff) {
    for (;;) {
      RegionCall<Request> call(TRY(cache_.Locate(key, backoff)));
      call.request = request;
      RegionCallBase* const base = &call;
      TRY(Send({&base, 1}, backoff));
      if (call.answered == Answered::kYes) return std::move(call.response);
      TRY(WaitAfter(call, backoff));
    }
  }

  // Waits as the call says, or answers its error if that is final. kTooLarge: kTooLarge.
  static Status WaitAfter(const RegionCallBase& call, Backoff& backoff);

  RegionCache& cache() { return cache_; }

 private:
  void Judge(RegionCallBase& call, Status status);
  void JudgeRegionError(RegionCallBase& call, const errorpb::Error& error);

  Environment& environment_;
  RegionCache& cache_;
  PdClient& pd_;
};

// Keys (or what has keys) of one region: indices into what was grouped.
struct KeyGroup {
  RegionRef region;
  std::vector<size_t> items;
};

// Groups keys[i] for each i of `items` by region, in the order of first appearance.
Result<std::vector<KeyGroup>> GroupByRegion(RegionCache& cache, std::span<const std::string> keys,
                                            std::span<const size_t> items, Backoff& backoff);

}  // namespace tifs::kv::tikv
