"""Each rule of style_test.py, shown something that breaks it and something that does not."""

import unittest

import style_test
from cpp_outline import functions_of


def rules(problems):
    return [problem.rule for problem in problems]


class LayersTest(unittest.TestCase):
    def check(self, path, text):
        return rules(style_test.check_layers(path, text))

    def test_a_lower_folder_includes_no_higher_one(self):
        self.assertEqual(self.check("src/base/a.cc", '#include "kv/kv.h"\n'), ["layers"])
        self.assertEqual(self.check("src/kv/a.cc", '#include "base/result.h"\n'), [])

    def test_the_file_system_sees_the_seam_alone(self):
        self.assertEqual(self.check("src/fs/ops/a.cc", '#include "kv/mem_kv.h"\n'), ["layers"])
        self.assertEqual(self.check("src/fs/ops/a.cc", '#include "kv/rocks/rocks_kv.h"\n'), ["layers"])
        self.assertEqual(self.check("src/fs/ops/a.cc", '#include "kv/kv.h"\n#include "fs/records.h"\n'), [])

    def test_headers_of_others_are_confined(self):
        self.assertEqual(self.check("src/fs/a.cc", "#include <fuse3/fuse.h>\n"), ["confinement"])
        self.assertEqual(self.check("src/fs/a.cc", "#include <rocksdb/db.h>\n"), ["confinement"])
        self.assertEqual(self.check("src/fs/a.cc", "#include <boost/any.hpp>\n"), ["confinement"])
        self.assertEqual(self.check("src/cli/info_cmd.cc", "#include <rocksdb/db.h>\n"), ["confinement"])
        self.assertEqual(self.check("src/cli/assemble.cc", "#include <rocksdb/db.h>\n"), [])
        self.assertEqual(self.check("src/fs/a.cc", "#include <sys/stat.h>\n#include <vector>\n"), [])

    def test_a_unit_test_may_include_anything(self):
        self.assertEqual(self.check("src/fs/a_test.cc", '#include "kv/mem_kv.h"\n#include <gtest/gtest.h>\n'), [])
        self.assertEqual(self.check("src/fs/a.cc", "#include <gtest/gtest.h>\n"), ["confinement"])

    def test_a_new_folder_must_be_on_the_map(self):
        self.assertEqual(self.check("src/misc/a.cc", ""), ["layers"])

    def test_includes_are_written_from_src(self):
        self.assertEqual(self.check("src/fs/a.cc", '#include "records.h"\n'), ["layers"])
        self.assertEqual(self.check("src/cli/a.cc", '#include "../fs/records.h"\n'), ["layers"])


class FormTest(unittest.TestCase):
    def test_a_header_has_its_pragma_outside_a_comment(self):
        self.assertEqual(rules(style_test.check_cpp_form("src/base/a.h", "// #pragma once\n")), ["pragma"])
        self.assertEqual(rules(style_test.check_cpp_form("src/base/a.h", "#pragma once\n")), [])

    def test_commented_out_code_is_found_and_prose_is_not(self):
        self.assertEqual(rules(style_test.check_cpp_form("a.cc", "  // Call(x);\n")), ["comment"])
        self.assertEqual(rules(style_test.check_cpp_form("a.cc", "  // x = y;\n")), ["comment"])
        self.assertEqual(rules(style_test.check_cpp_form("a.cc", "// Holds the lock; the caller frees it;\n")), [])

    def test_empty_words_are_no_names(self):
        self.assertEqual(rules(style_test.check_cpp_form("a.cc", "class SessionManager {};\n")), ["names"])
        self.assertEqual(rules(style_test.check_cpp_form("a.cc", 'class CAPABILITY("x") LockInfo {};\n')), ["names"])
        self.assertEqual(rules(style_test.check_cpp_form("a.cc", "struct FileSystemInfo {};\n")), [])
        self.assertEqual(rules(style_test.check_names(["src/a/string_util.h"])), ["names"])
        self.assertEqual(rules(style_test.check_names(["src/a/file_data.h"])), [])

    def test_basenames_are_unique(self):
        self.assertEqual(rules(style_test.check_names(["src/a/x.cc", "src/b/x.cc"])), ["names"])
        self.assertEqual(rules(style_test.check_names(["src/a/x.cc", "src/a/x.h"])), [])

    def test_long_lines(self):
        self.assertEqual(rules(style_test.check_cpp_form("a.cc", "int " + "x" * 100 + ";\n")), ["columns"])

    def test_spaces_and_open_ends(self):
        self.assertEqual(rules(style_test.check_text("a.cc", "x \n")), ["spaces"])
        self.assertEqual(rules(style_test.check_text("a.cc", "\tx\n")), ["spaces"])
        self.assertEqual(rules(style_test.check_text("a.cc", "x")), ["spaces"])
        self.assertEqual(rules(style_test.check_text("a.cc", "x\n\n")), ["spaces"])
        self.assertEqual(rules(style_test.check_text("a.cc", "// TO" + "DO: later\n")), ["todo"])
        self.assertEqual(rules(style_test.check_text("a.cc", "// TO" + "DO(#12): later\n")), [])


