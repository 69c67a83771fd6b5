"""Time stamps: set, kept, moved by what must move them, and atime under each mount option."""

import errno
import os
import time

from posix_case import UTIME_NOW, UTIME_OMIT, PosixCase, in_child, utimensat

USER = "daemon"
SECOND = 10**9
OLD = 10**18  # 2001-09-09
# The kernel's coarse clock may lag behind the fine one by a tick.
TICK = 20_000_000


def times(path):
    status = os.lstat(path)
    return status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns


class SetTimesTest(PosixCase):
    def setUp(self):
        super().setUp()
        self.file = self.write_file("f", b"x", 0o644)

    def test_nanoseconds_and_far_years_are_kept(self):
        for stamp in (
            0,
            1,
            123456789,
            OLD + 987654321,
            -SECOND,
            -1,
            (1 - 2**31) * SECOND,
            (2**31 - 1) * SECOND + 999999999,
            2**31 * SECOND + 5,
            2**32 * SECOND + 7,
            2**33 * SECOND + 999999999,
        ):
            os.utime(self.file, ns=(stamp, stamp + 1))
            self.assertEqual(times(self.file)[:2], (stamp, stamp + 1))

    def test_now_and_omit(self):
        os.utime(self.file, ns=(OLD, OLD + 1))
        utimensat(self.file, (0, UTIME_OMIT), (7, 8))
        self.assertEqual(times(self.file)[:2], (OLD, 7 * SECOND + 8))
        utimensat(self.file, (9, 10), (0, UTIME_OMIT))
        self.assertEqual(times(self.file)[:2], (9 * SECOND + 10, 7 * SECOND + 8))
        before = time.time_ns() - TICK
        utimensat(self.file, (0, UTIME_NOW), (0, UTIME_OMIT))
        access, modification, _ = times(self.file)
        self.assertTrue(before <= access <= time.time_ns() + TICK)
        self.assertEqual(modification, 7 * SECOND + 8)
        utimensat(self.file, (1, 2), (0, UTIME_NOW))
        access, modification, change = times(self.file)
        self.assertEqual(access, SECOND + 2)
        self.assertTrue(before <= modification <= time.time_ns() + TICK)
        utimensat(self.file, (0, UTIME_OMIT), (0, UTIME_OMIT))
        self.assertEqual(times(self.file), (access, modification, change))
        self.assert_errno(errno.EINVAL, utimensat, self.file, (0, SECOND), (0, 0))

    def test_links_themselves_and_descriptors(self):
        os.utime(self.file, ns=(OLD, OLD))
        os.symlink("f", self.path("s"))
        utimensat(self.path("s"), (3, 4), (5, 6), follow=False)
        self.assertEqual(times(self.path("s"))[:2], (3 * SECOND + 4, 5 * SECOND + 6))
        self.assertEqual(times(self.file)[:2], (OLD, OLD))
        fd = self.open("f", os.O_RDONLY)
        os.utime(fd, ns=(11, 12))
        self.assertEqual(times(self.file)[:2], (11, 12))

    def test_who_may_set_times(self):
        os.chmod(self.file, 0o666)
        in_child(utimensat, self.file, (0, UTIME_NOW), (0, UTIME_NOW), user=USER)
        self.assert_errno(errno.EPERM, in_child, utimensat, self.file, (1, 0), (1, 0), user=USER)
        os.chmod(self.file, 0o644)
        self.assert_errno(
            errno.EACCES,
            in_child,
            utimensat,
            self.file,
            (0, UTIME_NOW),
            (0, UTIME_NOW),
            user=USER,
        )


