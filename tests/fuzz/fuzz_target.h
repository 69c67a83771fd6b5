#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/random.h"

// What both drivers run: the seeded one of every test run, and libFuzzer (README.md).
namespace tifs::fuzz {

// A parser under test, or a codec: any bytes at all go in.
struct Target {
  const char* name;
  // Feeds `input`, and says which property did not hold; empty: all did.
  std::string (*run)(std::string_view input);
  // A well-formed input, to be run as it is and to be spoiled.
  std::string (*make)(Random& random);
};

std::span<const Target> AllTargets();
std::span<const Target> SchemaTargets();
std::span<const Target> RecordTargets();
std::span<const Target> CommandLineTargets();
std::span<const Target> VolumeTargets();

// `size` bytes; half of the time from a small alphabet, so that neighbours and prefixes come up.
inline std::string RandomBytes(Random& random, size_t size) {
  const bool small = random.OneIn(2);
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(small ? "\x00\x01/a\xff"[random.Below(5)] : random.Below(256));
  }
  return bytes;
}

// Small, near a power of two, or anything.
inline uint64_t RandomInteger(Random& random) {
  switch (random.Below(3)) {
    case 0: return random.Below(4);
    case 1: return (uint64_t{1} << random.Below(64)) - random.Below(2);
    default: return random.Next();
  }
}

}  // namespace tifs::fuzz
