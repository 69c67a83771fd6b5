#!/usr/bin/env python3
"""Is the house as docs/ARCHITECTURE.md says? Layers, sizes, names, links: what a reader relies on.

    style_test.py              checks the repository; prints PATH:LINE: RULE: WHAT, exits 1 on any
    style_test.py --self-test  checks that each rule catches what it is there for
"""

import argparse
import collections
import os
import re
import subprocess
import sys

from cpp_outline import blank_comments_and_strings, functions_of

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
MAX_COLUMNS = 100
MAX_COLUMNS_PYTHON = 120

# Files that may be longer than MAX_FILE_LINES, and functions (path:name) longer than MAX_FUNCTION_LINES, with
# today's length. The lists only ever shrink: an entry that is no longer needed, or too generous, is an error.
LONG_FILES = {}
LONG_FUNCTIONS = {}

# What each folder of src/ may include of ours: folders, or single headers. A unit's test may include anything.
LAYERS = {
    "base": ["base"],
    "kv": ["kv", "base"],
    "kv/rocks": ["kv/rocks", "kv", "base"],
    "kv/tikv": ["kv/tikv", "kv", "proto", "base"],
    "fs": ["fs", "fs/ops", "fs/data", "kv/kv.h", "kv/run_transaction.h", "base"],
    "fuse": ["fuse", "fs", "base"],
    "block": ["block", "base"],
    "volume": ["volume", "block", "base"],
    "rocksfs": ["rocksfs", "volume", "block", "base"],
    "sim": ["sim", "kv", "block", "fs/types.h", "fs/op_context.h", "base"],
    "cli": None,
}
LAYERS["fs/ops"] = LAYERS["fs/data"] = LAYERS["fs"]

# Where headers of other projects may be included: folders or files under src/.
THIRD_PARTY = {
    "fuse3/": ["fuse"],
    "fuse": ["fuse"],
    "rocksdb/": ["kv/rocks", "rocksfs", "sim", "cli/assemble.cc"],
    "google/protobuf/": ["kv/tikv"],
    "grpc": ["kv/tikv/grpc_transport.cc"],
    "spdlog/": ["base"],
    "fmt/": None,
    "xxhash.h": ["fs", "fs/data"],
    "liburing.h": ["block"],
    "nlohmann/": ["cli"],
    "blkid/": ["cli"],
    "CLI/": ["cli"],
    "prometheus/": ["cli"],
    "gtest/": [],
    "gmock/": [],
    "rapidcheck": [],
    "benchmark/": [],
}
# Those of the C library and of the kernel, which any folder may include.
SYSTEM_HEADERS = re.compile(r"^(sys/|linux/|arpa/|netinet/|net/|[a-z_0-9]+\.h$)")

BAD_ENDINGS = re.compile(r"(Manager|Helpers?|Utils?|Impl|Data|Info|Common)$")
BAD_FILE_ENDINGS = re.compile(r"_?(manager|helpers?|utils?|impl|data|info|common)$")
# Names that say just what is meant.
GOOD_NAMES = {"FileData", "FileSystemInfo", "file_data", "file_system_info"}

Problem = collections.namedtuple("Problem", "path line rule what")


def folder_of(path):
    """kv/rocks for src/kv/rocks/rocks_kv.cc."""
    return os.path.dirname(path).removeprefix("src/")


def is_test(path):
    return bool(re.search(r"_test(_\w+)?\.(cc|h)$", path)) or not path.startswith("src/")


def is_cpp(path):
    return path.endswith((".h", ".cc"))


def check_layers(path, text):
    if not path.startswith("src/") or is_test(path):
        return
    folder = folder_of(path)
    if folder not in LAYERS:
        yield Problem(path, 1, "layers", f"the folder {folder} is not on the map in tests/style/style_test.py")
        return
    allowed = LAYERS[folder]
    for number, line in enumerate(text.splitlines(), 1):
        include = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not include:
            continue
        header = include.group(2)
        if include.group(1) == '"':
            if "/" not in header or header.startswith("."):
                yield Problem(path, number, "layers", f'"{header}": include from src/, as "folder/file.h"')
            elif allowed is not None and header not in allowed and os.path.dirname(header) not in allowed:
                yield Problem(path, number, "layers", f'{folder} must not include "{header}"')
            continue
        yield from check_third_party(path, number, header)


