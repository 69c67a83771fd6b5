"""What the cases of mount.posix share: a fresh directory each, system calls that Python lacks, and
other processes and users to act as."""

import contextlib
import ctypes
import errno
import multiprocessing
import os
import pickle
import pwd
import shutil
import struct
import subprocess
import time
import traceback
import unittest

libc = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_FOLLOW = 0x400
AT_SYMLINK_NOFOLLOW = 0x100
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_COLLAPSE_RANGE = 0x01, 0x02, 0x08
FALLOC_ZERO_RANGE, FALLOC_INSERT_RANGE, FALLOC_UNSHARE_RANGE = 0x10, 0x20, 0x40
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
LARGEST_OFFSET = (1 << 63) - 1

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def check(result, what=""):
    """The result of a libc call, or its errno as an OSError."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def renameat2(old, new, flags):
    check(libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags), old)


def fallocate(fd, mode, offset, length):
    check(libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def utimensat(path, access, modification, follow=True):
    """`access` and `modification`: (seconds, nanoseconds)."""
    times = struct.pack("qqqq", *access, *modification)
    flags = 0 if follow else AT_SYMLINK_NOFOLLOW
    check(libc.utimensat(AT_FDCWD, os.fsencode(path), times, flags), path)


def link_fd(fd, path):
    """Gives the open file a name."""
    name = os.fsencode(path)
    check(libc.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, name, AT_SYMLINK_FOLLOW))


class DirectoryStream:
    """getdents64(2) with a buffer as small as wanted, so that a listing takes many calls."""

    def __init__(self, path, buffer_bytes=1024):
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._buffer = ctypes.create_string_buffer(buffer_bytes)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def next_batch(self):
        """A list of (name, inode, type, position after it); empty at the end."""
        length = check(libc.getdents64(self.fd, self._buffer, ctypes.c_size_t(len(self._buffer))))
        raw, at, batch = self._buffer.raw, 0, []
        while at < length:
            inode, position, size, kind = struct.unpack_from("=QqHB", raw, at)
            name = raw[at + 19 : at + size].split(b"\0", 1)[0]
            batch.append((name, inode, kind, position))
            at += size
        return batch

    def batches(self):
        while batch := self.next_batch():
            yield batch

    def rest(self):
        return [entry for batch in self.batches() for entry in batch]

    def seek(self, position):
        os.lseek(self.fd, position, os.SEEK_SET)


def names_in(path, buffer_bytes=32768):
    with DirectoryStream(path, buffer_bytes) as stream:
        return [entry[0] for entry in stream.rest() if entry[0] not in (b".", b"..")]


def _become(user, groups):
    entry = pwd.getpwnam(user)
    os.setgroups(list(groups))
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)


def in_child(function, *arguments, user=None, groups=()):
    """The function's result in a forked process, as `user` if given; an OSError of it is raised
    here."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            os.close(read_end)
            try:
                if user:
                    _become(user, groups)
                answer = ("value", function(*arguments))
            except OSError as error:
                answer = ("errno", error.errno)
            except BaseException:  # pylint: disable=broad-except
                answer = ("error", traceback.format_exc())
            with os.fdopen(write_end, "wb") as pipe:
                pickle.dump(answer, pipe)
            status = 0
        os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not answer:
        raise AssertionError(f"the child died with wait status {status}")
    kind, value = pickle.loads(answer)
    if kind == "errno":
        raise OSError(value, os.strerror(value))
    if kind == "error":
        raise AssertionError(value)
    return value


