// The orders of steps across a volume and its base file system: short sequences of operations,
// cut at every call that changes one of the two.
#include "tests/crash/two_sides.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/sim/test_options.h"

namespace tifs::rocksfs {
namespace {

// Does `ops` as often as there are calls within the last one, is cut at each of them, `samples`
// times, and looks at what is left. Cuts within those before are of shorter sequences.
std::string TrySequence(const SidesOptions& options, const std::vector<SidesOp>& ops,
                        uint64_t samples, uint64_t& seed, uint64_t& cuts) {
  uint64_t calls = 0;
  for (uint64_t cut = 0; cut <= calls; ++cut) {
    for (uint64_t sample = 0; sample < samples; ++sample) {
      TwoSides sides(options, ++seed);
      std::string why;
      for (size_t i = 0; i < ops.size() && why.empty(); ++i) {
        if (!sides.IsDefined(ops[i])) return "";
        if (i + 1 < ops.size()) why = sides.Do(ops[i]);
      }
      if (!why.empty()) return ToText(ops) + why;
      const uint64_t before = sides.calls();
      // Once without a cut, which comes after it then.
      if (cut != 0) sides.CutAfter(cut);
      why = sides.Do(ops.back());
      if (cut == 0) {
        TwoSides::View view;
        if (why.empty()) why = sides.Read(view);
        if (why.empty() && view != sides.expected()) why = "it does something else";
        calls = sides.calls() - before;
      } else if (sides.is_off()) {
        why.clear();
      }
      if (why.empty()) why = sides.CheckAfterCut();
      ++cuts;
      if (why.empty()) continue;
      return ToText(ops) + "cut at call " + std::to_string(cut) + ", sample " +
             std::to_string(sample) + ": " + why;
    }
  }
  return "";
}

// All sequences of `length`, every `stride`-th.
std::string TrySequences(const SidesOptions& options, size_t length, size_t stride,
                         uint64_t samples) {
  const std::vector<SidesOp> alphabet = SidesAlphabet();
  size_t count = 1;
  for (size_t i = 0; i < length; ++i) count *= alphabet.size();
  uint64_t seed = 0, cuts = 0;
  for (size_t sequence = 0; sequence < count; sequence += stride) {
    std::vector<SidesOp> ops;
    for (size_t rest = sequence; ops.size() < length; rest /= alphabet.size()) {
      ops.push_back(alphabet[rest % alphabet.size()]);
    }
    if (std::string why = TrySequence(options, ops, samples, seed, cuts); !why.empty()) return why;
  }
  std::printf("%llu cuts\n", static_cast<unsigned long long>(cuts));
  return "";
}

TEST(TwoSidesTest, OneOperation) {
  EXPECT_EQ(TrySequences({}, 1, 1, sim::Options().Runs(50, 50)), "");
}

TEST(TwoSidesTest, TwoOperations) {
  EXPECT_EQ(TrySequences({}, 2, 1, sim::Options().full_length ? 50 : 4), "");
}

TEST(TwoSidesTest, ThreeOperations) {
  const bool is_long = sim::Options().full_length;
  EXPECT_EQ(TrySequences({}, 3, is_long ? 1 : 9, is_long ? 4 : 1), "");
}

// --- leaving out any one kind of sync must make it fail ---

TEST(TwoSidesTest, FindsMissingSyncsOfTheBasesDirectories) {
  SidesOptions options;
  options.lie_about_base = [](sim::SyncKind kind, std::string_view) {
    return kind == sim::SyncKind::kDirectory;
  };
  EXPECT_NE(TrySequences(options, 2, 1, 4), "");
}

TEST(TwoSidesTest, FindsMissingSyncsOfTheBasesFiles) {
  SidesOptions options;
  options.lie_about_base = [](sim::SyncKind kind, std::string_view) {
    return kind == sim::SyncKind::kFile;
  };
  EXPECT_NE(TrySequences(options, 2, 1, 4), "");
}

TEST(TwoSidesTest, FindsMissingFlushes) {
  for (const volume::FlushKind left_out : {volume::FlushKind::kData, volume::FlushKind::kJournal}) {
    SidesOptions options;
    options.skip_flush = [=](volume::FlushKind kind) { return kind == left_out; };
    EXPECT_NE(TrySequences(options, 2, 1, 4), "") << static_cast<int>(left_out);
  }
}

}  // namespace
}  // namespace tifs::rocksfs
