"""What a file's bytes are: holes, preallocation, truncation, copies."""

import errno
import os
import random
import subprocess

from posix_case import (
    FALLOC_COLLAPSE_RANGE,
    FALLOC_INSERT_RANGE,
    FALLOC_KEEP_SIZE,
    FALLOC_PUNCH_HOLE,
    FALLOC_UNSHARE_RANGE,
    FALLOC_ZERO_RANGE,
    GIB,
    KIB,
    LARGEST_OFFSET,
    MIB,
    PosixCase,
    fallocate,
)

PUNCH = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE


def pattern(length, seed=1):
    return random.Random(seed).randbytes(length)


def data_ranges(fd):
    """[(start, end)] of what SEEK_DATA and SEEK_HOLE call data."""
    ranges, at = [], 0
    while True:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return ranges
        at = os.lseek(fd, start, os.SEEK_HOLE)
        ranges.append((start, at))


def allocated(fd):
    return os.fstat(fd).st_blocks * 512


class HoleTest(PosixCase):
    def sparse_file(self, name, parts, size):
        fd = self.open(name)
        for offset, length in parts:
            os.pwrite(fd, b"d" * length, offset)
        os.ftruncate(fd, size)
        return fd

    def test_seek_never_hides_data_that_was_just_written(self):
        parts = [(0, 10), (3 * MIB, 5), (5 * MIB + 123, 70000), (9 * MIB - 1, 1)]
        fd = self.sparse_file("f", parts, 12 * MIB)
        ranges = data_ranges(fd)
        for offset, length in parts:
            covered = any(a <= offset and offset + length <= b for a, b in ranges)
            self.assertTrue(covered, f"data at {offset}+{length} is called a hole: {ranges}")
        for (_, end), (start, _) in zip(ranges, ranges[1:] + [(12 * MIB, 0)]):
            self.assertEqual(os.pread(fd, min(start - end, MIB), end).strip(b"\0"), b"")

    def test_seek_finds_large_holes(self):
        parts = [(4 * MIB, 100), (20 * MIB, 100)]
        fd = self.sparse_file("f", parts, 32 * MIB)
        os.fsync(fd)
        ranges = data_ranges(fd)
        self.assertEqual(len(ranges), 2, ranges)
        self.assertLess(sum(end - start for start, end in ranges), 4 * MIB)
        self.assertLess(os.lseek(fd, 0, os.SEEK_HOLE), MIB)

    def test_seek_at_and_beyond_the_end(self):
        fd = self.sparse_file("f", [(0, 1000)], 1000)
        self.assertEqual(os.lseek(fd, 0, os.SEEK_HOLE), 1000)
        self.assertEqual(os.lseek(fd, 999, os.SEEK_DATA), 999)
        self.assert_errno(errno.ENXIO, os.lseek, fd, 1000, os.SEEK_DATA)
        self.assert_errno(errno.ENXIO, os.lseek, fd, 1000, os.SEEK_HOLE)
        os.ftruncate(fd, 8 * MIB)
        os.fsync(fd)
        self.assert_errno(errno.ENXIO, os.lseek, fd, 4 * MIB, os.SEEK_DATA)
        self.assertEqual(os.lseek(fd, 4 * MIB, os.SEEK_HOLE), 4 * MIB)
        empty = self.open("empty")
        self.assert_errno(errno.ENXIO, os.lseek, empty, 0, os.SEEK_DATA)

    def test_copying_tools_keep_what_was_just_written(self):
        self.need_program("tar")
        for size, parts in ((0, [(0, 3)]), (16 * MIB, [(5 * MIB, 4 * KIB), (11 * MIB, 1)])):
            fd = self.sparse_file(f"f{size}", parts, max(size, 3))
            name = f"f{size}"
            expected = os.pread(fd, 20 * MIB, 0)
            self.run_program("cp", "--sparse=auto", self.path(name), self.path("copy"))
            self.assertEqual(self.read_file("copy"), expected)
            archive = subprocess.run(
                ["tar", "-C", self.dir, "--sparse", "-cf", "-", name],
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
            os.mkdir(self.path(f"out{size}"))
            subprocess.run(
                ["tar", "-C", self.path(f"out{size}"), "-xf", "-"], input=archive, check=True
            )
            self.assertEqual(self.read_file(f"out{size}/{name}"), expected)

    def test_blocks_tell_the_truth(self):
        tiny = self.open("tiny")
        os.write(tiny, b"x")
        # tar and others take a file without blocks for one without data.
        self.assertGreater(os.fstat(tiny).st_blocks, 0)
        fd = self.open("f")
        self.assertEqual(os.fstat(fd).st_blocks, 0)
        os.write(fd, pattern(8 * MIB))
        os.fsync(fd)
        self.assertGreaterEqual(allocated(fd), 8 * MIB)
        self.assertLess(allocated(fd), 10 * MIB)
        fallocate(fd, PUNCH, MIB, 6 * MIB)
        self.assertLess(allocated(fd), 5 * MIB)
        self.assertGreaterEqual(allocated(fd), 2 * MIB)
        os.ftruncate(fd, MIB)
        self.assertLess(allocated(fd), 2 * MIB)
        os.ftruncate(fd, 100 * GIB)
        self.assertLess(allocated(fd), 2 * MIB)
        os.ftruncate(fd, 0)
        self.assertEqual(allocated(fd), 0)

    def test_the_largest_offset(self):
        fd = self.open("f")

        def fits(size):
            try:
                os.ftruncate(fd, size)
                return True
            except OSError as error:
                self.assertEqual(error.errno, errno.EFBIG)
                return False

        low, high = 1 << 40, LARGEST_OFFSET
        if fits(high):
            low = high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        print(f"files reach {low} bytes; ", end="")
        self.assertGreaterEqual(low, (1 << 44) - 64 * KIB)
        os.ftruncate(fd, 0)
        self.assertEqual(os.pwrite(fd, b"z", low - 1), 1)
        os.pwrite(fd, b"a", 0)
        os.fsync(fd)
        self.assertEqual(os.fstat(fd).st_size, low)
        self.assertEqual((os.pread(fd, 1, low - 1), os.pread(fd, 2, 0)), (b"z", b"a\0"))
        self.assertEqual(os.pread(fd, 9, low // 2), bytes(9))
        self.assert_errno((errno.EFBIG, errno.EINVAL), os.pwrite, fd, b"y", low)
        if low < LARGEST_OFFSET:
            # The kernel itself refuses what would end beyond the last offset there is.
            self.assertEqual(os.pwrite(fd, b"yy", low - 1), 1)
            self.assert_errno(errno.EFBIG, os.ftruncate, fd, low + 1)
        self.assertLess(allocated(fd), 4 * MIB)
        os.unlink(self.path("f"))

    def test_a_file_over_4_gib_with_both_ends_written(self):
        fd = self.open("f")
        spots = [0, 2 * GIB - 3, 2 * GIB + 1, 4 * GIB - 5, 4 * GIB, 5 * GIB + 17]
        for number, offset in enumerate(spots):
            os.pwrite(fd, b"%4d" % number, offset)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        for number, offset in enumerate(spots[::-1]):
            self.assertEqual(os.pread(fd, 4, offset), b"%4d" % (len(spots) - 1 - number))
        self.assertEqual(os.fstat(fd).st_size, 5 * GIB + 21)
        os.ftruncate(fd, 4 * GIB + 1)
        os.ftruncate(fd, 6 * GIB)
        self.assertEqual(os.pread(fd, 8, 4 * GIB), b" " + bytes(7))
        self.assertEqual(os.pread(fd, 8, 5 * GIB + 16), bytes(8))


class AllocateTest(PosixCase):
    def setUp(self):
        super().setUp()
        self.fd = self.open("f")
        self.model = bytearray(pattern(900 * KIB))
        os.write(self.fd, self.model)

    def assert_content(self):
        size = os.fstat(self.fd).st_size
        self.assertEqual(size, len(self.model))
        content = os.pread(self.fd, size + 1, 0)
        if content != self.model:
            at = next(i for i, (a, b) in enumerate(zip(content, self.model)) if a != b)
            self.fail(f"differs first at {at}: {content[at]} for {self.model[at]}")

    def test_allocate_extends_with_zeros_and_charges(self):
        before = allocated(self.fd)
        fallocate(self.fd, 0, 0, 500 * KIB)
        self.assert_content()
        fallocate(self.fd, 0, 800 * KIB, 3 * MIB)
        self.model += bytes(800 * KIB + 3 * MIB - len(self.model))
        self.assert_content()
        self.assertGreaterEqual(allocated(self.fd), before + 2 * MIB)
        os.posix_fallocate(self.fd, 0, 5 * MIB)
        self.model += bytes(5 * MIB - len(self.model))
        self.assert_content()

    def test_keep_size_allocates_beyond_the_end(self):
        os.fsync(self.fd)
        before = allocated(self.fd)
        fallocate(self.fd, FALLOC_KEEP_SIZE, MIB, 4 * MIB)
        self.assert_content()
        self.assertGreaterEqual(allocated(self.fd), before + 3 * MIB)
        os.pwrite(self.fd, b"tail", 2 * MIB)
        self.model += bytes(2 * MIB - len(self.model)) + b"tail"
        self.assert_content()

    def test_punch_hole_zeros_exactly_its_range(self):
        for offset, length in ((1, 1), (4095, 2), (64 * KIB - 1, 64 * KIB + 2), (300001, 99999)):
            fallocate(self.fd, PUNCH, offset, length)
            self.model[offset : offset + length] = bytes(length)
            self.assert_content()
        fallocate(self.fd, PUNCH, 800 * KIB, 50 * MIB)
        self.model[800 * KIB :] = bytes(len(self.model) - 800 * KIB)
        self.assert_content()
        fallocate(self.fd, PUNCH, 50 * MIB, MIB)
        self.assert_content()

    def test_zero_range_with_and_without_keep_size(self):
        fallocate(self.fd, FALLOC_ZERO_RANGE, 1000, 200 * KIB)
        self.model[1000 : 1000 + 200 * KIB] = bytes(200 * KIB)
        self.assert_content()
        fallocate(self.fd, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, 880 * KIB, MIB)
        self.model[880 * KIB :] = bytes(20 * KIB)
        self.assert_content()
        fallocate(self.fd, FALLOC_ZERO_RANGE, 890 * KIB, MIB)
        self.model += bytes(890 * KIB + MIB - len(self.model))
        self.assert_content()

    def test_a_punched_range_can_be_written_again(self):
        rng = random.Random(5)
        for _ in range(60):
            offset = rng.randrange(len(self.model))
            length = rng.randrange(1, 130 * KIB)
            fallocate(self.fd, PUNCH, offset, length)
            end = min(offset + length, len(self.model))
            self.model[offset:end] = bytes(end - offset)
            offset = rng.randrange(len(self.model) - 5000)
            data = rng.randbytes(rng.randrange(1, 5000))
            os.pwrite(self.fd, data, offset)
            self.model[offset : offset + len(data)] = data
        self.assert_content()
        os.fsync(self.fd)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self.assert_content()

    def test_wrong_calls_are_refused(self):
        self.assert_errno(errno.EINVAL, fallocate, self.fd, 0, 0, 0)
        self.assert_errno(errno.EINVAL, fallocate, self.fd, 0, -1, 10)
        self.assert_errno(errno.EOPNOTSUPP, fallocate, self.fd, FALLOC_PUNCH_HOLE, 0, 10)
        self.assert_errno(errno.EFBIG, fallocate, self.fd, 0, LARGEST_OFFSET - 1, 100)
        reader = self.open("f", os.O_RDONLY)
        self.assert_errno(errno.EBADF, fallocate, reader, 0, 0, 10)
        directory = self.open(self.dir, os.O_RDONLY)
        self.assert_errno((errno.EBADF, errno.EISDIR), fallocate, directory, 0, 0, 10)
        self.assert_content()

    def test_collapse_insert_and_unshare_are_not_supported(self):
        if self.is_reference:
            self.skipTest("other file systems have them")
        for mode in (FALLOC_COLLAPSE_RANGE, FALLOC_INSERT_RANGE, FALLOC_UNSHARE_RANGE):
            self.assert_errno(errno.EOPNOTSUPP, fallocate, self.fd, mode, 64 * KIB, 64 * KIB)
        self.assert_content()


class TruncateTest(PosixCase):
    def test_shrinking_and_extending_shows_zeros(self):
        fd = self.open("f")
        for full, cut, again in (
            (100, 10, 50),
            (5000, 4095, 4097),
            (200 * KIB, 64 * KIB + 1, 300 * KIB),
            (3 * MIB, 1, 2 * MIB),
            (MIB + 7, 0, MIB),
        ):
            data = pattern(full, full)
            os.ftruncate(fd, 0)
            os.pwrite(fd, data, 0)
            if full % 2:
                os.fsync(fd)
            os.ftruncate(fd, cut)
            os.ftruncate(fd, again)
            self.assertEqual(os.pread(fd, again + 1, 0), data[:cut] + bytes(again - cut))

    def test_a_write_beyond_the_end_leaves_zeros_between(self):
        fd = self.open("f")
        os.write(fd, b"x" * 5000)
        os.ftruncate(fd, 100)
        os.pwrite(fd, b"end", 70000)
        self.assertEqual(os.pread(fd, 80000, 0), b"x" * 100 + bytes(69900) + b"end")

    def test_old_bytes_never_reappear_from_the_store(self):
        mounted = self.new_mount()
        path = os.path.join(mounted.path, "f")
        rng, model = random.Random(20), bytearray()
        for _ in range(6 if not self.bed.long else 60):
            with open(path, "ab") as file:
                fd = file.fileno()
            fd = os.open(path, os.O_RDWR)
            for _ in range(40):
                self.random_change(fd, rng, model)
            os.close(fd)
            mounted.remount_fresh()
            with open(path, "rb") as file:
                content = file.read()
            self.assertEqual(len(content), len(model))
            self.assertTrue(content == model, "the content differs after a remount")

    @staticmethod
    def random_change(fd, rng, model):
        size = len(model)
        choice = rng.randrange(5)
        at = rng.choice((rng.randrange(3 * MIB), rng.randrange(48) * 64 * KIB))
        if choice == 0:
            os.ftruncate(fd, at)
            model[at:] = b""
            model += bytes(at - len(model))
        elif choice == 1 and size:
            length = rng.randrange(1, MIB)
            fallocate(fd, PUNCH, at, length)
            end = min(at + length, size)
            if at < end:
                model[at:end] = bytes(end - at)
        else:
            data = rng.randbytes(rng.randrange(1, 200 * KIB))
            os.pwrite(fd, data, at)
            model += bytes(max(0, at + len(data) - size))
            model[at : at + len(data)] = data


class CopyRangeTest(PosixCase):
    def copy_all(self, source, target, length, source_offset=0, target_offset=0):
        copied = 0
        while copied < length:
            step = os.copy_file_range(
                source, target, length - copied, source_offset + copied, target_offset + copied
            )
            if step == 0:
                break
            copied += step
        return copied

    def test_between_files_at_any_offset(self):
        data = pattern(2 * MIB)
        source, target = self.open("a"), self.open("b")
        os.write(source, data)  # not synced: the copy must see it
        os.write(target, b"t" * 500000)
        self.assertEqual(self.copy_all(source, target, 1234567, 65537, 300001), 1234567)
        expected = b"t" * 300001 + data[65537 : 65537 + 1234567]
        self.assertEqual(os.pread(target, 4 * MIB, 0), expected)
        self.assertEqual(os.pread(source, 4 * MIB, 0), data)
        self.assertEqual(self.copy_all(source, target, MIB, 2 * MIB - 10, 0), 10)
        self.assertEqual(os.copy_file_range(source, target, 10, 3 * MIB, 0), 0)

    def test_within_a_file(self):
        fd = self.open("f")
        model = bytearray(pattern(MIB))
        os.write(fd, model)
        self.assertEqual(self.copy_all(fd, fd, 200000, 1000, 500000), 200000)
        model[500000:700000] = model[1000:201000]
        self.assertEqual(os.pread(fd, 2 * MIB, 0), model)
        self.assert_errno(errno.EINVAL, os.copy_file_range, fd, fd, 1000, 0, 500)

    def test_to_and_from_what_is_mapped_or_sparse(self):
        source, target = self.open("a"), self.open("b")
        os.pwrite(source, b"end", 40 * MIB)
        self.assertEqual(self.copy_all(source, target, 40 * MIB + 3), 40 * MIB + 3)
        self.assertEqual(os.fstat(target).st_size, 40 * MIB + 3)
        self.assertEqual(os.pread(target, 5, 40 * MIB - 2), b"\0\0end")
        self.assertEqual(os.pread(target, MIB, 7 * MIB), bytes(MIB))

    def test_wrong_calls_are_refused(self):
        fd = self.open("f")
        os.write(fd, b"x" * 100)
        reader = self.open("f", os.O_RDONLY)
        appender = self.open("g", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        directory = self.open(self.dir, os.O_RDONLY)
        self.assert_errno(errno.EBADF, os.copy_file_range, fd, reader, 10, 0, 50)
        self.assert_errno(errno.EBADF, os.copy_file_range, fd, appender, 10, 0, 50)
        self.assert_errno(errno.EISDIR, os.copy_file_range, directory, fd, 10, 0, 0)


class RunningProgramTest(PosixCase):
    def test_a_running_program_is_not_cut(self):
        self.need_program("sleep")
        program = self.path("program")
        self.run_program("cp", "/bin/sleep", program)
        os.chmod(program, 0o755)
        size = os.stat(program).st_size
        with subprocess.Popen([program, "60"]) as process:
            try:
                for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_TRUNC):
                    self.assert_errno(errno.ETXTBSY, os.open, program, flags)
                    self.assertEqual(os.stat(program).st_size, size)
                self.assert_errno(errno.ETXTBSY, os.truncate, program, 0)
                self.assertEqual(self.read_file("program"), self.read_file("/bin/sleep"))
                self.assertIsNone(process.poll(), "the program died")
            finally:
                process.kill()