class Worker:
    """A second process with a state of its own, that calls functions of a module on demand."""

    def __init__(self):
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=self._serve, args=(theirs, self._pipe), daemon=True)
        self._process.start()
        theirs.close()
        self.pid = self._process.pid

    @staticmethod
    def _serve(pipe, other_end):
        other_end.close()
        state = {}
        while True:
            try:
                function, arguments = pipe.recv()
            except EOFError:
                os._exit(0)
            try:
                pipe.send(("value", function(state, *arguments)))
            except OSError as error:
                pipe.send(("errno", error.errno))
            except BaseException:  # pylint: disable=broad-except
                pipe.send(("error", traceback.format_exc()))

    def start(self, function, *arguments):
        self._pipe.send((function, arguments))

    def is_done(self, wait_s=0):
        return self._pipe.poll(wait_s)

    def result(self, deadline_s=60):
        if not self._pipe.poll(deadline_s):
            raise AssertionError(f"another process did not answer within {deadline_s} s")
        kind, value = self._pipe.recv()
        if kind == "errno":
            raise OSError(value, os.strerror(value))
        if kind == "error":
            raise AssertionError(value)
        return value

    def call(self, function, *arguments):
        self.start(function, *arguments)
        return self.result()

    def stop(self):
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def run_together(count, function, *arguments):
    """Runs function(index, *arguments) in `count` processes at once; returns their results."""
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(count)
    results = context.Queue()

    def body(index):
        try:
            gate.wait(60)
            results.put((index, None, function(index, *arguments)))
        except BaseException:  # pylint: disable=broad-except
            results.put((index, traceback.format_exc(), None))

    processes = [context.Process(target=body, args=(index,), daemon=True) for index in range(count)]
    for process in processes:
        process.start()
    answers = [None] * count
    problems = []
    for _ in processes:
        index, problem, value = results.get(timeout=300)
        answers[index] = value
        if problem:
            problems.append(problem)
    for process in processes:
        process.join(60)
    if problems:
        raise AssertionError("\n".join(problems))
    return answers


class PosixCase(unittest.TestCase):
    """A case with a directory of its own, `self.dir`, on a mount that the cases share."""

    bed = None
    shared = None
    maxDiff = 2000

    def setUp(self):
        if not self.shared.is_serving():
            self.shared.recover()
        self.dir = os.path.join(self.shared.path, self.id().rsplit(".", 1)[-1])
        os.mkdir(self.dir, 0o755)
        self.addCleanup(shutil.rmtree, self.dir, True)

    @property
    def is_reference(self):
        return self.bed.is_reference

    def path(self, name):
        return os.path.join(self.dir, name)

    def new_mount(self, **arguments):
        """A mount of this case's own, checked and gone when it ends."""
        mounted = self.bed.new_mount(**arguments)
        self.addCleanup(self.bed.discard, mounted)
        return mounted

    def worker(self):
        worker = Worker()
        self.addCleanup(worker.stop)
        return worker

    def open(self, name, flags=os.O_RDWR | os.O_CREAT, mode=0o644):
        """An open file descriptor, closed when the case ends."""
        fd = os.open(name if os.path.isabs(name) else self.path(name), flags, mode)
        self.addCleanup(self.close_quietly, fd)
        return fd

    @staticmethod
    def close_quietly(fd):
        with contextlib.suppress(OSError):
            os.close(fd)

    def write_file(self, name, content=b"", mode=0o644):
        path = name if os.path.isabs(name) else self.path(name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def read_file(self, name):
        with open(name if os.path.isabs(name) else self.path(name), "rb") as file:
            return file.read()

    def assert_errno(self, expected, function, *arguments, **more):
        """`expected` is an errno or a tuple of the allowed ones."""
        allowed = expected if isinstance(expected, tuple) else (expected,)
        wanted = " or ".join(errno.errorcode[number] for number in allowed)
        try:
            result = function(*arguments, **more)
        except OSError as error:
            name = errno.errorcode.get(error.errno, error.errno)
            self.assertIn(error.errno, allowed, f"gave {name}, should give {wanted}")
            return
        self.fail(f"gave {result!r}, should fail with {wanted}")

    def needs_shared_mappings(self):
        if self.bed.tikv:
            self.skipTest("shared mappings are refused where nothing is cached")

    def need_program(self, name):
        if not shutil.which(name):
            self.skipTest(f"no program {name} (package {'acl' if 'facl' in name else name})")

    def run_program(self, *command, **more):
        result = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **more,
        )
        self.assertEqual(result.returncode, 0, f"{command}: {result.stdout}")
        return result.stdout

    def eventually(self, condition, what, deadline_s=30):
        end = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > end:
                self.fail(f"not within {deadline_s} s: {what}")
            time.sleep(0.05)
