"""Several ways to the same bytes agree: read and write, append, direct I/O, mappings, processes."""

import ctypes
import errno
import mmap
import os
import random
import signal

from posix_case import KIB, MIB, PosixCase, check, in_child, libc, run_together

PAGE = 4096


def append_records(index, path, count):
    """Appends `count` records of mixed sizes, each filled with its writer's letter."""
    rng = random.Random(index)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in range(count):
        body = bytes([65 + index]) * rng.randrange(0, 3000)
        record = b"<%d:%d:" % (index, number) + body + b">\n"
        if os.write(fd, record) != len(record):
            raise AssertionError("a short append")
    os.close(fd)


def direct_buffer(size):
    """Memory aligned to a page, as O_DIRECT wants it."""
    return mmap.mmap(-1, max(size, PAGE))


def pwrite_direct(fd, data, offset):
    buffer = direct_buffer(len(data))
    buffer[: len(data)] = data
    return os.pwritev(fd, [memoryview(buffer)[: len(data)]], offset)


def pread_direct(fd, size, offset):
    buffer = direct_buffer(size)
    length = os.preadv(fd, [memoryview(buffer)[:size]], offset)
    return buffer[:length]


def copy_of(mapping):
    return bytes(mapping)


class AppendTest(PosixCase):
    def test_appends_by_several_processes_lose_nothing(self):
        path = self.write_file("log")
        count = 400
        run_together(4, append_records, path, count)
        lines = self.read_file(path).split(b"\n")
        self.assertEqual(lines.pop(), b"")
        self.assertEqual(len(lines), 4 * count)
        numbers = [0] * 4
        for line in lines:
            self.assertTrue(line.startswith(b"<") and line.endswith(b">"), line[:50])
            index, number, body = line[1:-1].split(b":", 2)
            self.assertEqual(int(number), numbers[int(index)])
            self.assertEqual(body.strip(bytes([65 + int(index)])), b"")
            numbers[int(index)] += 1

    def test_an_append_ignores_the_position_and_follows_a_truncation(self):
        fd = self.open("f", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        other = self.open("f")
        os.write(fd, b"one")
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b"two")
        os.ftruncate(other, 4)
        os.write(fd, b"three")
        os.pwrite(other, b"X", 20)
        os.write(fd, b"!")
        self.assertEqual(self.read_file("f"), b"onetthree" + bytes(11) + b"X!")

    def test_a_reader_beside_an_appender_sees_a_prefix(self):
        path = self.write_file("f")
        whole = random.Random(1).randbytes(3 * MIB)

        def work(index):
            if index == 0:
                with open(path, "ab", buffering=0) as file:
                    for at in range(0, len(whole), 3000):
                        file.write(whole[at : at + 3000])
                return 0
            seen = 0
            while seen < len(whole):
                with open(path, "rb") as file:
                    content = file.read()
                if content != whole[: len(content)]:
                    raise AssertionError(f"not a prefix at {len(content)} bytes")
                if len(content) < seen:
                    raise AssertionError("the file shrank")
                seen = len(content)
            return seen

        run_together(3, work)