class MovedTimesTest(PosixCase):
    def setUp(self):
        super().setUp()
        self.file = self.write_file("f", b"0123456789", 0o644)

    def moved(self, action):
        """Which of mtime and ctime the action moves."""
        os.utime(self.file, ns=(OLD, OLD))
        before = times(self.file)
        time.sleep(2 * TICK / SECOND)
        action()
        after = times(self.file)
        return "".join(letter for letter, a, b in zip("mc", before[1:], after[1:]) if a != b)

    def test_each_operation_moves_what_it_should(self):
        fd = self.open("f", os.O_RDWR)
        expected = {
            "write": (lambda: os.write(fd, b"y"), "mc"),
            "truncate": (lambda: os.truncate(self.file, 5), "mc"),
            "truncate to the same size": (lambda: os.ftruncate(fd, 5), "mc"),
            "allocate": (lambda: os.posix_fallocate(fd, 0, 100), "mc"),
            "chmod": (lambda: os.chmod(self.file, 0o600), "c"),
            "chown": (lambda: os.chown(self.file, 0, 0), "c"),
            "link": (lambda: os.link(self.file, self.path("g")), "c"),
            "unlink": (lambda: os.unlink(self.path("g")), "c"),
            "setxattr": (lambda: os.setxattr(self.file, "user.k", b"v"), "c"),
            "read": (lambda: os.pread(fd, 5, 0), ""),
            "fsync": (lambda: os.fsync(fd), ""),
            "open and close": (lambda: os.close(os.open(self.file, os.O_RDWR)), ""),
            "write of nothing": (lambda: os.write(fd, b""), ""),
            "stat": (lambda: os.stat(self.file), ""),
        }
        for name, (action, which) in expected.items():
            self.assertEqual(self.moved(action), which, name)

    def test_times_are_those_of_the_clock(self):
        before = time.time_ns() - TICK
        self.write_file("g", b"x")
        os.mkdir(self.path("d"))
        os.symlink("x", self.path("s"))
        after = time.time_ns() + TICK
        for name in ("g", "d", "s"):
            for stamp in times(self.path(name)):
                self.assertTrue(before <= stamp <= after, f"{name}: {before} {stamp} {after}")

    def test_times_set_after_a_write_outlive_close_and_remount(self):
        mounted = self.new_mount(plain=False)
        path = os.path.join(mounted.path, "f")
        with open(path, "wb", buffering=0) as file:
            file.write(b"x" * 100000)
            os.utime(file.fileno(), ns=(OLD + 1, OLD + 2))
        self.assertEqual(times(path)[:2], (OLD + 1, OLD + 2))
        with open(path, "rb+", buffering=0) as file:
            file.write(b"y" * 100)
        written = times(path)[1]
        self.assertGreater(written, OLD + 2)
        second = os.path.join(mounted.path, "g")
        self.run_program("cp", "-p", self.file, second)
        copied = times(second)[1]
        self.assertEqual(copied, times(self.file)[1])
        change = times(path)[2]
        mounted.remount_fresh()
        self.assertEqual(times(path)[1:], (written, change))
        self.assertEqual(times(second)[1], copied)


class AccessTimeTest(PosixCase):
    """Reads here are cold unless said: what the kernel's page cache answers reaches no FUSE server."""

    def mounted_file(self, option):
        mounted = self.new_mount(options=[option])
        path = os.path.join(mounted.path, "f")
        os.mkdir(os.path.join(mounted.path, "d"))
        self.write_file(path, b"x" * 300000)
        self.write_file(os.path.join(mounted.path, "d", "inside"))
        return mounted, path

    @staticmethod
    def read(path):
        if os.path.isdir(path):
            return os.listdir(path)
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        content = os.read(fd, 1000)
        os.close(fd)
        return content

    def assert_read_moves(self, path, moves, what):
        before = times(path)
        time.sleep(2 * TICK / SECOND)
        self.read(path)
        if moves:
            # atime is kept in batches, so it may come late, but it comes.
            self.eventually(lambda: times(path)[0] > before[0], f"{what}: atime moves", 10)
        else:
            time.sleep(0.3)
            self.assertEqual(times(path)[0], before[0], what)
        self.assertEqual(times(path)[1:], before[1:], f"{what}: the other times")

    def test_noatime_never_moves_it(self):
        mounted, path = self.mounted_file("noatime")
        os.utime(path, ns=(OLD, OLD + 5))
        self.assert_read_moves(path, False, "first read")
        self.assert_read_moves(os.path.join(mounted.path, "d"), False, "listing")
        mounted.remount_fresh()
        self.assert_read_moves(path, False, "after a remount")

    def test_relatime_moves_it_once_after_a_change(self):
        mounted, path = self.mounted_file("relatime")
        os.utime(path, ns=(OLD, OLD + 5))
        self.assert_read_moves(path, True, "atime is before mtime")
        self.assert_read_moves(path, False, "atime is after mtime and of today")
        with open(path, "ab") as file:
            file.write(b"more")
        self.assert_read_moves(path, True, "read after a write")
        directory = os.path.join(mounted.path, "d")
        os.utime(directory, ns=(OLD, OLD + 5))
        self.assert_read_moves(directory, True, "listing")

    def test_the_default_is_relatime(self):
        mounted = self.new_mount(plain=False)
        path = self.write_file(os.path.join(mounted.path, "f"), b"x")
        os.utime(path, ns=(OLD, OLD + 5))
        self.assert_read_moves(path, True, "atime is before mtime")
        self.assert_read_moves(path, False, "atime is after mtime and of today")

    def test_strictatime_moves_it_each_time(self):
        _, path = self.mounted_file("strictatime")
        os.utime(path, ns=(OLD, OLD + 5))
        for number in range(3):
            self.assert_read_moves(path, True, f"read {number}")

    def test_strictatime_sees_what_was_cached_when_it_is_opened_again(self):
        _, path = self.mounted_file("strictatime")
        os.utime(path, ns=(OLD, OLD + 5))
        for number in range(3):
            before = times(path)[0]
            time.sleep(2 * TICK / SECOND)
            self.assertEqual(len(self.read_file(path)), 300000)
            self.eventually(lambda: times(path)[0] > before, f"read {number}: atime moves", 10)

    def test_atime_outlives_an_unmount(self):
        mounted, path = self.mounted_file("strictatime")
        os.utime(path, ns=(OLD, OLD + 5))
        before = time.time_ns() - TICK
        self.read(path)
        mounted.remount_fresh(["noatime"])
        self.assertGreaterEqual(times(path)[0], before)
