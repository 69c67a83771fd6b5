#include "cli/output.h"

#include <gtest/gtest.h>

namespace tifs::cli {
namespace {

TEST(ExplainedTest, SaysWhatWhyAndTheWayOut) {
  EXPECT_EQ(ErrorText(Explained(ErrorCode::kBusy, "/srv/d", "mounted", "unmount it")),
            "/srv/d: mounted; unmount it");
  EXPECT_EQ(ErrorText(Explained(ErrorCode::kBusy, "/srv/d", "mounted")), "/srv/d: mounted");
}

TEST(ExplainedTest, AnErrorFromBelowGetsASubject) {
  EXPECT_EQ(ErrorText(ExplainedAs("/mnt", ErrorFromErrno(EACCES, "open"))),
            "/mnt: open: Permission denied");
  EXPECT_EQ(ErrorText(ExplainedAs("/mnt", Error(ErrorCode::kNoSpace, "write"))),
            "/mnt: write: No space left on device");
}

TEST(ExplainedTest, AnExplainedErrorStays) {
  EXPECT_EQ(ErrorText(ExplainedAs("other", Explained(ErrorCode::kBusy, "a", "b", "c"))), "a: b; c");
}

TEST(EscapedTest, LeavesTextThatIsHarmless) {
  EXPECT_EQ(Escaped("plain name.txt"), "plain name.txt");
  EXPECT_EQ(Escaped("r\u00e4uber \u4e2d\u6587 \U0001F600"), "r\u00e4uber \u4e2d\u6587 \U0001F600");
}

TEST(EscapedTest, DisarmsWhatDrivesTerminalsAndLogs) {
  EXPECT_EQ(Escaped("a\nb"), "a\\nb");
  EXPECT_EQ(Escaped("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(Escaped("\\x41"), "\\\\x41");
  EXPECT_EQ(Escaped(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(Escaped("\x7f"), "\\x7f");
  EXPECT_EQ(Escaped("\u009b"), "\\xc2\\x9b") << "C1 controls";
  EXPECT_EQ(Escaped("\u202e"), "\\xe2\\x80\\xae") << "right-to-left override";
}

TEST(EscapedTest, WritesWhatIsNotUtf8InBytes) {
  EXPECT_EQ(Escaped("\xff"), "\\xff");
  EXPECT_EQ(Escaped("\xc3"), "\\xc3") << "cut off";
  EXPECT_EQ(Escaped("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(Escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(Escaped("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond Unicode";
}

TEST(ShellQuotedTest, QuotesWhereNeeded) {
  EXPECT_EQ(ShellQuoted("/mnt/a-b"), "/mnt/a-b");
  EXPECT_EQ(ShellQuoted("a b"), "'a b'");
  EXPECT_EQ(ShellQuoted("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellQuoted(""), "''");
  EXPECT_EQ(ShellQuoted("a\x1b'\\"), "$'a\\x1b\\'\\\\'");
}

TEST(TableTest, AlignsItsColumns) {
  Table table({{"name"}, {"n", Table::Align::kRight}});
  table.AddRow({"\u00e4", "5"});
  table.AddRow({"longer", "123"});
  EXPECT_EQ(table.ToString(),
            "name      n\n"
            "\u00e4         5\n"
            "longer  123\n");
}

TEST(TableTest, WithoutTitlesHasNoHead) {
  Table table({{""}, {""}});
  table.AddRow({"a", "b"});
  EXPECT_EQ(table.ToString(), "a  b\n");
}

}  // namespace
}  // namespace tifs::cli
