"""flock(2), fcntl(2) ranges and open file description locks, between processes."""

import errno
import fcntl
import os
import signal
import struct
import time

from posix_case import PosixCase, in_child, run_together

EX_NOW, SH_NOW = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB
TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
# l_type, l_whence, l_start, l_len, l_pid of struct flock on 64-bit Linux.
FLOCK = struct.Struct("hhqqi4x")


def open_file(state, path):
    state["fd"] = os.open(path, os.O_RDWR)


def close_file(state):
    os.close(state.pop("fd"))


def open_and_close(state, path):
    del state
    os.close(os.open(path, os.O_RDWR))


def lock_whole(state, operation):
    fcntl.flock(state["fd"], operation)


def lock_range(state, kind, start, length, command=fcntl.F_SETLK):
    fcntl.fcntl(state["fd"], command, FLOCK.pack(kind, os.SEEK_SET, start, length, 0))


def ask_range(state, kind, start, length, command=fcntl.F_GETLK):
    asked = FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
    return FLOCK.unpack(fcntl.fcntl(state["fd"], command, asked))


def count_under_lock(index, path, rounds, how):
    del index
    fd = os.open(path, os.O_RDWR)
    for _ in range(rounds):
        if how == "flock":
            fcntl.flock(fd, fcntl.LOCK_EX)
        else:
            fcntl.lockf(fd, fcntl.LOCK_EX)
        value = int(os.pread(fd, 20, 0))
        os.pwrite(fd, b"%d" % (value + 1), 0)
        if how == "flock":
            fcntl.flock(fd, fcntl.LOCK_UN)
        else:
            fcntl.lockf(fd, fcntl.LOCK_UN)
    os.close(fd)


class LockCase(PosixCase):
    def setUp(self):
        super().setUp()
        self.file = self.write_file("f", b"0" * 100)

    def holder(self):
        worker = self.worker()
        worker.call(open_file, self.file)
        return worker


