#!/usr/bin/env python3
"""A mount on the real PD and a store by others: nothing is lost or wrong while the store is killed, regions split,
replies are lost and region errors come.

    peer_mount_test.py --tifs BINARY [--files N]
"""

import argparse
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "peer"))

from go_tool import Failure, Skipped  # noqa: E402
from peers import Peers  # noqa: E402

DEADLINE_S = 60


def tifs(binary, *arguments):
    result = subprocess.run([binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False, timeout=DEADLINE_S)
    if result.returncode:
        raise Failure(f"tifs {' '.join(arguments)}: exit {result.returncode}:\n{result.stdout}")
    return result.stdout


@contextlib.contextmanager
def mounted(binary, uri, path):
    os.mkdir(path)
    with subprocess.Popen([binary, "mount", uri, path, "--foreground"], stdin=subprocess.DEVNULL,
                          start_new_session=True) as process:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while not os.path.ismount(path):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure("the mount did not come up")
                time.sleep(0.02)
            yield
            tifs(binary, "umount", path)
            process.wait(DEADLINE_S)
        finally:
            if process.poll() is None:
                subprocess.run(["umount", "-l", path], check=False, stderr=subprocess.DEVNULL)
                process.kill()


def disturb(peers, failures):
    # The kill comes first: locks in this store do not survive one, so it may meet only commits in one phase; all are,
    # while the keys lie in one region.
    try:
        time.sleep(0.3)
        peers.kill("store")
        peers.up()
        for seed, kind in enumerate(["lost_after", "lost", "EpochNotMatch", "NotLeader", "ServerIsBusy"]):
            peers.add_fault({"method": "Kv*", "fault": kind, "permille": 10, "seed": seed, "backoff_ms": 5})
        # Keys of the first file systems of a cluster, in the middle of a scope or at its begin.
        for scope in range(5):
            peers.split(b"F\0\0\0\x01" + bytes([scope]))
    except Failure as failure:
        failures.append(failure)


def content(i):
    return hashlib.sha256(str(i).encode()).hexdigest() * (1 + i % 200)


def work(path, files, peers):
    failures = []
    disturber = threading.Thread(target=disturb, args=(peers, failures))
    disturber.start()
    os.mkdir(os.path.join(path, "sub"))
    for i in range(files):
        name = os.path.join(path, f"f{i}")
        with open(name, "w", encoding="ascii") as file:
            file.write(content(i))
        if i % 3 == 0:
            os.rename(name, os.path.join(path, "sub", f"f{i}"))
        elif i % 3 == 1:
            os.unlink(name)
    disturber.join()
    peers.clear_faults()
    if failures:
        raise failures[0]


def verify(path, files):
    def expect(folder, names):
        found = set(os.listdir(folder)) - {"sub"}
        if found != set(names):
            raise Failure(f"{folder}: {sorted(found ^ set(names))} are there, or are not")
        for name in names:
            with open(os.path.join(folder, name), encoding="ascii") as file:
                if file.read() != content(int(name[1:])):
                    raise Failure(f"{folder}/{name} is not what was written")

    expect(path, [f"f{i}" for i in range(files) if i % 3 == 2])
    expect(os.path.join(path, "sub"), [f"f{i}" for i in range(files) if i % 3 == 0])


def run(arguments, directory):
    peers = Peers(os.path.join(directory, "peers"))
    try:
        peers.up()
        uri = f"tikv://{peers.address('pd')}/trial"
        tifs(arguments.tifs, "format", uri)
        path = os.path.join(directory, "mnt")
        with mounted(arguments.tifs, uri, path):
            work(path, arguments.files, peers)
            verify(path, arguments.files)
        with mounted(arguments.tifs, uri, path + "2"):
            verify(path + "2", arguments.files)
        print(tifs(arguments.tifs, "fsck", uri, "-n"), end="")
    finally:
        peers.down()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tifs", required=True)
    parser.add_argument("--files", type=int, default=120)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not os.path.exists("/dev/fuse"):
        print("SKIPPED: needs /dev/fuse")
        return 77
    with tempfile.TemporaryDirectory(prefix="tikv_peer_mount.") as directory:
        try:
            run(arguments, directory)
        except Skipped as skipped:
            print(f"SKIPPED: {skipped}")
            return 77
        except Failure as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
