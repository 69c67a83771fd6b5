#include "base/check.h"

#include <gtest/gtest.h>

namespace tifs {
namespace {

TEST(CheckDeathTest, AbortsAndNamesTheConditionInEveryBuild) {
  CHECK(1 + 1 == 2);
  EXPECT_DEATH(CHECK(1 + 1 == 3), "check_test.cc:.*CHECK failed: 1 \\+ 1 == 3");
}

TEST(CheckDeathTest, ADebugCheckIsNotEvenEvaluatedInARelease) {
#ifdef NDEBUG
  int evaluated = 0;
  DCHECK(++evaluated == 0);
  EXPECT_EQ(evaluated, 0);
#else
  EXPECT_DEATH(DCHECK(false), "CHECK failed: false");
#endif
}

}  // namespace
}  // namespace tifs