def check_third_party(path, number, header):
    for prefix, places in THIRD_PARTY.items():
        if header.startswith(prefix):
            if places is not None and folder_of(path) not in places and path.removeprefix("src/") not in places:
                yield Problem(path, number, "confinement", f"<{header}> belongs in {places or 'tests'}, not here")
            return
    if "." in header and not SYSTEM_HEADERS.match(header):
        yield Problem(path, number, "confinement", f"<{header}>: no folder is allowed this header yet")


def check_cpp_form(path, text):
    code = blank_comments_and_strings(text)
    if path.endswith(".h") and not re.search(r"^\s*#pragma once$", code, re.MULTILINE):
        yield Problem(path, 1, "pragma", "no #pragma once")
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_COLUMNS and "http" not in line and not line.startswith("#include"):
            yield Problem(path, number, "columns", f"{len(line)} columns; at most {MAX_COLUMNS}")
        if re.match(r"\s*//\s*[\w:<>.*&\[\]()-]+(\s*=\s*|\s*\().*;\s*$", line):
            yield Problem(path, number, "comment", "code that is commented out")
    for match in re.finditer(r"\b(?:class|struct|enum|enum class)\s+(?:[A-Z_]+\([^)]*\)\s*|[A-Z_]+\s+)?(\w+)", code):
        name = match.group(1)
        if BAD_ENDINGS.search(name) and name not in GOOD_NAMES:
            yield Problem(path, line_of(code, match.start()), "names", f"{name}: say what it is or does")


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def check_text(path, text):
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield Problem(path, number, "spaces", "trailing spaces")
        if "\t" in line and os.path.basename(path) != "Makefile":
            yield Problem(path, number, "spaces", "a tab")
        if re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", line) and os.path.basename(path) != "style_test.py":
            yield Problem(path, number, "todo", "open an issue and write TODO(#number), or do it")
        if path.endswith(".py") and len(line) > MAX_COLUMNS_PYTHON:
            yield Problem(path, number, "columns", f"{len(line)} columns; at most {MAX_COLUMNS_PYTHON}")
    if text and not text.endswith("\n"):
        yield Problem(path, len(lines), "spaces", "no newline at the end")
    if text.endswith("\n\n"):
        yield Problem(path, len(lines), "spaces", "an empty line at the end")


def check_lengths(path, text):
    lines = text.count("\n")
    limit = LONG_FILES.get(path, MAX_FILE_LINES)
    if lines > limit:
        yield Problem(path, lines, "length", f"{lines} lines; at most {limit}")
    elif path in LONG_FILES and lines < limit:
        yield Problem(path, lines, "ratchet", f"now {lines} lines: lower LONG_FILES, or drop the entry")
    if not is_cpp(path):
        return
    seen = {}
    for name, first, last in functions_of(text):
        length = last - first + 1
        key = f"{path}:{name}"
        seen[key] = max(length, seen.get(key, 0))
        limit = LONG_FUNCTIONS.get(key, MAX_FUNCTION_LINES)
        if length > limit:
            yield Problem(path, first, "length", f"{name} has {length} lines; at most {limit}")
    for key, limit in LONG_FUNCTIONS.items():
        if key.startswith(path + ":") and seen.get(key, 0) < limit:
            yield Problem(path, 1, "ratchet", f"{key} now has {seen.get(key, 0)} lines: lower LONG_FUNCTIONS")


