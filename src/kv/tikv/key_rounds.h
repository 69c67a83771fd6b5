#pragma once

#include <algorithm>
#include <deque>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kv/tikv/region_request.h"

namespace tifs::kv::tikv {

// Requests for keys of many regions, in rounds: what is left is grouped by region, all groups are
// sent at once, and what was not taken up, or is asked for again, is left for the next round. Only
// for requests of which it does no harm if they are executed twice. `sender` and `keys` outlive it.
// Used by one thread: `Next` until `done`.
template <typename Request>
class KeyRounds {
 public:
  using Response = typename MethodOf<Request>::Response;
  // Indices into `keys`.
  using Items = std::span<const size_t>;

  // `max_keys`: of one request.
  KeyRounds(RegionSender& sender, std::span<const std::string> keys, size_t max_keys = SIZE_MAX)
      : sender_(sender), keys_(keys), max_keys_(max_keys), left_(keys.size()) {
    std::iota(left_.begin(), left_.end(), 0);
  }

  bool done() const { return left_.empty(); }

  // One round. `fill(Request&, Items)` makes each request; what was executed goes to
  // `take(Response&, Items) -> Status`, which may call Again or Stop. Then waits
  // as the last of what was not executed demands; what was too large is split. Errors: those of
  // `take`, of the sender, of a request that failed for good; kUnavailable when the backoff gives
  // up.
  template <typename Fill, typename Take>
  Status Next(Backoff& backoff, const Fill& fill, const Take& take) {
    const std::vector<KeyGroup> groups = TRY(GroupByRegion(sender_.cache(), keys_, left_, backoff));
    std::deque<RegionCall<Request>> calls;
    std::vector<Items> items;
    std::vector<RegionCallBase*> to_send;
    for (const KeyGroup& group : groups) {
      for (size_t at = 0; at < group.items.size(); at += items.back().size()) {
        const Items rest = Items(group.items).subspan(at);
        items.push_back(rest.first(std::min(max_keys_, rest.size())));
        RegionCall<Request>& call = calls.emplace_back(group.region);
        fill(call.request, items.back());
        to_send.push_back(&call);
      }
    }
    TRY(sender_.Send(to_send, backoff));
    left_.clear();
    stopped_ = false;
    const RegionCallBase* missed = nullptr;
    for (size_t i = 0; i < calls.size() && !stopped_; ++i) {
      if (calls[i].answered == Answered::kYes) {
        TRY(take(calls[i].response, items[i]));
        continue;
      }
      left_.insert(left_.end(), items[i].begin(), items[i].end());
      if (calls[i].answered == Answered::kTooLarge && items[i].size() > 1) {
        max_keys_ = std::min(max_keys_, items[i].size() / 2);
      } else {
        missed = &calls[i];
      }
    }
    if (stopped_) left_.clear();
    if (stopped_ || missed == nullptr) return {};
    return RegionSender::WaitAfter(*missed, backoff);
  }

  // From within `fill`.
  void AddKeys(Request& request, Items items) const {
    for (const size_t item : items) request.add_keys(keys_[item]);
  }
  // From within `take`: the key is asked for again in the next round.
  void Again(size_t item) { left_.push_back(item); }
  // From within `take`: what is left does not matter.
  void Stop() { stopped_ = true; }

 private:
  RegionSender& sender_;
  const std::span<const std::string> keys_;
  size_t max_keys_;
  std::vector<size_t> left_;
  bool stopped_ = false;
};

}  // namespace tifs::kv::tikv
