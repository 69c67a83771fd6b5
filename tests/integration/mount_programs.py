#!/usr/bin/env python3
"""mount.programs: real programs on a mount, with local input made on the spot and no network.

A case whose program is missing says SKIPPED and why. PATTERN selects cases whose name contains it.
"""

import os
import shutil
import sys
import time
import traceback

from mount_fixture import SKIP_EXIT_CODE, TestBed, parse_arguments, run_main
from program_cases import builds, copies, git, sqlite, tools
from program_cases.case import CaseFailed, CaseSkipped, Place


def all_cases(project):
    cases = [*git.CASES, *sqlite.CASES, *copies.CASES, *builds.CASES, *tools.CASES]
    return cases + [builds.project_case(project)]


def run_case(case, bed, mounted):
    """Returns "passed", "FAILED" or "SKIPPED", and why."""
    here = os.path.join(mounted.path, case.__name__)
    outside = bed.new_directory(case.__name__)
    os.mkdir(here)
    try:
        case(Place(here, outside, bed.long))
        return "passed", ""
    except CaseSkipped as reason:
        return "SKIPPED", str(reason)
    except CaseFailed as failure:
        return "FAILED", str(failure)
    except Exception:  # pylint: disable=broad-except
        return "FAILED", traceback.format_exc()
    finally:
        shutil.rmtree(here, ignore_errors=True)
        shutil.rmtree(outside, ignore_errors=True)


def configure(parser):
    parser.add_argument("--project", metavar="SOURCE", help="this project's source, to be built")
    parser.add_argument("pattern", nargs="*", metavar="PATTERN")


def main():
    arguments = parse_arguments(__doc__.splitlines()[0], configure)
    outcomes = {"passed": [], "FAILED": [], "SKIPPED": []}
    with TestBed.from_arguments(arguments) as bed:
        mounted = bed.new_mount(options=[] if bed.is_reference else ["suid", "dev"])
        for case in all_cases(arguments.project):
            if arguments.pattern and not any(word in case.__name__ for word in arguments.pattern):
                continue
            print(f"{case.__name__} ... ", end="", flush=True)
            began = time.monotonic()
            if not mounted.is_serving():
                mounted.recover()
            outcome, why = run_case(case, bed, mounted)
            outcomes[outcome].append((case.__name__, why))
            print(f"{outcome} ({time.monotonic() - began:.1f} s)", flush=True)
            if why:
                print(f"  {why}", flush=True)
    for outcome in ("SKIPPED", "FAILED"):
        for name, why in outcomes[outcome]:
            print(f"{outcome}: {name}: {why.splitlines()[0] if why else ''}")
    print(
        f"mount.programs: {len(outcomes['passed'])} passed, {len(outcomes['FAILED'])} failed, "
        f"{len(outcomes['SKIPPED'])} skipped",
        flush=True,
    )
    if outcomes["FAILED"]:
        return 1
    return 0 if outcomes["passed"] else SKIP_EXIT_CODE


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    run_main(main)
