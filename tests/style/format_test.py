#!/usr/bin/env python3
"""Is the C++ as clang-format 14, Debian 12's, would write it? `make format` makes it so."""

import os
import re
import shutil
import subprocess
import sys

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VERSION = "14"  # another one formats differently
FOLDERS = ["src", "tests", "bench"]
SKIPPED = 77


def clang_format():
    for name in (f"clang-format-{VERSION}", "clang-format"):
        path = shutil.which(name)
        if path and re.search(rf"version {VERSION}\.", subprocess.check_output([path, "--version"], text=True)):
            return path
    return None


def sources():
    for top in FOLDERS:
        for folder, _, names in os.walk(os.path.join(REPOSITORY, top)):
            yield from (os.path.join(folder, name) for name in names if name.endswith((".h", ".cc")))


def main():
    program = clang_format()
    if not program:
        print(f"SKIPPED: needs clang-format-{VERSION}")
        return SKIPPED
    command = [program, "-i"] if "--fix" in sys.argv else [program, "--dry-run", "--Werror", "--ferror-limit=1"]
    return subprocess.run([*command, *sorted(sources())], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
