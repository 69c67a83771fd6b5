#!/usr/bin/env python3
"""mount.crash: kill -9 of the mount process at random moments.

Workers change files and note on the machine's own disk what they begin and what has been synced.
After each kill fsck must find nothing, and the next mount must hold every synced change, and of the
one change of each worker that was under way either nothing or all. Two kinds may be there in part: of
a block that is overwritten in place, each sector is old or new; of an append, whole pages from its
beginning, because the kernel ends a WRITE request after a page that it had not cached whole. Kills
also hit the deletion and the cutting of large files: their space must come back.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import time

from mount_fixture import MountFailure, TestBed, parse_arguments, run_main, wait_until

WORKERS = 2
ROUNDS, LONG_ROUNDS = 12, 400
NAMES = 12
BLOCK, BLOCKS, SECTOR, PAGE = 4096, 64, 512, 4096
LARGE_BYTES = 48 << 20
SPACE_DEADLINE_S = 60


def configure(parser):
    parser.add_argument("--seed", type=int, help="of the moments and the changes")
    parser.add_argument("--rounds", type=int)


def pattern(worker, step, size):
    return random.Random(f"{worker}.{step}").randbytes(size)


def change_of(worker, step):
    """The change that a worker makes in its `step`th step: kind and what it is about."""
    choice = random.Random(f"change {worker}.{step}")
    kind = choice.choice(["replace", "replace", "append", "append", "overwrite", "unlink"])
    if kind == "replace":
        return kind, f"f{choice.randrange(NAMES)}", choice.choice([10, 3000, 5000, 70_000, 300_000])
    if kind == "append":
        return kind, "log", choice.choice([10, 100, 4000, 9000])
    if kind == "overwrite":
        return kind, "blocks", choice.randrange(BLOCKS)
    return kind, f"f{choice.randrange(NAMES)}", 0


def fsync_path(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_synced(path, flags, offset, data):
    fd = os.open(path, flags | os.O_WRONLY, 0o644)
    try:
        if offset is None:
            written = os.write(fd, data)
        else:
            written = os.pwrite(fd, data, offset)
        if written != len(data):
            raise OSError(f"{path}: short write")
        os.fsync(fd)
    finally:
        os.close(fd)


def make_change(directory, worker, step):
    kind, name, size = change_of(worker, step)
    path = os.path.join(directory, name)
    if kind == "replace":
        write_synced(path + ".new", os.O_CREAT | os.O_TRUNC, 0, pattern(worker, step, size))
        os.rename(path + ".new", path)
        fsync_path(directory)
    elif kind == "append":
        write_synced(path, os.O_APPEND, None, pattern(worker, step, size))
    elif kind == "overwrite":
        write_synced(path, 0, size * BLOCK, pattern(worker, step, BLOCK))
    else:
        # os.path.exists would take a dead mount for a missing file.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        fsync_path(directory)


def apply_change(state, worker, step):
    kind, name, size = change_of(worker, step)
    if kind == "replace":
        state[name] = pattern(worker, step, size)
    elif kind == "append":
        state[name] += pattern(worker, step, size)
    elif kind == "overwrite":
        at = size * BLOCK
        state[name] = state[name][:at] + pattern(worker, step, BLOCK) + state[name][at + BLOCK :]
    else:
        state.pop(name, None)


def run_worker(directory, manifest, worker, step):
    """Changes files until the mount dies under it."""
    notes = os.open(manifest, os.O_WRONLY | os.O_APPEND)
    try:
        while True:
            os.write(notes, f"begin {step}\n".encode())
            make_change(directory, worker, step)
            os.write(notes, f"synced {step}\n".encode())
            step += 1
    except OSError:
        os._exit(0)


def churn_space(directory):
    """Writes a large file and deletes it, or cuts it, again and again."""
    path = os.path.join(directory, "large")
    try:
        while True:
            write_synced(path, os.O_CREAT, 0, bytes(1) * LARGE_BYTES)
            os.truncate(path, 12345)
            write_synced(path, os.O_CREAT, 0, bytes(1) * LARGE_BYTES)
            os.unlink(path)
    except OSError:
        os._exit(0)


def read_all(directory):
    state = {}
    for name in os.listdir(directory):
        if not name.endswith(".new"):
            with open(os.path.join(directory, name), "rb") as file:
                state[name] = file.read()
    return state


def sectors_of(before, after, found):
    return len(found) == len(before) and all(
        found[at : at + SECTOR] in (before[at : at + SECTOR], after[at : at + SECTOR])
        for at in range(0, len(found), SECTOR)
    )


def pages_appended(before, after, found):
    return len(found) % PAGE == 0 and len(before) < len(found) and after.startswith(found)


class Worker:
    """One worker's directory, its manifest, and what the directory must hold."""

    def __init__(self, mounted, manifest, number):
        self.number = number
        self.manifest = manifest
        self.directory = os.path.join(mounted.path, f"worker{number}")
        self.step = 0
        os.mkdir(self.directory)
        self.state = {"log": b"", "blocks": bytes(BLOCK * BLOCKS)}
        for name, content in self.state.items():
            write_synced(os.path.join(self.directory, name), os.O_CREAT, 0, content or b"")
        fsync_path(self.directory)
        open(manifest, "wb").close()

    def start(self):
        os.truncate(self.manifest, 0)
        arguments = (self.directory, self.manifest, self.number, self.step)
        process = multiprocessing.Process(target=run_worker, args=arguments)
        process.start()
        return process

    def check(self):
        """Compares, and goes on from what is there; how many synced changes there were."""
        with open(self.manifest, encoding="ascii") as notes:
            lines = [line.split() for line in notes]
        synced = [int(step) for word, step in lines if word == "synced"]
        begun = [int(step) for word, step in lines if word == "begin"]
        for step in synced:
            apply_change(self.state, self.number, step)
        found = read_all(self.directory)
        if found != self.state:
            self._check_pending(found, begun[-1])
        self.state = found
        self.step = begun[-1] + 1 if begun else self.step
        return len(synced)

    def _check_pending(self, found, step):
        after = dict(self.state)
        apply_change(after, self.number, step)
        kind, name, _ = change_of(self.number, step)
        for other in sorted(set(found) | set(self.state)):
            actual, before = found.get(other), self.state.get(other)
            wanted = (before, after.get(other)) if other == name else (before,)
            in_part = {"overwrite": sectors_of, "append": pages_appended}.get(kind)
            torn = (in_part is not None and other == name and actual is not None
                    and in_part(before, after[name], actual))
            if actual not in wanted and not torn:
                sizes = [None if content is None else len(content) for content in (actual, *wanted)]
                raise MountFailure(
                    f"worker {self.number}, step {step} ({kind} {name}) was under way: '{other}' is "
                    f"not as synced (sizes: found, allowed: {sizes})"
                )


