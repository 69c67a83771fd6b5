#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string_view>

namespace tifs {
namespace {

TEST(Utf8Test, TakesCharactersOfEveryLength) {
  EXPECT_EQ(PrintableUtf8Length("a\xc3"), 1u);
  EXPECT_EQ(PrintableUtf8Length("\xc3\xb6\xc3"), 2u);       // o with diaeresis
  EXPECT_EQ(PrintableUtf8Length("\xe2\x82\xac"), 3u);       // the euro sign
  EXPECT_EQ(PrintableUtf8Length("\xf0\x9f\x98\x80 "), 4u);  // a face
  EXPECT_TRUE(IsPrintableUtf8(""));
  EXPECT_TRUE(
      IsPrintableUtf8("gr\xc3\xb6\xc3\x9f"
                      "e \\ 1"));
}

TEST(Utf8Test, RefusesWhatIsNoCharacter) {
  for (std::string_view text : {"\x80", "\xc3", "\xc0\xaf", "\xe2\x82", "\xe0\x80\xaf",
                                "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_EQ(PrintableUtf8Length(text), 0u);
    EXPECT_FALSE(IsPrintableUtf8(text));
  }
}

TEST(Utf8Test, RefusesWhatDrivesTerminals) {
  for (std::string_view text :
       {"\n", "\x1b[31m", "\x7f", "\xc2\x85", "\xe2\x80\x8f", "\xe2\x80\xae", "\xe2\x81\xa9"}) {
    EXPECT_EQ(PrintableUtf8Length(text), 0u);
  }
}

}  // namespace
}  // namespace tifs