class DirectIoTest(PosixCase):
    def open_direct(self, name):
        try:
            return self.open(name, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        except OSError as error:
            self.fail(f"O_DIRECT is refused: {error}")

    def test_direct_reads_and_writes_agree_with_buffered_ones(self):
        buffered, direct = self.open("f"), self.open_direct("f")
        size = 2 * MIB
        model = bytearray(random.Random(1).randbytes(size))
        os.write(buffered, model)
        self.assertEqual(pread_direct(direct, size, 0), model)
        rng = random.Random(2)
        for _ in range(200):
            offset = rng.randrange(size // PAGE) * PAGE
            length = min(rng.randrange(1, 40) * PAGE, size - offset)
            data = rng.randbytes(length)
            way = rng.randrange(4)
            if way == 0:
                self.assertEqual(pwrite_direct(direct, data, offset), length)
                model[offset : offset + length] = data
            elif way == 1:
                os.pwrite(buffered, data[:-100], offset + 50)
                model[offset + 50 : offset + length - 50] = data[:-100]
            elif way == 2:
                self.assertEqual(
                    pread_direct(direct, length, offset), model[offset : offset + length]
                )
            else:
                self.assertEqual(
                    os.pread(buffered, length, offset), model[offset : offset + length]
                )
        os.fsync(direct)
        self.assertEqual(self.read_file("f"), model)

    def test_direct_writes_and_mappings_agree(self):
        self.needs_shared_mappings()
        fd, direct = self.open("f"), self.open_direct("f")
        size = 256 * KIB
        model = bytearray(size)
        os.ftruncate(fd, size)
        rng = random.Random(3)
        with mmap.mmap(fd, size) as mapping:
            for _ in range(150):
                offset = rng.randrange(size // PAGE) * PAGE
                length = min(rng.randrange(1, 12) * PAGE, size - offset)
                data = rng.randbytes(length)
                if rng.random() < 0.5:
                    pwrite_direct(direct, data, offset)
                else:
                    mapping[offset : offset + length] = data
                model[offset : offset + length] = data
                self.assertTrue(mapping[:] == model, "the mapping differs")
                self.assertTrue(pread_direct(direct, size, 0) == model, "a direct read differs")

    def test_a_direct_read_at_the_end_is_short(self):
        fd = self.open_direct("f")
        pwrite_direct(fd, b"d" * 2 * PAGE, 0)
        os.ftruncate(fd, PAGE + 100)
        self.assertEqual(pread_direct(fd, 4 * PAGE, 0), b"d" * (PAGE + 100))
        self.assertEqual(pread_direct(fd, PAGE, 2 * PAGE), b"")

    def test_unaligned_direct_writes_work_or_are_refused(self):
        fd = self.open_direct("f")
        os.write(self.open("f"), b"a" * 3 * PAGE)
        try:
            length = pwrite_direct(fd, b"b" * 1000, 500)
        except OSError as error:
            self.assertEqual(error.errno, errno.EINVAL)
            return
        self.assertEqual(length, 1000)
        self.assertEqual(self.read_file("f"), b"a" * 500 + b"b" * 1000 + b"a" * (3 * PAGE - 1500))


class MappingTest(PosixCase):
    def test_a_shared_mapping_and_read_and_write_agree(self):
        self.needs_shared_mappings()
        fd = self.open("f")
        os.write(fd, b"0" * 300 * KIB)
        with mmap.mmap(fd, 300 * KIB) as mapping:
            mapping[100000:100006] = b"mapped"
            self.assertEqual(os.pread(fd, 8, 99999), b"0mapped0")
            os.pwrite(fd, b"written", 200000)
            self.assertEqual(mapping[199999:200008], b"0written0")
            other = self.open("f", os.O_RDONLY)
            self.assertEqual(os.pread(other, 6, 100000), b"mapped")
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self.assertEqual(os.pread(fd, 6, 100000), b"mapped")

    def test_where_nothing_is_cached_no_mapping_is_shared(self):
        if not self.bed.tikv:
            self.skipTest("the kernel caches here")
        self.write_file("f", b"x" * 100)
        fd = self.open("f")
        self.assert_errno(errno.ENODEV, mmap.mmap, fd, 100)
        self.assert_errno(errno.ENODEV, mmap.mmap, fd, 100, mmap.MAP_SHARED, mmap.PROT_READ)
        with mmap.mmap(fd, 100, mmap.MAP_PRIVATE) as mapping:
            self.assertEqual(mapping[:], b"x" * 100)

    def test_mappings_of_two_processes_agree(self):
        self.needs_shared_mappings()
        fd = self.open("f")
        os.ftruncate(fd, 64 * KIB)

        def from_another_process():
            second = os.open(self.path("f"), os.O_RDWR)
            with mmap.mmap(second, 64 * KIB) as theirs:
                theirs[5000:5005] = b"other"
                return theirs[10:14]

        with mmap.mmap(fd, 64 * KIB) as mine:
            mine[10:14] = b"mine"
            self.assertEqual(in_child(from_another_process), b"mine")
            self.assertEqual(mine[5000:5005], b"other")

    def test_a_private_mapping_is_not_written_back(self):
        fd = self.open("f")
        os.write(fd, b"original" * 1000)
        with mmap.mmap(fd, 8000, mmap.MAP_PRIVATE) as mapping:
            mapping[0:8] = b"modified"
            os.pwrite(fd, b"ORIGINAL", 4096)
            self.assertEqual(mapping[:8], b"modified")
        self.assertEqual(os.pread(fd, 8, 0), b"original")

    def test_a_write_through_a_mapping_survives_close_and_moves_mtime(self):
        self.needs_shared_mappings()
        fd = self.open("f")
        os.write(fd, b"x" * 10000)
        os.utime(fd, ns=(10**18, 10**18))
        with mmap.mmap(fd, 10000) as mapping:
            mapping[5000:5003] = b"new"
            mapping.flush()
        self.assertGreater(os.fstat(fd).st_mtime_ns, 10**18)
        os.close(fd)
        self.assertEqual(self.read_file("f")[4999:5004], b"xnewx")

    def test_beyond_the_last_page_is_sigbus_and_its_rest_is_zeros(self):
        self.needs_shared_mappings()
        fd = self.open("f")
        os.write(fd, b"x" * (PAGE + 10))
        with mmap.mmap(fd, PAGE + 10) as mapping:
            size = ctypes.c_size_t(4 * PAGE)
            libc.mmap.restype = ctypes.c_void_p
            address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_int64(0))
            self.assertEqual(ctypes.string_at(address + PAGE + 10, PAGE - 10), bytes(PAGE - 10))
            self.assertEqual(self.death_by_reading(address + 2 * PAGE), signal.SIGBUS)
            os.ftruncate(fd, 10)
            self.assertEqual(self.death_by_reading(address + PAGE), signal.SIGBUS)
            self.assertEqual(ctypes.string_at(address, 20), b"x" * 10 + bytes(10))
            os.ftruncate(fd, 3 * PAGE)
            self.assertEqual(ctypes.string_at(address + PAGE, 2 * PAGE), bytes(2 * PAGE))
            check(libc.munmap(ctypes.c_void_p(address), size))
            del mapping

    @staticmethod
    def death_by_reading(address):
        pid = os.fork()
        if pid == 0:
            ctypes.string_at(address, 1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def test_mapping_needs_the_rights_of_the_descriptor(self):
        self.needs_shared_mappings()
        self.write_file("f", b"x" * 100)
        reader = self.open("f", os.O_RDONLY)
        self.assert_errno(errno.EACCES, mmap.mmap, reader, 100, mmap.MAP_SHARED, mmap.PROT_WRITE)
        with mmap.mmap(reader, 100, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
            self.assertEqual(copy_of(mapping), b"x" * 100)


class ReadWriteTest(PosixCase):
    def test_vectors_positions_and_ends(self):
        fd = self.open("f")
        self.assertEqual(os.writev(fd, [b"one", b"", b"two", b"x" * 100000]), 100006)
        self.assertEqual(os.lseek(fd, 0, os.SEEK_CUR), 100006)
        self.assertEqual(os.pwritev(fd, [b"ONE", b"TWO"], 0), 6)
        first, second = bytearray(4), bytearray(10)
        self.assertEqual(os.preadv(fd, [first, second], 2), 14)
        self.assertEqual((bytes(first), bytes(second)), (b"ETWO", b"x" * 10))
        self.assertEqual(os.pread(fd, 100, 100000), b"x" * 6)
        self.assertEqual(os.pread(fd, 100, 100006), b"")
        self.assertEqual(os.pread(fd, 100, 1 << 40), b"")
        self.assert_errno(errno.EINVAL, os.pread, fd, 1, -1)
        self.assert_errno(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
        self.assertEqual(os.write(fd, b""), 0)
        self.assertEqual(os.lseek(fd, 10, os.SEEK_END), 100016)

    def test_sync_calls_succeed_on_files_and_directories(self):
        for flags in (os.O_SYNC, os.O_DSYNC, 0):
            fd = self.open(f"f{flags}", os.O_RDWR | os.O_CREAT | flags)
            os.write(fd, b"x" * 10000)
            os.fsync(fd)
            os.fdatasync(fd)
            check(libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), 7))
            check(libc.syncfs(fd))
        directory = self.open(self.dir, os.O_RDONLY)
        os.fsync(directory)
        os.fdatasync(directory)
        reader = self.open("f0", os.O_RDONLY)
        os.fsync(reader)

    def test_sendfile_and_splice_carry_the_bytes(self):
        data = random.Random(4).randbytes(600 * KIB)
        source = self.open("f")
        os.write(source, data)
        target = self.open("g")
        sent = 0
        while sent < len(data):
            sent += os.sendfile(target, source, sent, len(data) - sent)
        self.assertEqual(self.read_file("g"), data)
        read_end, write_end = os.pipe()
        copy, at = self.open("h"), 0
        while at < len(data):
            length = os.splice(source, write_end, min(48 * KIB, len(data) - at), at)
            moved = 0
            while moved < length:
                moved += os.splice(read_end, copy, length - moved, None, at + moved)
            at += length
        os.close(read_end)
        os.close(write_end)
        self.assertEqual(self.read_file("h"), data)

    def test_parallel_writers_of_neighbouring_ranges_keep_each_other(self):
        path = self.write_file("f")

        def write_stripes(index):
            fd = os.open(path, os.O_RDWR)
            for stripe in range(200):
                os.pwrite(fd, bytes([index + 1]) * 1111, (stripe * 4 + index) * 1111)
            os.close(fd)

        run_together(4, write_stripes)
        expected = b"".join(bytes([index + 1]) * 1111 for index in range(4)) * 200
        self.assertTrue(self.read_file("f") == expected)