def used_bytes(path):
    usage = os.statvfs(path)
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize


def run_round(mounted, workers, churn, moments):
    processes = [worker.start() for worker in workers]
    processes.append(multiprocessing.Process(target=churn_space, args=(churn,)))
    processes[-1].start()
    time.sleep(moments.uniform(0.05, 1.2))
    os.kill(mounted.pid, signal.SIGKILL)
    mounted.unmounted_by_others()
    for process in processes:
        process.join(60)
        if process.is_alive():
            process.kill()
            raise MountFailure("a worker hangs on a dead mount")
    mounted.fsck()
    mounted.mount()
    return sum(worker.check() for worker in workers)


def main():
    arguments = parse_arguments(__doc__, configure)
    seed = arguments.seed if arguments.seed is not None else 1
    rounds = arguments.rounds or (LONG_ROUNDS if arguments.long else ROUNDS)
    print(f"seed {seed}, {rounds} rounds", flush=True)
    moments = random.Random(seed)
    with TestBed.from_arguments(arguments) as bed:
        mounted = bed.new_mount(capacity="512MiB")
        workers = [Worker(mounted, bed.new_path("manifest"), number) for number in range(WORKERS)]
        churn = os.path.join(mounted.path, "churn")
        os.mkdir(churn)
        synced = 0
        for _ in range(rounds):
            synced += run_round(mounted, workers, churn, moments)
        for name in os.listdir(churn):
            os.unlink(os.path.join(churn, name))
        kept = sum(len(content) + BLOCK for worker in workers for content in worker.state.values())
        if not wait_until(lambda: used_bytes(mounted.path) <= kept + LARGE_BYTES // 2,
                          SPACE_DEADLINE_S):
            raise MountFailure(f"{used_bytes(mounted.path)} bytes stay in use for {kept} of files")
        print(f"{rounds} kills, {synced} synced changes, all of them there", flush=True)
        if synced == 0:
            raise MountFailure("nothing was ever synced: the test tests nothing")
    print("1 passed, 0 failed", flush=True)


if __name__ == "__main__":
    sys.exit(run_main(main))
