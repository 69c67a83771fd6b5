#!/usr/bin/env python3
"""mount.model: random sequences of system calls on a mount, on a plain directory and on the model.

The program `directory_model` makes the calls and compares: the same results, errnos and trees. With
the plain directory among them the model itself is on trial as well.
"""

import subprocess
import sys

from mount_fixture import MountFailure, TestBed, parse_arguments, run_main

STORES = ("4KiB", "64KiB")
SEED, RUNS, LONG_RUNS = 1, 8, 400
STEPS = 300
RUN_DEADLINE_S = 6000


def configure(parser):
    parser.add_argument("--program", required=True, help="the directory_model binary")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first sequence")
    parser.add_argument("--runs", type=int, help="sequences on each store")


def main():
    arguments = parse_arguments(__doc__, configure)
    runs = arguments.runs or (LONG_RUNS if arguments.long else RUNS)
    failed = 0
    with TestBed.from_arguments(arguments) as bed:
        plain = bed.new_directory("plain")
        for block_size in STORES:
            mounted = bed.new_mount(block_size=block_size)
            print(f"blocks of {block_size}: seeds from {arguments.seed} on, {runs} runs", flush=True)
            result = subprocess.run(
                [arguments.program, f"--seed={arguments.seed}", f"--runs={runs}", f"--steps={STEPS}",
                 *(["--kernel-first"] if bed.tikv else []), plain, mounted.path],
                stdin=subprocess.DEVNULL, timeout=RUN_DEADLINE_S, check=False,
            )
            failed += result.returncode != 0
            bed.discard(mounted)
    print(f"{len(STORES) - failed} passed, {failed} failed", flush=True)
    if failed:
        raise MountFailure("the mount and the model do not agree")


if __name__ == "__main__":
    sys.exit(run_main(main))
