#!/usr/bin/env python3
"""Does each field that is GUARDED_BY a mutex get touched under it? Clang's analysis says; GCC has none.

    thread_safety_test.py COMPILE_COMMANDS_JSON
"""

import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

# Older ones do not parse what our standard library has of C++23.
NAMES = ["clang++-19", "clang++-20", "clang++-21", "clang++-18"]
SKIPPED = 77
ANALYSIS = ["-fsyntax-only", "-Wno-everything", "-Werror=thread-safety"]


def analysis_of(entry, clang):
    """What the compiler says against one file; empty if nothing."""
    given = shlex.split(entry["command"])
    flags = [word for word in given if re.match(r"-(D|I|std=)", word)]
    system = [word for before, word in zip(given, given[1:]) if before == "-isystem"]
    command = [clang, *ANALYSIS, *flags, *(f"-isystem{folder}" for folder in system), entry["file"]]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return result.stdout if result.returncode else ""


def main():
    clang = next((path for path in map(shutil.which, NAMES) if path), None)
    if not clang:
        print(f"SKIPPED: needs one of {', '.join(NAMES)}")
        return SKIPPED
    with open(sys.argv[1], encoding="utf-8") as file:
        entries = json.load(file)
    ours = [entry for entry in entries if "/src/" in entry["file"] and not entry["file"].endswith("_test.cc")]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        reports = list(pool.map(lambda entry: analysis_of(entry, clang), ours))
    for report in filter(None, reports):
        print(report)
    print(f"{len(ours)} files, {sum(map(bool, reports))} with problems")
    return 1 if any(reports) or not ours else 0


if __name__ == "__main__":
    sys.exit(main())
