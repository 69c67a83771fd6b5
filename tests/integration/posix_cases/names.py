"""Names, links, special files, and how files come to be."""

import errno
import os
import socket
import stat
import unicodedata

from posix_case import MIB, PosixCase, in_child, link_fd, names_in, run_together


def race_to_create(index, directory, count):
    """How many of `count` names this process was the one to create."""
    del index
    won = 0
    for number in range(count):
        try:
            fd = os.open(
                os.path.join(directory, f"f{number}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY
            )
            os.close(fd)
            won += 1
        except FileExistsError:
            pass
        try:
            os.mkdir(os.path.join(directory, f"d{number}"))
            won += 1
        except FileExistsError:
            pass
    return won


def race_to_remove(index, directory, count):
    del index
    won = 0
    for number in range(count):
        try:
            os.unlink(os.path.join(directory, f"f{number}"))
            won += 1
        except FileNotFoundError:
            pass
    return won


class NameTest(PosixCase):
    def test_names_of_every_length_and_of_any_bytes(self):
        here = os.fsencode(self.dir)
        names = [b"n" * length for length in range(1, 256)]
        names += [bytes([value]) for value in range(1, 256) if value not in b"./n"]
        names += [bytes([value]) * 255 for value in (1, 10, 32, 127, 128, 200, 255)]
        names += [
            b"...",
            b". ",
            b"-rf",
            b"a\nb",
            b"\xff\xfe",
            b"\xc3\x28",
            b"CON",
            b"x.",
        ]
        names += ["é".encode(), unicodedata.normalize("NFD", "é").encode(), b"Case", b"case"]
        for name in names:
            os.close(os.open(os.path.join(here, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        self.assertEqual(sorted(names_in(self.dir)), sorted(names))
        for name in names:
            os.lstat(os.path.join(here, name))
            os.rename(os.path.join(here, name), os.path.join(here, b"moved"))
            os.unlink(os.path.join(here, b"moved"))
        self.assertEqual(names_in(self.dir), [])

    def test_a_name_of_256_bytes_is_too_long_for_every_operation(self):
        long = self.path("n" * 256)
        file = self.write_file("file")
        for operation in (os.lstat, os.unlink, os.mkdir, os.rmdir, os.mkfifo):
            self.assert_errno(errno.ENAMETOOLONG, operation, long)
        for operation in (os.rename, os.link, os.symlink):
            self.assert_errno(errno.ENAMETOOLONG, operation, file, long)
        self.assert_errno(errno.ENAMETOOLONG, os.open, long, os.O_CREAT | os.O_WRONLY)

    def test_an_absent_name_that_was_asked_for_can_be_created(self):
        for index in range(50):
            path = self.path(f"f{index}")
            self.assert_errno(errno.ENOENT, os.stat, path)
            self.write_file(path, b"1")
            self.assertEqual(os.stat(path).st_size, 1)
            os.unlink(path)
            self.assert_errno(errno.ENOENT, os.stat, path)

    def test_a_removed_name_made_anew_is_another_file(self):
        first = self.write_file("f", b"first")
        before = os.stat(first)
        held = self.open("f", os.O_RDONLY)
        os.unlink(first)
        self.write_file("f", b"second file")
        after = os.stat(first)
        self.assertNotEqual(before.st_ino, after.st_ino)
        self.assertEqual(os.fstat(held).st_size, 5)
        self.assertEqual(after.st_size, 11)


class SymlinkTest(PosixCase):
    def test_targets_of_every_size_up_to_4095_bytes(self):
        for length in (1, 2, 59, 60, 61, 255, 256, 1023, 1024, 4000, 4094, 4095):
            target = (b"\x80t" * 4096)[:length]
            path = self.path(f"s{length}")
            os.symlink(target, path)
            self.assertEqual(os.readlink(os.fsencode(path)), target)
            status = os.lstat(path)
            self.assertEqual(status.st_size, length)
            self.assertEqual(status.st_mode, stat.S_IFLNK | 0o777)
        self.assert_errno(errno.ENAMETOOLONG, os.symlink, b"t" * 4096, self.path("long"))
        self.assert_errno(errno.ENOENT, os.symlink, b"", self.path("empty"))

    def test_links_are_followed_or_not_as_asked(self):
        self.write_file("file", b"content")
        os.symlink("file", self.path("link"))
        os.symlink("link", self.path("chain"))
        os.symlink("loop", self.path("loop"))
        os.symlink("nowhere", self.path("dangling"))
        self.assertEqual(self.read_file("chain"), b"content")
        self.assert_errno(errno.ELOOP, os.open, self.path("loop"), os.O_RDONLY)
        self.assert_errno(errno.ELOOP, os.open, self.path("link"), os.O_RDONLY | os.O_NOFOLLOW)
        self.assert_errno(errno.ENOTDIR, os.open, self.path("file"), os.O_RDONLY | os.O_DIRECTORY)
        self.assert_errno(
            errno.EEXIST, os.open, self.path("dangling"), os.O_CREAT | os.O_EXCL | os.O_WRONLY
        )
        os.close(os.open(self.path("dangling"), os.O_CREAT | os.O_WRONLY))
        self.assertTrue(os.path.isfile(self.path("nowhere")))
        os.link(self.path("link"), self.path("second"), follow_symlinks=False)
        self.assertEqual(os.readlink(self.path("second")), "file")
        self.assertEqual(os.lstat(self.path("link")).st_nlink, 2)


class HardLinkTest(PosixCase):
    def test_links_share_one_file_and_count(self):
        first = self.write_file("f", b"shared")
        os.mkdir(self.path("d"))
        names = [self.path("d/g"), self.path("h")]
        for count, name in enumerate(names, 2):
            os.utime(first, ns=(10**18, 10**18))
            before = os.stat(first).st_ctime_ns
            os.link(first, name)
            status = os.stat(name)
            self.assertEqual((status.st_ino, status.st_nlink), (os.stat(first).st_ino, count))
            self.assertGreaterEqual(status.st_ctime_ns, before)
            self.assertEqual(status.st_mtime_ns, 10**18)
        os.unlink(first)
        with open(names[0], "ab") as file:
            file.write(b" on")
        self.assertEqual(self.read_file(names[1]), b"shared on")
        self.assertEqual(os.stat(names[1]).st_nlink, 2)

    def test_a_thousand_links(self):
        first = self.write_file("f", b"x")
        for index in range(999):
            os.link(first, self.path(f"l{index}"))
        self.assertEqual(os.stat(first).st_nlink, 1000)
        for index in range(0, 999, 2):
            os.unlink(self.path(f"l{index}"))
        self.assertEqual(os.stat(first).st_nlink, 500)

    def test_directories_have_no_hard_links_and_names_no_second_file(self):
        os.mkdir(self.path("d"))
        self.write_file("f")
        self.write_file("g")
        self.assert_errno(errno.EPERM, os.link, self.path("d"), self.path("e"))
        self.assert_errno(errno.EEXIST, os.link, self.path("f"), self.path("g"))
        self.assert_errno(errno.EEXIST, os.link, self.path("f"), self.path("f"))


class SpecialFileTest(PosixCase):
    def test_a_fifo_carries_data_between_processes(self):
        path = self.path("fifo")
        os.mkfifo(path, 0o640)
        status = os.stat(path)
        self.assertEqual(status.st_mode, stat.S_IFIFO | 0o640)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            in_child(self._write_to, path, b"through the fifo")
            self.assertEqual(os.read(reader, 100), b"through the fifo")
        finally:
            os.close(reader)
        self.assertEqual(os.stat(path).st_size, 0)

    @staticmethod
    def _write_to(path, data):
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, data)
        os.close(fd)

    def test_a_socket_takes_connections(self):
        path = self.path("s")
        os.chdir(self.dir)  # socket addresses are at most 107 bytes
        self.addCleanup(os.chdir, "/")
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind("s")
            server.listen()
            self.assertTrue(stat.S_ISSOCK(os.stat(path).st_mode))
            client.connect("s")
            connection, _ = server.accept()
            with connection:
                client.sendall(b"hello")
                self.assertEqual(connection.recv(10), b"hello")
            with socket.socket(socket.AF_UNIX) as second:
                self.assert_errno(errno.EADDRINUSE, second.bind, "s")
        self.assert_errno(errno.ENXIO, os.open, path, os.O_RDONLY)

    def test_device_nodes_keep_their_numbers_and_work(self):
        numbers = [(1, 3), (0, 0), (8, 1), (255, 255), (4095, 1048575), (259, 65536)]
        for kind in (stat.S_IFCHR, stat.S_IFBLK):
            for major, minor in numbers:
                path = self.path(f"n{kind}-{major}-{minor}")
                os.mknod(path, kind | 0o600, os.makedev(major, minor))
                status = os.stat(path)
                self.assertEqual(status.st_mode, kind | 0o600)
                self.assertEqual(
                    (os.major(status.st_rdev), os.minor(status.st_rdev)), (major, minor)
                )
        if os.statvfs(self.dir).f_flag & 4:  # ST_NODEV
            self.skipTest("nodev: nodes are kept but cannot be opened")
        null = os.open(self.path(f"n{stat.S_IFCHR}-1-3"), os.O_RDWR)
        self.assertEqual(os.write(null, b"x" * 100), 100)
        self.assertEqual(os.read(null, 10), b"")
        os.close(null)

    def test_mknod_makes_regular_files(self):
        os.mknod(self.path("f"), stat.S_IFREG | 0o600)
        self.assertEqual(os.stat(self.path("f")).st_mode, stat.S_IFREG | 0o600)
        self.assert_errno(errno.EEXIST, os.mknod, self.path("f"), stat.S_IFREG | 0o600)


class CreateTest(PosixCase):
    def test_exclusive_creation_has_one_winner(self):
        won = run_together(4, race_to_create, self.dir, 150)
        self.assertEqual(sum(won), 300)
        removed = run_together(4, race_to_remove, self.dir, 150)
        self.assertEqual(sum(removed), 150)
        self.assert_errno(
            errno.EEXIST, os.open, self.path("d0"), os.O_CREAT | os.O_EXCL | os.O_WRONLY
        )

    def test_o_tmpfile_works_whole_or_is_refused(self):
        try:
            fd = os.open(self.dir, os.O_TMPFILE | os.O_RDWR, 0o600)
        except OSError as error:
            # libfuse before 3.17 has no such operation; programs fall back to a name.
            self.assertIn(error.errno, (errno.EOPNOTSUPP, errno.EISDIR))
            self.skipTest(f"O_TMPFILE is refused with {errno.errorcode[error.errno]}")
        self.addCleanup(self.close_quietly, fd)
        os.write(fd, b"unnamed")
        self.assertEqual(os.fstat(fd).st_nlink, 0)
        self.assertEqual(names_in(self.dir), [])
        link_fd(fd, self.path("named"))
        self.assertEqual(os.fstat(fd).st_nlink, 1)
        self.assertEqual(self.read_file("named"), b"unnamed")

    def test_open_with_o_trunc_and_modes(self):
        path = self.write_file("f", b"x" * MIB)
        os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
        self.assertEqual(os.stat(path).st_size, 0)
        fd = self.open("readonly", os.O_CREAT | os.O_RDWR, 0o400)
        os.write(fd, b"the creator may write")
        self.assertEqual(os.stat(self.path("readonly")).st_mode & 0o7777, 0o400)
        reader = self.open("readonly", os.O_RDONLY)
        self.assert_errno(errno.EBADF, os.write, reader, b"x")
        writer = self.open("f", os.O_WRONLY)
        self.assert_errno(errno.EBADF, os.read, writer, 1)
        self.assert_errno(errno.EISDIR, os.open, self.dir, os.O_WRONLY)

    def test_a_program_runs_from_here_and_cannot_be_written_meanwhile(self):
        program = self.path("sleep")
        with open("/bin/sleep", "rb") as original:
            self.write_file(program, original.read(), 0o755)
        pid = os.posix_spawn(program, ["sleep", "60"], {})
        try:
            self.eventually(lambda: os.readlink(f"/proc/{pid}/exe") == program, "it runs", 10)
            self.assert_errno(errno.ETXTBSY, os.open, program, os.O_WRONLY)
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(os.open(program, os.O_WRONLY))
