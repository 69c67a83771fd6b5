#!/usr/bin/env python3
"""mount.fsx: the crate `fsx` on mounts of several block sizes, with fixed seeds.

Each run is one file, one mix of operations and one seed; two run side by side, as neighbours do.
When all have ended, the store is mounted afresh and every file must read as it did before.
"""

import concurrent.futures
import hashlib
import os
import subprocess
import sys

from mount_fixture import MountFailure, TestBed, parse_arguments, run_main
from rust_tool import install_crate

CRATE, VERSION, OLDEST_CARGO = "fsx", "0.3.2", (1, 82)
RUN_DEADLINE_S = 1800
# (block size, mount options)
STORES = (("4KiB", []), ("64KiB", []), ("1MiB", []), ("64KiB", ["sync"]))

# All that the crate can do; `invalidate` is msync(MS_INVALIDATE).
WEIGHTS = {
    "close_open": 1,
    "read": 10,
    "write": 10,
    "mapread": 5,
    "mapwrite": 10,
    "invalidate": 1,
    "truncate": 6,
    "fsync": 1,
    "fdatasync": 1,
    "posix_fallocate": 4,
    "punch_hole": 6,
    "sendfile": 3,
    "posix_fadvise": 2,
    "copy_file_range": 5,
}
# name: (file length, operation size at most, alignment, changed weights)
MIXES = {
    "mixed": (256 << 10, 64 << 10, 1, {}),
    # Around the border between a file kept in its inode and one in blocks.
    "small": (24 << 10, 3 << 10, 1, {"truncate": 12}),
    "large": (8 << 20, 1 << 20, 1, {"mapread": 2}),
    # Aligned, the crate draws lengths of nothing, which posix_fallocate must refuse.
    "pages": (1 << 20, 128 << 10, 4096, {"punch_hole": 15, "posix_fallocate": 0}),
    "reopen": (
        512 << 10,
        48 << 10,
        1,
        {"close_open": 15, "fsync": 5, "fdatasync": 5, "invalidate": 5},
    ),
}
SEEDS, OPERATIONS = (1, 20240229), 5000
# The crate never unmaps what it maps to read, so a run must stay below vm.max_map_count (65,530) of
# those.
LONG_SEEDS, LONG_OPERATIONS = (1, 2, 3, 5, 8, 13, 20240229, 4294967291), 150000


def write_configuration(path, mix):
    length, largest, alignment, changed = MIXES[mix]
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            f"flen = {length}\n[opsize]\nmin = 1\nmax = {largest}\nalign = {alignment}\n[weights]\n"
        )
        for name, weight in {**WEIGHTS, **changed}.items():
            file.write(f"{name} = {weight}\n")


def run_fsx(program, configuration, path, seed, operations, artifacts, more=()):
    command = [
        program,
        "-f",
        configuration,
        "-S",
        str(seed),
        "-N",
        str(operations),
        "-P",
        artifacts,
        *more,
        path,
    ]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=RUN_DEADLINE_S,
        check=False,
    )


def prove_that_it_can_fail(bed, program, configuration):
    """A fault injected into one step must be found; one step in a few is a write and can carry
    it.
    """
    path = bed.new_path("injected")
    for step in range(50, 90):
        if run_fsx(
            program, configuration, path, 1, 2000, bed.root, ["--inject", str(step)]
        ).returncode:
            return
    raise MountFailure("fsx does not notice injected faults")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_store(bed, program, configurations, store, seeds, operations):
    """Runs all mixes and seeds on one store; returns (passed, failed)."""
    block_size, options = store
    mounted = bed.new_mount(block_size=block_size, options=options)
    artifacts = bed.new_directory("fsx-artifacts")
    runs = [
        (mix, seed, os.path.join(mounted.path, f"{mix}.{seed}")) for seed in seeds for mix in MIXES
    ]

    def run(job):
        mix, seed, path = job
        try:
            return run_fsx(program, configurations[mix], path, seed, operations, artifacts)
        except subprocess.TimeoutExpired as error:
            return error

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (mix, seed, _), result in zip(runs, pool.map(run, runs)):
            if isinstance(result, subprocess.TimeoutExpired) or result.returncode:
                failed += 1
                said = result if isinstance(result, Exception) else result.stdout[-6000:]
                print(
                    f"FAILED: block size {block_size}, mix {mix}, seed {seed}:\n{said}", flush=True
                )
    before = {path: digest(path) for _, _, path in runs if os.path.exists(path)}
    mounted.remount_fresh()
    for path, hexdigest in before.items():
        if digest(path) != hexdigest:
            failed += 1
            print(
                f"FAILED: block size {block_size}: "
                f"{os.path.basename(path)} reads otherwise after a remount"
            )
    bed.discard(mounted)
    return len(runs), failed


def main():
    arguments = parse_arguments(
        __doc__.splitlines()[0],
        lambda parser: parser.add_argument("--operations", type=int, metavar="N"),
    )
    seeds, operations = (LONG_SEEDS, LONG_OPERATIONS) if arguments.long else (SEEDS, OPERATIONS)
    operations = arguments.operations or operations
    with TestBed.from_arguments(arguments) as bed:
        program = install_crate(CRATE, VERSION, OLDEST_CARGO, bed.root)
        configurations = {}
        for mix in MIXES:
            configurations[mix] = bed.new_path(f"{mix}.toml")
            write_configuration(configurations[mix], mix)
        prove_that_it_can_fail(bed, program, configurations["mixed"])
        total = total_failed = 0
        for store in STORES[:1] if bed.is_reference else STORES:
            ran, failed = run_store(bed, program, configurations, store, seeds, operations)
            print(
                f"fsx {VERSION}: block size {store[0]}, options {','.join(store[1]) or 'none'}: "
                f"{ran} runs of {operations} operations, seeds "
                f"{', '.join(map(str, seeds))}: {failed} failed",
                flush=True,
            )
            total, total_failed = total + ran, total_failed + failed
        print(f"fsx: {total - total_failed} passed, {total_failed} failed, 0 skipped", flush=True)
        return 1 if total_failed else 0


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    run_main(main)
