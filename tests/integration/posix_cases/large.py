"""Directories of very many files."""

import os
import time

from posix_case import MIB, DirectoryStream, PosixCase

# What the documentation promises for any work; the largest directory must not change it.
MEMORY_LIMIT_BYTES = 512 * MIB
# Creating the last tenth may cost so many times the first: a cost that grows with the directory would
# be far beyond, while neighbours on a busy machine, and the store's own compactions, stay below.
SLOWEST_TO_FASTEST = 10


class LargeDirectoryTest(PosixCase):
    def test_a_directory_of_very_many_files(self):
        count = 1_000_000 if self.bed.long else 100_000
        mounted = self.new_mount(plain=True)
        directory = os.path.join(mounted.path, "large")
        os.mkdir(directory)
        fd = os.open(directory, os.O_RDONLY)
        self.addCleanup(self.close_quietly, fd)
        tenths = self.create(fd, count)
        first, last = tenths[0], tenths[-1]
        print(
            f"{count / 10 / first:.0f} creates/s at first, {count / 10 / last:.0f} at last; ",
            end="",
        )
        self.assertLess(last, first * SLOWEST_TO_FASTEST, "creating slows down")
        self.assert_listed(directory, count)
        self.assertEqual(os.stat(directory).st_nlink, 2)
        for index in (0, 1, count // 2, count - 1):
            os.stat(f"{index:07}.file", dir_fd=fd)
        self.assertFalse(os.path.exists(os.path.join(directory, f"{count:07}.file")))
        mounted_memory = mounted.peak_memory_bytes()
        if mounted_memory:
            print(f"{mounted_memory // MIB} MiB at most; ", end="")
            self.assertLess(mounted_memory, MEMORY_LIMIT_BYTES)
        os.close(fd)
        mounted.remount_fresh()
        self.assert_listed(directory, count)
        began = time.monotonic()
        with DirectoryStream(directory, 65536) as stream:
            for batch in stream.batches():
                for name, *_ in batch:
                    if name not in (b".", b".."):
                        os.unlink(name, dir_fd=stream.fd)
        print(f"{count / (time.monotonic() - began):.0f} unlinks/s; ", end="")
        os.rmdir(directory)

    @staticmethod
    def create(fd, count):
        """The seconds that each tenth took."""
        tenths = []
        for tenth in range(10):
            began = time.monotonic()
            for index in range(tenth * count // 10, (tenth + 1) * count // 10):
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
                os.close(os.open(f"{index:07}.file", flags, 0o644, dir_fd=fd))
            tenths.append(time.monotonic() - began)
        return tenths

    def assert_listed(self, directory, count):
        seen = bytearray(count)
        with DirectoryStream(directory, 65536) as stream:
            for batch in stream.batches():
                for name, *_ in batch:
                    if name not in (b".", b".."):
                        seen[int(name[:7])] += 1
        self.assertEqual(seen.count(1), count, "every entry once")