def check_names(paths):
    """Over all paths: basenames are unique, and none hides behind a word that says nothing."""
    places = collections.defaultdict(list)
    for path in paths:
        if is_cpp(path) and path.startswith("src/"):
            places[os.path.basename(path)].append(path)
    for basename, same in places.items():
        if len(same) > 1:
            yield Problem(same[1], 1, "names", f"{basename} is also {same[0]}")
        stem = re.sub(r"_(test|fuzz)$", "", os.path.splitext(basename)[0])
        if BAD_FILE_ENDINGS.search(stem) and stem not in GOOD_NAMES:
            yield Problem(same[0], 1, "names", f"{basename}: say what is in it")
        if not re.fullmatch(r"[a-z0-9_]+\.(h|cc)", basename):
            yield Problem(same[0], 1, "names", f"{basename}: snake_case, .h or .cc")


def anchors_of(text):
    """The anchors that GitHub makes of a page's headings."""
    anchors = set()
    for heading in re.findall(r"^#+\s+(.*?)\s*$", without_code_blocks(text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        anchors.add(plain.replace(" ", "-"))
    return anchors


def without_code_blocks(text):
    return re.sub(r"^```.*?^```", lambda block: "\n" * block.group(0).count("\n"), text,
                  flags=re.MULTILINE | re.DOTALL)


def check_links(path, text, exists, read):
    """Relative links of a page lead to a file, and to a heading in it where they name one."""
    prose = re.sub(r"`[^`\n]*`", "", without_code_blocks(text))
    for match in re.finditer(r"\[[^\]]*\]\(([^)\s]+)\)", prose):
        target = match.group(1)
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        if not exists(place):
            yield Problem(path, line_of(prose, match.start()), "links", f"{target}: there is no {place}")
        elif anchor and place.endswith(".md") and anchor not in anchors_of(read(place)):
            yield Problem(path, line_of(prose, match.start()), "links", f"{target}: no such heading")


def check_walks(path, text, exists):
    """Every file that docs/WALKS.md names exists: names are given from src/, without their ending."""
    for match in re.finditer(r"`((?:[a-z_]+/)+[a-z_]+(?:\.(?:h|cc))?)`", text):
        name = match.group(1)
        candidates = [f"src/{name}", f"src/{name}.cc", f"src/{name}.h", name]
        if not any(map(exists, candidates)):
            yield Problem(path, line_of(text, match.start()), "walks", f"{name}: no such file under src/")


def files_of_repository():
    """What is in version control or about to be: not what .gitignore names."""
    listing = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY,
                             stdout=subprocess.PIPE, check=False)
    if listing.returncode == 0:
        names = listing.stdout.decode().split("\0")
        return sorted(name for name in set(names) if name and os.path.isfile(os.path.join(REPOSITORY, name)))
    return sorted(files_below(REPOSITORY))  # an unpacked archive


def files_below(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".git", "build", "tifs-data", "__pycache__"))]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), root)


def read(path):
    with open(os.path.join(REPOSITORY, path), encoding="utf-8") as file:
        return file.read()


TEXT = re.compile(
    r"(\.(h|cc|def|py|md|sh|cmake|toml|yml|in|1|5|8|service)|CMakeLists\.txt|^tools/\w+|^\.ci/run|Makefile)$")


def check_repository():
    paths = files_of_repository()
    known = set(paths) | {os.path.dirname(path) for path in paths}
    problems = list(check_names(paths))
    for path in paths:
        if not TEXT.search(path):
            continue
        text = read(path)
        problems += check_text(path, text)
        if is_cpp(path) or path.endswith(".py"):
            problems += check_lengths(path, text)
        if is_cpp(path):
            problems += check_layers(path, text)
            problems += check_cpp_form(path, text)
        if path.endswith(".md"):
            problems += check_links(path, text, known.__contains__, read)
        if path == "docs/WALKS.md":
            problems += check_walks(path, text, known.__contains__)
    for path in set(LONG_FILES) - known:
        problems.append(Problem(path, 1, "ratchet", "LONG_FILES names a file that is gone"))
    return paths, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    if parser.parse_args().self_test:
        import style_self_test  # pylint: disable=import-outside-toplevel
        return style_self_test.main()
    paths, problems = check_repository()
    for problem in sorted(problems):
        print(f"{problem.path}:{problem.line}: {problem.rule}: {problem.what}")
    print(f"{len(paths)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
