#include "cli/cluster_store.h"

#include <fmt/format.h>

#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "cli/embedded_store.h"
#include "cli/output.h"
#include "fs/session_list.h"
#include "kv/tikv/grpc_transport.h"

namespace tifs::cli {
namespace {

using State = ClusterNames::State;

constexpr uint32_t kNamesKeyspace = 0;
constexpr size_t kDeletedAtOnce = 1024;

Result<std::unique_ptr<kv::tikv::Transport>> OpenTransport(const ClusterAddress& address) {
  if (address.ca.empty()) return kv::tikv::MakeGrpcTransport();
  return kv::tikv::MakeTlsTransport(
      {.ca = address.ca, .cert = address.cert, .key = address.key, .verify_cn = address.verify_cn});
}

Result<std::unique_ptr<kv::Store>> OpenClient(const ClusterAddress& address, uint32_t keyspace,
                                              bool collects_garbage) {
  kv::tikv::TikvOptions options;
  options.pd_addresses = address.pd;
  options.keyspace = keyspace;
  // A transaction begins after its operation arrived, and so after all that it must follow.
  options.commit_floor = kv::tikv::CommitFloor::kStart;
  if (collects_garbage) options.gc = kv::tikv::GcMode::kAuto;
  return std::unique_ptr<kv::Store>(
      TRY(kv::tikv::TikvKv::Open(options, TRY(OpenTransport(address)), SystemClock())));
}

Error ExplainCluster(const Uri& uri, const Error& error) {
  if (IsExplained(error)) return error.Clone();
  const std::string what = Escaped(uri.ToString());
  if (error.code() == ErrorCode::kUnavailable || error.code() == ErrorCode::kDeadlineExceeded) {
    return Explained(error.code(), what,
                     fmt::format("the cluster does not answer ({})", Escaped(error.detail())),
                     "check the addresses of PD, and that PD and TiKV run");
  }
  if (error.code() == ErrorCode::kInvalid) {
    return Explained(error.code(), what, Escaped(error.detail()), "check the files of TLS");
  }
  return Explained(error.code(), what, Escaped(error.ToString()));
}

}  // namespace

Status ClusterStore::FindName() {
  if (!names_store_) {
    names_store_ = TRY(OpenClient(address_, kNamesKeyspace, false));
    names_ = std::make_unique<ClusterNames>(*names_store_, SystemClock());
  }
  entry_ = TRY(names_->Find(address_.name));
  return {};
}

Status ClusterStore::OpenKeyspace() {
  const bool is_mount = owner_->owner().record().activity == "mount";
  kv_ = TRY(OpenClient(address_, entry_->number, is_mount && address_.collects_garbage));
  return {};
}

Status ClusterStore::Open(Mode mode, uint64_t) {
  const auto open = [&]() -> Status {
    TRY(FindName());
    if (mode == Mode::kCreate) {
      // What is half made or half gone is cleared away: the table says that it is nobody's.
      if (entry_ && entry_->state != State::kReady) TRY(Destroy());
      if (!entry_) entry_ = TRY(names_->Add(address_.name));
      return OpenKeyspace();
    }
    if (!entry_) return NotFormatted(uri_, "there is no file system of that name");
    if (entry_->state != State::kReady) {
      return NotFormatted(uri_, entry_->state == State::kUnfinished
                                    ? "its format did not come to its end"
                                    : "it was destroyed");
    }
    return OpenKeyspace();
  };
  Status opened = open();
  return opened ? OkStatus() : Explain(opened.error());
}

Result<std::unique_ptr<fs::BlockStore>> ClusterStore::OpenBlocks(bool) {
  return Explained(ErrorCode::kCorrupt, Escaped(uri_.ToString()),
                   "its data is said to lie in a data file, which a cluster has not");
}

Result<uint64_t> ClusterStore::DataFileBytes() { return uint64_t{0}; }

Result<std::optional<std::string>> ClusterStore::HiddenLoss() {
  return std::optional<std::string>();
}

Status ClusterStore::FinishFormat() {
  if (Status set = names_->SetState(*entry_, State::kReady); !set) return Explain(set.error());
  entry_->state = State::kReady;
  return {};
}

void ClusterStore::Close() {
  kv_.reset();
  names_.reset();
  names_store_.reset();
}

Status ClusterStore::CloseForGood() {
  // Who has found the name before finds no file system to join.
  TRY(names_->SetState(*entry_, State::kDestroyed));
  if (!kv_) TRY(OpenKeyspace());
  Status closed = fs::CloseForGood(*kv_, SystemClock());
  if (!closed && closed.error().code() == ErrorCode::kBusy) {
    TRY(names_->SetState(*entry_, State::kReady));
    return Explained(
        ErrorCode::kBusy, Escaped(uri_.ToString()), Escaped(closed.error().detail()),
        fmt::format("unmount it everywhere; see 'tifs sessions {}'", ShellQuoted(uri_.ToString())));
  }
  if (!closed && closed.error().code() != ErrorCode::kNotFound) return closed;
  entry_->state = State::kDestroyed;
  return {};
}

Status ClusterStore::DeleteKeys() {
  if (!kv_) TRY(OpenKeyspace());
  kv::TransactionRunner runner(*kv_, SystemClock());
  for (bool more = true; more;) {
    more = TRY(runner.Run([](kv::Transaction& txn) -> Result<bool> {
      std::vector<std::string> keys;
      TRY(txn.Scan({}, kDeletedAtOnce, kv::Direction::kForward,
                   [&](std::string_view key, std::string_view) {
                     keys.emplace_back(key);
                     return true;
                   }));
      for (const std::string& key : keys) TRY(txn.Delete(key));
      return keys.size() == kDeletedAtOnce;
    }));
  }
  kv_.reset();
  return {};
}

Status ClusterStore::Destroy() {
  if (!entry_) return NotFormatted(uri_, "there is no file system of that name");
  const auto destroy = [&]() -> Status {
    // Whatever the table says: who was interrupted, or is about to find out that it is mounted, may
    // have written that.
    TRY(CloseForGood());
    TRY(DeleteKeys());
    TRY(names_->Remove(*entry_));
    entry_.reset();
    return {};
  };
  Status destroyed = destroy();
  return destroyed ? OkStatus() : Explain(destroyed.error());
}

void ClusterStore::Discard() {
  if (!entry_ || entry_->state == State::kReady) return;
  if (Status destroyed = Destroy(); !destroyed) LogWarning("{}", ErrorText(destroyed.error()));
}

std::vector<std::pair<std::string, uint64_t>> ClusterStore::Figures() {
  std::vector<std::pair<std::string, uint64_t>> figures;
  if (const Result<kv::SpaceUsage> space = kv_->Space(); space) {
    figures.emplace_back("disk_total_bytes", space->total_bytes);
    figures.emplace_back("disk_available_bytes", space->available_bytes);
  }
  return figures;
}

Error ClusterStore::Explain(const Error& error) const { return ExplainCluster(uri_, error); }

Result<std::vector<ClusterNames::FileSystem>> ListCluster(const Uri& cluster) {
  const auto list = [&]() -> Result<std::vector<ClusterNames::FileSystem>> {
    const ClusterAddress address = TRY(ParseClusterAddress(cluster));
    const std::unique_ptr<kv::Store> store = TRY(OpenClient(address, kNamesKeyspace, false));
    return ClusterNames(*store, SystemClock()).List();
  };
  auto listed = list();
  if (!listed) return ExplainCluster(cluster, listed.error());
  return listed;
}

}  // namespace tifs::cli
