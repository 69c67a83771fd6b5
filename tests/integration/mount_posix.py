#!/usr/bin/env python3
"""mount.posix: our own tests of what other file systems get wrong and pjdfstest does not cover.

The cases stand in posix_cases/, one file a subject. PATTERN selects cases whose name contains it.
"""

import faulthandler
import importlib
import os
import pkgutil
import sys
import time
import unittest

import posix_cases
from mount_fixture import SKIP_EXIT_CODE, TestBed, parse_arguments, run_main
from posix_case import PosixCase

# A case that waits on a file system that does not answer cannot be ended otherwise.
CASE_DEADLINE_S, LONG_CASE_DEADLINE_S = 300, 3600


class Result(unittest.TestResult):
    """One line a case, with its time; the reasons at once."""

    def __init__(self, deadline_s):
        super().__init__()
        self._deadline_s = deadline_s
        self._started = 0
        self.passed = 0

    @staticmethod
    def _name(test):
        return test.id().removeprefix("posix_cases.")

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(self._deadline_s, exit=True)
        self._started = time.monotonic()
        print(f"{self._name(test)} ... ", end="", flush=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)

    def _say(self, outcome):
        print(f"{outcome} ({time.monotonic() - self._started:.2f} s)", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        self._say("ok")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._say("FAILED")
        print(self.failures[-1][1], flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        self._say("FAILED")
        print(self.errors[-1][1], flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say(f"skipped: {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            print(f"\n  {subtest.id()}:\n{(self.failures + self.errors)[-1][1]}", flush=True)


def load_cases(patterns):
    loader = unittest.TestLoader()
    suite = unittest.TestSuite()
    for module in pkgutil.iter_modules(posix_cases.__path__):
        loaded = importlib.import_module(f"posix_cases.{module.name}")
        for group in loader.loadTestsFromModule(loaded):
            for case in group:
                if not patterns or any(pattern in case.id() for pattern in patterns):
                    suite.addTest(case)
    return suite


def main():
    arguments = parse_arguments(
        __doc__.splitlines()[0],
        lambda parser: parser.add_argument("pattern", nargs="*", metavar="PATTERN"),
    )
    os.umask(0o022)
    with TestBed.from_arguments(arguments) as bed:
        PosixCase.bed = bed
        PosixCase.shared = bed.new_mount(options=[] if bed.is_reference else ["suid", "dev"])
        result = Result(LONG_CASE_DEADLINE_S if bed.long else CASE_DEADLINE_S)
        load_cases(arguments.pattern).run(result)
        failed = {test.id() for test, _ in result.failures + result.errors}
        for test, reason in result.skipped:
            print(f"skipped: {test.id().removeprefix('posix_cases.')}: {reason}")
        print(
            f"mount.posix: {result.passed} passed, {len(failed)} failed, "
            f"{len(result.skipped)} skipped",
            flush=True,
        )
    if failed:
        return 1
    return 0 if result.passed else SKIP_EXIT_CODE


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    run_main(main)
