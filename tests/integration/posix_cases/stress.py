"""Several processes at the same few names at once; what is left must add up."""

import errno
import os
import random
import stat
import time

from posix_case import (
    KIB,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    PosixCase,
    fallocate,
    names_in,
    renameat2,
    run_together,
)
from tree_manifest import describe_tree, difference

# What a race may answer. ESTALE, EIO and the like are faults.
FAIR = {
    errno.ENOENT,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EINVAL,
    errno.ELOOP,
    errno.ENODATA,
    errno.EPERM,
    errno.EBUSY,
}


class Stresser:
    """Random operations on names that all processes share."""

    def __init__(self, root, seed):
        self._root = root
        self._rng = random.Random(seed)
        self._open = []
        self.done = 0

    def path(self):
        depth = self._rng.randrange(3)
        parts = [f"d{self._rng.randrange(3)}" for _ in range(depth)]
        return os.path.join(self._root, *parts, f"n{self._rng.randrange(6)}")

    def directory(self):
        depth = self._rng.randrange(1, 3)
        return os.path.join(self._root, *(f"d{self._rng.randrange(3)}" for _ in range(depth)))

    def step(self):
        operation = self._rng.choice(self.OPERATIONS)
        try:
            operation(self)
            self.done += 1
        except OSError as error:
            if error.errno not in FAIR:
                name = errno.errorcode.get(error.errno, error.errno)
                raise AssertionError(f"{operation.__name__}: {name}: {error}") from error

    def write(self):
        fd = os.open(self.path(), os.O_CREAT | os.O_RDWR, 0o644)
        self._open.append(fd)
        os.pwrite(
            fd, self._rng.randbytes(self._rng.randrange(1, 90 * KIB)), self._rng.randrange(MAX)
        )
        if len(self._open) > 8:
            os.close(self._open.pop(self._rng.randrange(len(self._open))))

    def use_open(self):
        if not self._open:
            return
        fd = self._rng.choice(self._open)
        os.ftruncate(fd, self._rng.randrange(MAX))
        os.pread(fd, MAX, 0)
        fallocate(fd, 3, self._rng.randrange(MAX), 10000)  # punches a hole
        os.fstat(fd)

    def append(self):
        with open(self.path(), "ab", buffering=0) as file:
            file.write(b"appended")

    def exclusive(self):
        os.close(os.open(self.path(), os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    def unlink(self):
        os.unlink(self.path())

    def rename(self):
        os.rename(self.path(), self.path())

    def rename_flags(self):
        flag = self._rng.choice((RENAME_EXCHANGE, RENAME_NOREPLACE))
        renameat2(self.path(), self.path(), flag)

    def rename_directory(self):
        os.rename(self.directory(), self.directory())

    def link(self):
        os.link(self.path(), self.path())

    def symlink(self):
        os.symlink("n1", self.path())

    def mkdir(self):
        os.mkdir(self.directory())

    def mkdir_as_file(self):
        os.mkdir(self.path())

    def rmdir(self):
        os.rmdir(self._rng.choice((self.path(), self.directory())))

    def listing(self):
        for name in names_in(self.directory(), 512):
            if name.count(b"/") or not name:
                raise AssertionError(f"a name that is none: {name!r}")

    def attributes(self):
        path = self.path()
        os.chmod(path, self._rng.choice((0o600, 0o644, 0o755)))
        os.setxattr(path, "user.k", b"v" * self._rng.randrange(100))
        os.utime(path, ns=(1, 2))
        os.stat(path)

    def remove_xattr(self):
        os.removexattr(self.path(), "user.k")

    def sync(self):
        fd = os.open(self.path(), os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    OPERATIONS = [write] * 6 + [use_open] * 3 + [unlink] * 4 + [rename] * 4 + [listing] * 2
    OPERATIONS += [mkdir] * 4 + [append, exclusive, rename_flags, rename_directory, link, link]
    OPERATIONS += [symlink, mkdir_as_file, rmdir, rmdir, attributes, remove_xattr, sync]


MAX = 200 * KIB


def stress(index, root, seed, seconds):
    stresser = Stresser(root, seed + index)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(50):
            stresser.step()
    return stresser.done


class StressTest(PosixCase):
    def test_processes_at_the_same_names_leave_a_sound_tree(self):
        seconds = 60 if self.bed.long else 8
        seed = random.SystemRandom().randrange(1 << 32) if self.bed.long else 20240229
        print(f"seed {seed}; ", end="", flush=True)
        mounted = self.new_mount(plain=False)
        root = os.path.join(mounted.path, "root")
        os.mkdir(root)
        done = run_together(4, stress, root, seed, seconds)
        print(f"{sum(done)} operations; ", end="")
        self.assertGreater(sum(done), 1000)
        before = describe_tree(root, with_identity=True)
        self.assert_counts(root)
        mounted.remount_fresh()  # and fsck, when the case ends
        self.assertEqual(difference(before, describe_tree(root, with_identity=True)), "")
        self.assert_counts(root)

    def assert_counts(self, root):
        """Every link count is the number of names that there are."""
        names, links = {}, {}
        for directory, directories, files in os.walk(root):
            real = [d for d in directories if not os.path.islink(os.path.join(directory, d))]
            self.assertEqual(os.stat(directory).st_nlink, 2 + len(real), directory)
            for name in files + directories:
                status = os.lstat(os.path.join(directory, name))
                if not stat.S_ISDIR(status.st_mode):
                    names[status.st_ino] = names.get(status.st_ino, 0) + 1
                    links[status.st_ino] = status.st_nlink
        self.assertEqual(names, links)
