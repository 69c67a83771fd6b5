#include "fs/fs_check.h"

#include <algorithm>

#include "fs/check_round.h"
#include "fs/inode_allocator.h"
#include "kv/run_transaction.h"

namespace tifs::fs {
namespace {

// Each round mends one kind of problem, and mending may uncover more.
constexpr int kMaxRounds = 16;
constexpr char kLostAndFound[] = "lost+found";

Result<MetaRecord> LoadMeta(kv::Store& store) {
  const std::optional<kv::Value> value = TRY(store.GetLatest(Schema().Meta()));
  if (!value) return Error(ErrorCode::kNotFound, "not a formatted file system");
  return MetaRecord::Decode(value->view());
}

bool HasUnknownFeatures(const MetaRecord& meta) {
  constexpr uint64_t kKnownCompatible = 0;
  return (meta.compatible & ~kKnownCompatible) != 0 ||
         (meta.read_only_compatible & ~MetaRecord::kKnownReadOnlyCompatible) != 0;
}

Result<InodeNumber> MakeLostAndFound(RecordStore& records, Clock& clock) {
  const Schema& schema = records.schema();
  const auto found = TRY(records.LoadDentry(kRootInode, kLostAndFound));
  if (found && S_ISDIR(found->type_mode)) return found->inode;
  if (found) return Error(ErrorCode::kExists, "lost+found is no directory");
  const auto next = TRY(records.transaction().Get(schema.NextInode()));
  if (!next) return Error(ErrorCode::kCorrupt, "next inode is missing");
  InodeRecord directory;
  directory.number.value = TRY(DecodeNextInode(next->view()));
  TRY(records.transaction().Put(schema.NextInode(), EncodeNextInode(directory.number.value + 1)));
  directory.mode = S_IFDIR | 0700;
  directory.nlink = 2;
  directory.parent = kRootInode;
  directory.atime = directory.mtime = directory.ctime = directory.btime = clock.RealTime();
  TRY(records.StoreInode(directory));
  TRY(records.StoreDentry(kRootInode, kLostAndFound, {directory.number, S_IFDIR}));
  StripeRecord root = TRY(records.LoadStripe(kRootInode, 0));
  ++root.entries;
  ++root.subdirectories;
  TRY(records.StoreStripe(kRootInode, 0, root));
  return directory.number;
}

// Mends the problems of the first kind that there is; how many.
Result<size_t> MendFirstKind(kv::TransactionRunner& runner, const Schema& schema,
                             const MetaRecord& meta, const CheckRound& round, CheckReport& report) {
  auto kind = CheckRound::Kind::kCount;
  for (const CheckRound::Problem& problem : round.problems()) {
    if (problem.mend) kind = std::min(kind, problem.kind);
  }
  size_t mended = 0;
  for (const CheckRound::Problem& problem : round.problems()) {
    if (!problem.mend || problem.kind != kind) continue;
    TRY(runner.Run([&](kv::Transaction& txn) {
      RecordStore records(txn, schema, meta.directory_stripes, nullptr);
      return problem.mend(records);
    }));
    ++mended;
    ++report.finding_count;
    if (report.findings.size() < CheckRound::kMaxProblems) {
      report.findings.push_back({problem.what, true});
    }
  }
  return mended;
}

}  // namespace

Status LinkToLostAndFound(RecordStore& records, Clock& clock, InodeNumber inode) {
  const InodeNumber lost_and_found = TRY(MakeLostAndFound(records, clock));
  InodeRecord record = TRY(records.LoadInode(inode));
  if (record.IsDirectory()) record.parent = lost_and_found;
  record.nlink = record.IsDirectory() ? 2 : 1;
  TRY(records.StoreInode(record));
  TRY(records.StoreDentry(lost_and_found, "#" + std::to_string(inode.value),
                          {inode, record.mode & S_IFMT}));
  StripeRecord stripe = TRY(records.LoadStripe(lost_and_found, 0));
  ++stripe.entries;
  if (record.IsDirectory()) ++stripe.subdirectories;
  return records.StoreStripe(lost_and_found, 0, stripe);
}

Result<CheckReport> Check(kv::Store& store, Clock& clock, const CheckOptions& options) {
  const MetaRecord meta = TRY(LoadMeta(store));
  // Even what an older release may ignore or read has keys and values that this one would take for
  // damage.
  if (HasUnknownFeatures(meta)) {
    return Error(ErrorCode::kNotSupported, "check", "written by a newer release");
  }
  const Schema schema({}, meta.hash_seed);
  kv::TransactionRunner runner(store, clock);
  CheckReport report;
  for (int round_number = 0;; ++round_number) {
    std::optional<CheckRound> round;
    CheckReport counts;
    TRY(runner.Read([&](kv::Transaction& txn) -> Status {
      counts = {};
      round.emplace(txn, schema, meta, options);
      return round->Run(counts);
    }));
    counts.findings = std::move(report.findings);
    counts.finding_count = report.finding_count;
    report = std::move(counts);
    const bool mend = options.repair && round_number < kMaxRounds;
    if (mend && TRY(MendFirstKind(runner, schema, meta, *round, report)) > 0) continue;
    report.unrepaired = round->problem_count();
    report.finding_count += round->problem_count();
    for (const CheckRound::Problem& problem : round->problems()) {
      if (report.findings.size() == CheckRound::kMaxProblems) break;
      report.findings.push_back({problem.what, false});
    }
    if (options.repair) TRY(store.Sync());
    return report;
  }
}

}  // namespace tifs::fs