FUNCTIONS = """
namespace a {
class B : public C {
 public:
  explicit B(int x) : x_{x} {
    one();
  }
  int x() const { return x_; }
  std::array<int, 2> pair_{1, 2};
};

template <typename T>
Result<T> Outer(T a,
                T b) {
  auto f = [&](int c) {
    return c;
  };
  // a brace in a comment {
  const char* s = "{";
  const char* r = R"(
{{)";
  char q = '{';
  return Wrap([] { return 1; });
}

constexpr int kTable[] = {
    1, Make(2),
};
const auto kLambda = Register({
    "x"});
bool operator==(const B& l, const B& r) {
  return true;
}
}  // namespace a
"""


class LengthTest(unittest.TestCase):
    def test_finds_each_function_and_nothing_else(self):
        found = {name: (first, last) for name, first, last in functions_of(FUNCTIONS)}
        self.assertEqual(found, {"B": (5, 7), "x": (8, 8), "Outer": (12, 24), "operator==": (31, 33)})

    def test_a_long_function_is_a_problem(self):
        body = "void Long() {\n" + "  x();\n" * 70 + "}\n"
        self.assertEqual(rules(style_test.check_lengths("a.cc", body)), ["length"])
        self.assertEqual(rules(style_test.check_lengths("a.cc", "void Short() {\n" + "  x();\n" * 68 + "}\n")), [])

    def test_a_long_file_is_a_problem(self):
        self.assertEqual(rules(style_test.check_lengths("a.cc", "int x;\n" * 601)), ["length"])
        self.assertEqual(rules(style_test.check_lengths("a.cc", "int x;\n" * 600)), [])


class PagesTest(unittest.TestCase):
    def links(self, text, pages):
        return rules(style_test.check_links("docs/A.md", text, pages.__contains__, pages.get))

    def test_a_link_leads_to_a_file_and_a_heading(self):
        pages = {"docs/B.md": "# Some `code` heading\n", "README.md": ""}
        self.assertEqual(self.links("[b](B.md) [r](../README.md) [w](https://example.invalid/)", pages), [])
        self.assertEqual(self.links("[b](B.md#some-code-heading)", pages), [])
        self.assertEqual(self.links("[b](B.md#another)", pages), ["links"])
        self.assertEqual(self.links("[c](C.md)", pages), ["links"])
        self.assertEqual(self.links("```\n[c](C.md)\n```\n`[c](C.md)`", pages), [])

    def test_a_walk_names_files_that_exist(self):
        exists = {"src/fs/records.cc"}.__contains__
        self.assertEqual(rules(style_test.check_walks("docs/WALKS.md", "`fs/records` `fs/gone`", exists)), ["walks"])


def main():
    result = unittest.TextTestRunner(verbosity=1).run(unittest.defaultTestLoader.loadTestsFromName(__name__))
    return 0 if result.wasSuccessful() else 1
