// Runs every fuzz target on inputs made from a seed: well-formed ones, spoiled ones, and noise. The
// same seed gives the same inputs. TIFS_FUZZ_SEED and TIFS_FUZZ_RUNS change seed and number.
#include <gtest/gtest.h>

#include <cstdlib>

#include "allocation_count.h"
#include "base/coding.h"
#include "fuzz_target.h"

namespace tifs::fuzz {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// One small damage, of the kinds that a bad disk, a bug or a hostile peer does.
void Spoil(Random& random, std::string& input) {
  const size_t at = input.empty() ? 0 : random.Below(input.size());
  switch (random.Below(7)) {
    case 0:
      if (!input.empty()) input[at] = static_cast<char>(input[at] ^ (1 << random.Below(8)));
      break;
    case 1: input.resize(at); break;
    case 2: input.insert(at, RandomBytes(random, 1 + random.Below(9))); break;
    case 3: input.erase(at, 1 + random.Below(9)); break;
    case 4: input.append(RandomBytes(random, 1 + random.Below(9))); break;
    case 5: input.insert(at, input.substr(random.Below(input.size() + 1), 16)); break;
    default: {
      // A field becomes absurd.
      const size_t width = std::min<size_t>(input.size() - at, size_t{1} << random.Below(4));
      const char filler = random.OneIn(2) ? '\xff' : '\0';
      for (size_t i = 0; i < width; ++i) input[at + i] = filler;
    }
  }
}

std::string MakeInput(const Target& target, Random& random) {
  if (random.OneIn(10)) return RandomBytes(random, random.Below(300));
  std::string input = target.make(random);
  if (random.OneIn(4)) return input;
  for (uint64_t i = 1 + random.Below(4); i > 0; --i) Spoil(random, input);
  return input;
}

class FuzzTest : public testing::TestWithParam<Target> {};

TEST_P(FuzzTest, HoldsForSeededInputs) {
  const Target& target = GetParam();
  const uint64_t seed = FromEnvironment("TIFS_FUZZ_SEED", 20'240'601);
  const uint64_t runs = FromEnvironment("TIFS_FUZZ_RUNS", 20'000);
  std::printf("TIFS_FUZZ_SEED=%llu TIFS_FUZZ_RUNS=%llu\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(runs));
  Random random(seed);
  for (uint64_t run = 0; run < runs; ++run) {
    const std::string input = MakeInput(target, random);
    const size_t before = AllocatedBytes();
    const std::string problem = target.run(input);
    ASSERT_LE(AllocatedBytes() - before, (64 << 10) + 64 * input.size())
        << "run " << run << ": memory out of proportion, for \"" << EscapeForLog(input) << '"';
    ASSERT_EQ(problem, "") << "run " << run << ", for \"" << EscapeForLog(input) << '"';
  }
}

TEST_P(FuzzTest, IsDeterministic) {
  Random a(5), b(5);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(MakeInput(GetParam(), a), MakeInput(GetParam(), b));
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzTest,
                         testing::ValuesIn(AllTargets().begin(), AllTargets().end()),
                         [](const auto& target) { return target.param.name; });

}  // namespace
}  // namespace tifs::fuzz
