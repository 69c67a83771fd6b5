#!/usr/bin/env python3
"""mount.pjdfstest: the whole suite of the crate `pjdfstest`, as root and as two users, on a mount.

What may fail stands in pjdfstest_expected.txt, each with its reason; anything else that fails is an
error, and so is a listed test that passes, or one that no longer exists.
"""

import os
import re
import subprocess
import sys

from mount_fixture import MountFailure, TestBed, parse_arguments, run_main
from rust_tool import install_crate

CRATE, VERSION, OLDEST_CARGO = "pjdfstest", "0.2.2", (1, 85)
EXPECTED_LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pjdfstest_expected.txt")
SUITE_DEADLINE_S = 900
# Fewer mean that a filter or a feature got lost on the way.
LEAST_TESTS = 390

# nobody and daemon exist on every Debian, so no user is ever created. The features left out are
# BSD's: chflags and its snapshot flag, NFSv4 ACLs, and st_birthtime in struct stat.
CONFIGURATION = """
[features]
posix_fallocate = {{}}
rename_ctime = {{}}
utime_now = {{}}
utimensat = {{}}

[settings]
naptime = 0.01
allow_remount = {allow_remount}

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"""

# The suite remounts by `mount -o remount,…`. mount(8) would hand that to the helper of the file
# system's type, which is not installed where only the build is tested; -i goes to the kernel, as
# the helper does.
MOUNT_SHIM = """#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec mount -i "$@"
"""

RESULT = re.compile(r"^(?P<name>[a-z]\S*::\S+)\s+(?P<outcome>ok|FAILED|skipped)$")


def read_expected(path):
    """{test: reason} from lines `test  reason`."""
    expected = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            name, _, reason = line.partition(" ")
            if not reason.strip():
                raise MountFailure(f"{path}: {name} has no reason")
            expected[name] = reason.strip()
    return expected


def parse_output(text):
    """{test: (outcome, detail)}; the lines after a result that are indented belong to it."""
    results, name = {}, None
    for line in text.splitlines():
        match = RESULT.match(line)
        if match:
            name = match["name"]
            results[name] = (match["outcome"], "")
        elif name and line.startswith("\t"):
            outcome, detail = results[name]
            results[name] = (outcome, (detail + " " + line.strip()).strip())
    return results


def work_directory(parent):
    """A directory whose length the suite can bear.

    It builds a path of PATH_MAX out of components of 126 bytes and subtracts one from the
    remainder, which underflows (and the test fails on any file system) where the remainder is
    nothing. It appends two names of 11 bytes itself.
    """
    name = "pjd"
    while (4095 - len(parent) - 1 - len(name) - 22) % 127 < 3:
        name += "x"
    path = os.path.join(parent, name)
    os.mkdir(path, 0o755)
    return path


def write_shim(bed):
    """A directory for PATH with the suite's `mount`."""
    shims = bed.new_directory("bin")
    with open(os.path.join(shims, "mount"), "w", encoding="utf-8") as file:
        file.write(MOUNT_SHIM)
        os.fchmod(file.fileno(), 0o755)
    return shims


def run_suite(bed, program, directories, patterns=(), allow_remount=False):
    """The results of the tests that match a pattern, or of all; `directories`: to work in, and one
    on another file system."""
    configuration = bed.new_path("pjdfstest.toml")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(allow_remount=str(allow_remount).lower()))
    path = write_shim(bed) + os.pathsep + os.environ["PATH"]
    command = [program, "-c", configuration, "-p", directories[0], "-s", directories[1], *patterns]
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(os.environ, PATH=path, NO_COLOR="1", RUST_BACKTRACE="0"),
        cwd="/",
        timeout=SUITE_DEADLINE_S,
        check=False,
    )
    results = parse_output(result.stdout)
    summary = re.search(r"(\d+) failed, (\d+) skipped, (\d+) passed, .*?(\d+) total", result.stdout)
    if not summary or int(summary[4]) != len(results):
        tail = "\n".join(result.stdout.splitlines()[-30:])
        raise MountFailure(
            f"pjdfstest did not run to its end: {len(results)} results, "
            f"exit {result.returncode}:\n{tail}"
        )
    return results


def run_some(bed, program, groups):
    """The tests of some groups, "chmod"."""
    mounted = bed.new_mount(options=["suid", "dev"])
    directories = (work_directory(mounted.path), bed.new_directory("other"))
    results = run_suite(bed, program, directories, [f"{group}::" for group in groups])
    for group in groups:
        if not any(name.startswith(group) for name in results):
            raise MountFailure(f"there are no tests of {group}")
    return results


def run_all(bed, program):
    # Device nodes that the suite makes and opens need `dev`, set-uid programs `suid`.
    mounted = bed.new_mount(options=[] if bed.is_reference else ["suid", "dev"])
    other = bed.new_mount(capacity="16MiB").path if bed.is_reference else bed.new_directory("other")
    directories = (work_directory(mounted.path), other)
    results = run_suite(bed, program, directories)
    if len(results) < LEAST_TESTS:
        raise MountFailure(f"only {len(results)} tests ran, there should be {LEAST_TESTS}")
    # A process that has run the other tests keeps a removed file open, on which a remount to
    # read-only is busy, on any file system: these get one of their own. A directory of the
    # machine's own file system must not be remounted at all.
    if not bed.is_reference:
        results |= run_suite(bed, program, directories, ["erofs_"], allow_remount=True)
    return results


def judge(results, expected):
    """Prints what counts and returns how many results are wrong."""
    by_outcome = {"ok": [], "FAILED": [], "skipped": []}
    for name, (outcome, _) in sorted(results.items()):
        by_outcome[outcome].append(name)
    failed = set(by_outcome["FAILED"])
    unexpected = sorted(failed - set(expected))
    cured = sorted(name for name in expected if results.get(name, ("", ""))[0] == "ok")
    unknown = sorted(set(expected) - set(results))
    for name in by_outcome["skipped"]:
        print(f"skipped: {name}: {results[name][1]}")
    for name in sorted(failed & set(expected)):
        print(f"failed as listed: {name}: {expected[name]}")
    for name in unexpected:
        print(f"FAILED: {name}: {results[name][1]}")
    for name in cured:
        print(f"FAILED: {name} passes, but pjdfstest_expected.txt lists it: take it out")
    for name in unknown:
        print(f"FAILED: {name} is listed in pjdfstest_expected.txt, but the suite has no such test")
    print(
        f"pjdfstest {VERSION}: {len(results)} ran or were skipped: {len(by_outcome['ok'])} passed, "
        f"{len(unexpected)} failed, {len(failed & set(expected))} failed as listed, "
        f"{len(by_outcome['skipped'])} skipped",
        flush=True,
    )
    return len(unexpected) + len(cured) + len(unknown)


def main():
    arguments = parse_arguments(
        __doc__.splitlines()[0],
        lambda parser: parser.add_argument("--only", action="append", help="a group of tests"),
    )
    with TestBed.from_arguments(arguments) as bed:
        program = install_crate(CRATE, VERSION, OLDEST_CARGO, bed.root)
        expected = {} if bed.is_reference else read_expected(EXPECTED_LIST)
        if arguments.only:
            return 1 if judge(run_some(bed, program, arguments.only), {}) else 0
        return 1 if judge(run_all(bed, program), expected) else 0


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    run_main(main)
