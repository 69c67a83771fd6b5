#!/usr/bin/env python3
"""mount.shared: one file system in a cluster, mounted twice on this machine.

What one mount does the other sees at once; who has a file open keeps it; the commands know of both.
"""

import json
import os
import subprocess
import sys
import unittest

from mount_fixture import MountFailure, Mounted, TestBed, parse_arguments, run_main, wait_until

WRITERS, APPENDS = 4, 40
# A session's heartbeats come every 2 s; an unlinked file is reclaimed after two of them.
RECLAIM_DEADLINE_S = 20


class Another(Mounted):
    """Another mount of the file system that `first` has mounted."""

    def __init__(self, bed, first):  # pylint: disable=super-init-not-called
        self._bed = bed
        self.store = bed.new_path("store")
        self.path = bed.new_directory("mnt")
        self.log_path = bed.new_path("log")
        self.uri = first.uri
        self.device = None
        self.options = []
        self.pid = None
        self._process = None
        self._ever_mounted = False
        bed.guard("mount", self.path)


def append_lines(path, writer):
    """A process that appends to a file that others append to."""
    program = (
        "import os, sys\n"
        f"fd = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        f"for i in range({APPENDS}):\n"
        f"    os.write(fd, b'writer {writer} line %d\\n' % i)\n"
    )
    return subprocess.Popen([sys.executable, "-c", program])


class SharedCase(unittest.TestCase):
    bed = first = second = None

    def tifs(self, *arguments, code=0):
        result = self.bed.run_tifs(*arguments)
        self.assertEqual(result.returncode, code, result.stdout)
        return result.stdout

    def paths(self, name):
        return os.path.join(self.first.path, name), os.path.join(self.second.path, name)

    def write(self, path, data):
        with open(path, "wb") as file:
            file.write(data)

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def test_appends_of_many_processes_lose_nothing(self):
        one, two = self.paths("log")
        processes = [append_lines((one, two)[i % 2], i) for i in range(WRITERS)]
        self.assertEqual([process.wait(60) for process in processes], [0] * WRITERS)
        lines = self.read(one).decode().splitlines()
        expected = [f"writer {w} line {i}" for w in range(WRITERS) for i in range(APPENDS)]
        self.assertEqual(sorted(lines), sorted(expected))
        self.assertEqual(self.read(two).decode().splitlines(), lines)

    def test_what_one_does_the_other_sees_at_once(self):
        one, two = self.paths("f")
        self.write(one, b"one")
        self.assertEqual(self.read(two), b"one")
        reader = os.open(two, os.O_RDONLY)
        status = os.stat(two)
        # The same size, and the old times again.
        self.write(one, b"two")
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertEqual(os.pread(reader, 10, 0), b"two")
        self.assertEqual(self.read(two), b"two")
        os.close(reader)
        os.unlink(two)
        self.assertFalse(os.path.exists(one))
        self.write(two, b"another")
        self.assertEqual(self.read(one), b"another")
        os.mkdir(one + "d")
        os.rename(two, os.path.join(two + "d", "moved"))
        self.assertEqual(os.listdir(one + "d"), ["moved"])
        with self.assertRaises(FileExistsError):
            os.close(os.open(os.path.join(one + "d", "moved"), os.O_CREAT | os.O_EXCL))
        with self.assertRaises(OSError):
            os.rmdir(two + "d")

    def test_an_unlinked_file_is_there_as_long_as_another_mount_has_it_open(self):
        one, two = self.paths("open")
        self.write(one, b"x" * 100_000)
        used = os.statvfs(self.first.path)
        files = used.f_files - used.f_ffree
        reader = os.open(two, os.O_RDWR)
        os.unlink(one)
        wait_until(lambda: self.holds() == 1, RECLAIM_DEADLINE_S)
        self.assertEqual(self.holds(), 1)
        self.assertEqual(os.pread(reader, 10, 99_995), b"x" * 5)
        os.pwrite(reader, b"still", 0)
        self.assertEqual(os.pread(reader, 5, 0), b"still")
        os.close(reader)

        def is_reclaimed():
            now = os.statvfs(self.first.path)
            return self.holds() == 0 and now.f_files - now.f_ffree < files

        self.assertTrue(wait_until(is_reclaimed, RECLAIM_DEADLINE_S, 0.2), "it was not reclaimed")

    def sessions(self):
        return json.loads(self.tifs("sessions", self.first.uri, "--json"))["sessions"]

    def holds(self):
        return sum(session["holds"] for session in self.sessions())

    def test_the_commands_know_of_both(self):
        sessions = self.sessions()
        self.assertEqual({one["mount_point"] for one in sessions},
                         {self.first.path, self.second.path})
        self.assertEqual({one["pid"] for one in sessions}, {self.first.pid, self.second.pid})
        for mounted in (self.first, self.second):
            info = json.loads(self.tifs("info", mounted.path, "--json"))
            self.assertEqual(info["mounted"]["pid"], mounted.pid)
        self.assertIn("alive", self.tifs("sessions", self.first.path))
        name = self.first.uri.rsplit("/", 1)[1]
        self.assertIn("mounted", self.tifs("destroy", self.first.uri, "--name", name, code=1))
        self.assertIn("mounted", self.tifs("format", self.first.uri, "--force", "--yes", code=1))
        self.assertIn("mounted", self.tifs("fsck", "-y", self.first.uri, code=8))
        self.tifs("fsck", "-n", self.first.uri)
        self.assertIn(name, self.tifs("list", self.first.uri.rsplit("/", 1)[0]))

    def test_one_that_is_evicted_joins_anew(self):
        if not self.bed.long:
            self.skipTest("takes as long as a session's timeout")
        one, two = self.paths("evicted")
        self.write(one, b"1")
        before = {s["mount_point"]: s["id"] for s in self.sessions()}
        self.tifs("sessions", self.first.uri, "--evict", str(before[self.second.path]))

        def is_back():
            now = {s["mount_point"]: s["id"] for s in self.sessions()}
            return now.get(self.second.path, 0) > before[self.second.path]

        self.assertTrue(wait_until(is_back, RECLAIM_DEADLINE_S, 0.2), "it did not join anew")
        self.write(two, b"2")
        self.assertEqual(self.read(one), b"2")


def destroy(bed, uri):
    result = bed.run_tifs("destroy", uri, "--name", uri.rsplit("/", 1)[1])
    if result.returncode:
        raise MountFailure(f"destroy: {result.stdout}")
    if uri.rsplit("/", 1)[1] in bed.run_tifs("list", uri.rsplit("/", 1)[0]).stdout:
        raise MountFailure("a file system that was destroyed is listed")


def main():
    arguments = parse_arguments(
        __doc__.splitlines()[0],
        lambda parser: parser.add_argument("pattern", nargs="*", metavar="PATTERN"),
    )
    if not arguments.tikv:
        raise MountFailure("give --tikv: an embedded store has one mount")
    with TestBed.from_arguments(arguments) as bed:
        SharedCase.bed = bed
        SharedCase.first = bed.new_mount()
        SharedCase.second = Another(bed, SharedCase.first)
        SharedCase.second.mount()
        try:
            loader = unittest.TestLoader()
            loader.testNamePatterns = [f"*{pattern}*" for pattern in arguments.pattern] or None
            suite = loader.loadTestsFromTestCase(SharedCase)
            result = unittest.TextTestRunner(sys.stdout, verbosity=2).run(suite)
        finally:
            SharedCase.second.close()
        uri = SharedCase.first.uri
        bed.discard(SharedCase.first)
        destroy(bed, uri)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    run_main(main)
