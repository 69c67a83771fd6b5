#include "fs/fs_check.h"

#include <algorithm>

#include "fs/check_round.h"
#include "fs/inode_allocator.h"
#include "kv/run_transaction.h"

namespace tifs::fs {
namespace {

// Each round mends one kind of problem, and mending may uncover more: so many rounds may go by in
// which the problems did not become fewer.
constexpr int kMaxRoundsWithoutProgress = 16;

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

// Whether a mend that failed so says something of the store's contents only: then another, or one
// of a later round, may have to come first.
bool IsAboutContents(ErrorCode code) {
  return code == ErrorCode::kCorrupt || code == ErrorCode::kStale || code == ErrorCode::kExists;
}

// Mends the problems of one kind; how many.
Result<size_t> MendKind(kv::TransactionRunner& runner, const Schema& schema, const MetaRecord& meta,
                        const CheckRound& round, CheckRound::Kind kind, CheckReport& report) {
  size_t mended = 0;
  for (const CheckRound::Problem& problem : round.problems()) {
    if (!problem.mend || problem.kind != kind) continue;
    Status done = runner.Run([&](kv::Transaction& txn) {
      RecordStore records(txn, schema, meta.directory_stripes, nullptr);
      return problem.mend(records);
    });
    if (!done && IsAboutContents(done.error().code())) continue;
    TRY(std::move(done));
    ++mended;
    ++report.finding_count;
    if (report.findings.size() < CheckReport::kMaxFindings) {
      report.findings.push_back({problem.what, true});
    }
  }
  return mended;
}

// Mends the problems of the first kind of which any can be; how many.
Result<size_t> MendFirstKind(kv::TransactionRunner& runner, const Schema& schema,
                             const MetaRecord& meta, const CheckRound& round, CheckReport& report) {
  using Kind = CheckRound::Kind;
  for (Kind kind : {Kind::kSharedSlot, Kind::kMalformed, Kind::kUnreachable, Kind::kCount}) {
    const size_t mended = TRY(MendKind(runner, schema, meta, round, kind, report));
    if (mended > 0) return mended;
  }
  return size_t{0};
}

}  // namespace

Result<CheckReport> Check(kv::Store& store, Clock& clock, const CheckOptions& options) {
  const MetaRecord meta = TRY(LoadMeta(store));
  // Even what an older release may ignore or read has keys and values that this one would take for
  // damage.
  if (HasUnknownFeatures(meta)) {
    return Error(ErrorCode::kNotSupported, "check", "it uses unknown features");
  }
  const Schema schema({}, meta.hash_seed);
  kv::TransactionRunner runner(store, clock);
  CheckReport report;
  uint64_t fewest = UINT64_MAX;
  int rounds_without_progress = 0;
  for (;;) {
    std::optional<CheckRound> round;
    CheckReport counts;
    TRY(runner.Read([&](kv::Transaction& txn) -> Status {
      counts = {};
      round.emplace(txn, schema, meta, clock, options);
      return round->Run(counts);
    }));
    counts.findings = std::move(report.findings);
    counts.finding_count = report.finding_count;
    report = std::move(counts);
    rounds_without_progress = round->problem_count() < fewest ? 0 : rounds_without_progress + 1;
    fewest = std::min(fewest, round->problem_count());
    const bool mend = options.repair && rounds_without_progress <= kMaxRoundsWithoutProgress;
    if (mend && TRY(MendFirstKind(runner, schema, meta, *round, report)) > 0) continue;
    report.unrepaired = round->problem_count();
    report.finding_count += round->problem_count();
    for (const CheckRound::Problem& problem : round->problems()) {
      if (report.findings.size() == CheckReport::kMaxFindings) break;
      report.findings.push_back({problem.what, false});
    }
    if (options.repair) TRY(store.Sync());
    return report;
  }
}

}  // namespace tifs::fs