class FlockTest(LockCase):
    def test_exclusive_excludes_and_shared_shares(self):
        one, two, three = self.holder(), self.holder(), self.holder()
        one.call(lock_whole, SH_NOW)
        two.call(lock_whole, SH_NOW)
        self.assert_errno(TAKEN, three.call, lock_whole, EX_NOW)
        two.call(lock_whole, fcntl.LOCK_UN)
        one.call(lock_whole, EX_NOW)  # converts
        self.assert_errno(TAKEN, three.call, lock_whole, SH_NOW)
        one.call(close_file)
        three.call(lock_whole, EX_NOW)

    def test_a_blocked_lock_is_given_on_release_and_on_death(self):
        one, two, three = self.holder(), self.holder(), self.holder()
        one.call(lock_whole, EX_NOW)
        two.start(lock_whole, fcntl.LOCK_EX)
        self.assertFalse(two.is_done(0.3))
        one.call(lock_whole, fcntl.LOCK_UN)
        two.result(10)
        three.start(lock_whole, fcntl.LOCK_EX)
        self.assertFalse(three.is_done(0.3))
        os.kill(two.pid, signal.SIGKILL)
        three.result(10)

    def test_a_lock_belongs_to_the_open_file_not_to_the_process(self):
        fd = self.open("f", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        # A second open file of this process conflicts; a child's copy of the first does not.
        second = self.open("f", os.O_RDWR)
        self.assert_errno(TAKEN, fcntl.flock, second, EX_NOW)
        in_child(fcntl.flock, fd, EX_NOW)
        in_child(os.close, fd)
        self.assert_errno(TAKEN, fcntl.flock, second, EX_NOW)
        copy = os.dup(fd)
        os.close(fd)
        self.assert_errno(TAKEN, fcntl.flock, second, EX_NOW)
        os.close(copy)
        fcntl.flock(second, EX_NOW)

    def test_a_blocked_lock_ends_on_a_signal(self):
        one = self.holder()
        one.call(lock_whole, EX_NOW)
        one_range = self.holder()
        one_range.call(lock_range, fcntl.F_WRLCK, 0, 10)

        def interrupted(take):
            signal.signal(signal.SIGALRM, self.raise_interrupted)
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            fd = os.open(self.file, os.O_RDWR)
            began = time.monotonic()
            try:
                take(fd)
            except InterruptedError:
                return time.monotonic() - began
            return None

        for take in (
            lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
            lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX),
        ):
            took = in_child(interrupted, take)
            self.assertIsNotNone(took)
            self.assertLess(took, 5)
        one.call(lock_whole, fcntl.LOCK_UN)
        fcntl.flock(self.open("f"), EX_NOW)

    @staticmethod
    def raise_interrupted(*_):
        raise InterruptedError(errno.EINTR, "interrupted")

    def test_the_kernel_shows_the_lock(self):
        fd = self.open("f", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        inode = os.fstat(fd).st_ino

        def shown():
            with open("/proc/locks", encoding="utf-8") as locks:
                return any(f":{inode} " in line and "FLOCK" in line for line in locks)

        self.assertTrue(shown(), "in /proc/locks")
        in_child(os.close, fd)
        self.assertTrue(shown(), "still, after a child closed its copy")

    def test_counting_under_flock_is_exact(self):
        path = self.write_file("n", b"0")
        run_together(4, count_under_lock, path, 250, "flock")
        self.assertEqual(self.read_file(path), b"1000")


class RangeLockTest(LockCase):
    def test_ranges_conflict_only_where_they_overlap(self):
        one, two = self.holder(), self.holder()
        one.call(lock_range, fcntl.F_WRLCK, 10, 10)
        two.call(lock_range, fcntl.F_WRLCK, 0, 10)
        two.call(lock_range, fcntl.F_WRLCK, 20, 10)
        self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_RDLCK, 19, 2)
        one.call(lock_range, fcntl.F_RDLCK, 10, 10)
        two.call(lock_range, fcntl.F_RDLCK, 5, 20)
        self.assert_errno(TAKEN, one.call, lock_range, fcntl.F_WRLCK, 10, 1)

    def test_unlocking_the_middle_splits_a_lock(self):
        one, two = self.holder(), self.holder()
        one.call(lock_range, fcntl.F_WRLCK, 0, 100)
        one.call(lock_range, fcntl.F_UNLCK, 40, 20)
        two.call(lock_range, fcntl.F_WRLCK, 40, 20)
        for start in (39, 60):
            self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_RDLCK, start, 1)

    def test_a_lock_without_length_reaches_beyond_the_end(self):
        one, two = self.holder(), self.holder()
        one.call(lock_range, fcntl.F_WRLCK, 50, 0)
        self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_WRLCK, 1 << 50, 1)
        two.call(lock_range, fcntl.F_WRLCK, 0, 50)

    def test_the_holder_is_told(self):
        one, two = self.holder(), self.holder()
        one.call(lock_range, fcntl.F_WRLCK, 30, 5)
        kind, _, start, length, pid = two.call(ask_range, fcntl.F_RDLCK, 0, 0)
        self.assertEqual((kind, start, length, pid), (fcntl.F_WRLCK, 30, 5, one.pid))
        self.assertEqual(two.call(ask_range, fcntl.F_RDLCK, 0, 30)[0], fcntl.F_UNLCK)

    def test_any_close_by_the_process_releases_its_ranges(self):
        one, two = self.holder(), self.holder()
        one.call(lock_range, fcntl.F_WRLCK, 0, 0)
        self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_WRLCK, 0, 1)
        one.call(open_and_close, self.file)
        two.call(lock_range, fcntl.F_WRLCK, 0, 1)

    def test_a_blocked_range_is_given_on_release_and_on_death(self):
        one, two, three = self.holder(), self.holder(), self.holder()
        one.call(lock_range, fcntl.F_WRLCK, 0, 10)
        two.start(lock_range, fcntl.F_WRLCK, 5, 10, fcntl.F_SETLKW)
        self.assertFalse(two.is_done(0.3))
        one.call(lock_range, fcntl.F_UNLCK, 0, 10)
        two.result(10)
        three.start(lock_range, fcntl.F_WRLCK, 0, 0, fcntl.F_SETLKW)
        self.assertFalse(three.is_done(0.3))
        os.kill(two.pid, signal.SIGKILL)
        three.result(10)

    def test_a_deadlock_is_refused(self):
        one, two = self.holder(), self.holder()
        one.call(lock_range, fcntl.F_WRLCK, 0, 1)
        two.call(lock_range, fcntl.F_WRLCK, 1, 1)
        two.start(lock_range, fcntl.F_WRLCK, 0, 1, fcntl.F_SETLKW)
        self.assertFalse(two.is_done(0.3))
        self.assert_errno(errno.EDEADLK, one.call, lock_range, fcntl.F_WRLCK, 1, 1, fcntl.F_SETLKW)
        one.call(lock_range, fcntl.F_UNLCK, 0, 1)
        two.result(10)

    def test_locks_follow_the_rights_of_the_descriptor(self):
        reader = self.open("f", os.O_RDONLY)
        self.assert_errno(errno.EBADF, fcntl.lockf, reader, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(reader, EX_NOW)

    def test_locks_stay_with_an_unlinked_or_renamed_file(self):
        one, two = self.holder(), self.holder()
        one.call(lock_range, fcntl.F_WRLCK, 0, 10)
        os.rename(self.file, self.path("g"))
        self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_WRLCK, 0, 10)
        self.write_file("f", b"another file")
        fresh = self.holder()
        fresh.call(lock_range, fcntl.F_WRLCK, 0, 10)
        os.unlink(self.path("g"))
        self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_WRLCK, 0, 10)

    def test_counting_under_ranges_is_exact(self):
        path = self.write_file("n", b"0")
        run_together(4, count_under_lock, path, 250, "fcntl")
        self.assertEqual(self.read_file(path), b"1000")

    def test_open_file_description_locks(self):
        one, two = self.holder(), self.holder()
        setlk, getlk = fcntl.F_OFD_SETLK, fcntl.F_OFD_GETLK
        one.call(lock_range, fcntl.F_WRLCK, 0, 10, setlk)
        self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_WRLCK, 5, 10, setlk)
        self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_WRLCK, 5, 10)
        self.assertEqual(two.call(ask_range, fcntl.F_WRLCK, 0, 0, getlk)[4], -1)
        one.call(open_and_close, self.file)  # releases nothing
        self.assert_errno(TAKEN, two.call, lock_range, fcntl.F_WRLCK, 5, 10, setlk)
        one.call(close_file)
        two.call(lock_range, fcntl.F_WRLCK, 5, 10, setlk)
