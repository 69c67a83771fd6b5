"""Rename with its flags, and files that lose their names while they are open."""

import ctypes
import errno
import mmap
import os
import stat

from posix_case import (
    KIB,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
    PosixCase,
    libc,
    link_fd,
    names_in,
    renameat2,
)


class RenameFlagTest(PosixCase):
    def test_noreplace_refuses_an_existing_target(self):
        first, second = self.write_file("a", b"a"), self.write_file("b", b"b")
        self.assert_errno(errno.EEXIST, renameat2, first, second, RENAME_NOREPLACE)
        self.assertEqual((self.read_file("a"), self.read_file("b")), (b"a", b"b"))
        os.symlink("nowhere", self.path("dangling"))
        self.assert_errno(errno.EEXIST, renameat2, first, self.path("dangling"), RENAME_NOREPLACE)
        renameat2(first, self.path("c"), RENAME_NOREPLACE)
        self.assertEqual(self.read_file("c"), b"a")
        self.assert_errno(errno.ENOENT, os.stat, first)

    def test_exchange_swaps_files_across_directories(self):
        os.mkdir(self.path("x"))
        os.mkdir(self.path("y"))
        first, second = self.write_file("x/f", b"first"), self.write_file("y/f", b"second")
        inodes = os.stat(first).st_ino, os.stat(second).st_ino
        renameat2(first, second, RENAME_EXCHANGE)
        self.assertEqual((self.read_file(first), self.read_file(second)), (b"second", b"first"))
        self.assertEqual((os.stat(second).st_ino, os.stat(first).st_ino), inodes)
        self.assertEqual(names_in(self.path("x")) + names_in(self.path("y")), [b"f", b"f"])

    def test_exchange_swaps_a_full_directory_with_a_file_and_a_link(self):
        for name in ("x", "y", "x/dir", "x/dir/sub"):
            os.mkdir(self.path(name))
        self.write_file("x/dir/inside", b"inside")
        self.write_file("y/file", b"file")
        renameat2(self.path("x/dir"), self.path("y/file"), RENAME_EXCHANGE)
        self.assertEqual(self.read_file("x/dir"), b"file")
        self.assertEqual(self.read_file("y/file/inside"), b"inside")
        self.assertEqual(os.stat(self.path("x")).st_nlink, 2)
        self.assertEqual(os.stat(self.path("y")).st_nlink, 3)
        self.assertEqual(os.stat(self.path("y/file/..")).st_ino, os.stat(self.path("y")).st_ino)
        os.symlink("target", self.path("link"))
        renameat2(self.path("link"), self.path("y/file"), RENAME_EXCHANGE)
        self.assertEqual(os.readlink(self.path("y/file")), "target")
        self.assertEqual(self.read_file("link/inside"), b"inside")

    def test_exchange_of_two_directories_moves_their_parents(self):
        for name in ("x", "y", "x/a", "y/b", "x/a/in_a"):
            os.mkdir(self.path(name))
        renameat2(self.path("x/a"), self.path("y/b"), RENAME_EXCHANGE)
        self.assertEqual(names_in(self.path("y/b")), [b"in_a"])
        self.assertEqual(names_in(self.path("x/a")), [])
        for child, parent in (("x/a/..", "x"), ("y/b/..", "y")):
            self.assertEqual(os.stat(self.path(child)).st_ino, os.stat(self.path(parent)).st_ino)

    def test_exchange_refuses_what_it_must(self):
        os.mkdir(self.path("d"))
        os.mkdir(self.path("d/e"))
        file = self.write_file("f", b"f")
        self.assert_errno(errno.ENOENT, renameat2, file, self.path("none"), RENAME_EXCHANGE)
        self.assert_errno(
            (errno.EINVAL, errno.ENOTEMPTY),
            renameat2,
            self.path("d"),
            self.path("d/e"),
            RENAME_EXCHANGE,
        )
        self.assert_errno(
            errno.EINVAL, renameat2, file, self.path("d"), RENAME_EXCHANGE | RENAME_NOREPLACE
        )
        self.assert_errno(errno.EINVAL, renameat2, file, self.path("d"), 1 << 7)
        renameat2(file, file, RENAME_EXCHANGE)
        self.assertEqual(self.read_file(file), b"f")

    def test_whiteout_leaves_a_device_zero_behind(self):
        self.write_file("f", b"content")
        self.write_file("target", b"old")
        renameat2(self.path("f"), self.path("target"), RENAME_WHITEOUT)
        left = os.lstat(self.path("f"))
        self.assertTrue(stat.S_ISCHR(left.st_mode))
        self.assertEqual(left.st_rdev, 0)
        self.assertEqual(self.read_file("target"), b"content")
        self.assert_errno(
            errno.EEXIST,
            renameat2,
            self.path("target"),
            self.path("f"),
            RENAME_WHITEOUT | RENAME_NOREPLACE,
        )
        self.assert_errno(
            errno.EINVAL,
            renameat2,
            self.path("target"),
            self.path("f"),
            RENAME_WHITEOUT | RENAME_EXCHANGE,
        )

    def test_plain_rename_keeps_its_rules(self):
        for name in ("empty", "full", "d"):
            os.mkdir(self.path(name))
        self.write_file("full/f")
        file = self.write_file("file", b"file")
        os.link(file, self.path("link"))
        rename = os.rename
        self.assert_errno(
            (errno.ENOTEMPTY, errno.EEXIST), rename, self.path("d"), self.path("full")
        )
        self.assert_errno(errno.ENOTDIR, rename, self.path("d"), file)
        self.assert_errno(errno.EISDIR, rename, file, self.path("d"))
        self.assert_errno(errno.EINVAL, rename, self.path("full"), self.path("full/sub"))
        rename(self.path("d"), self.path("empty"))
        rename(file, self.path("link"))  # the same file: nothing happens
        self.assertEqual(os.stat(file).st_nlink, 2)
        self.assertEqual(sorted(names_in(self.dir)), [b"empty", b"file", b"full", b"link"])

    def test_rename_keeps_everything_but_the_name(self):
        path = self.write_file("f", b"x" * 10000, 0o4751)
        os.chown(path, 1, 2)
        os.chmod(path, 0o4751)
        os.setxattr(path, "user.k", b"v")
        os.utime(path, ns=(10**18 + 1, 10**18 + 2))
        before = os.stat(path)
        os.mkdir(self.path("d"))
        os.rename(path, self.path("d/g"))
        after = os.stat(self.path("d/g"))
        for field in (
            "st_ino",
            "st_mode",
            "st_uid",
            "st_gid",
            "st_size",
            "st_mtime_ns",
            "st_nlink",
        ):
            self.assertEqual(getattr(after, field), getattr(before, field), field)
        self.assertEqual(os.getxattr(self.path("d/g"), "user.k"), b"v")


class UnlinkedFileTest(PosixCase):
    def test_an_unlinked_open_file_stays_whole_and_usable(self):
        fd = self.open("f")
        os.write(fd, b"a" * 200 * KIB)
        os.setxattr(fd, "user.k", b"v")
        second = self.open("f", os.O_RDWR)
        os.unlink(self.path("f"))
        self.assertEqual(os.fstat(fd).st_nlink, 0)
        self.assertEqual(os.pread(fd, 10, 150 * KIB), b"a" * 10)
        os.pwrite(fd, b"b" * 100 * KIB, 300 * KIB)
        self.assertEqual(os.fstat(second).st_size, 400 * KIB)
        self.assertEqual(os.pread(second, 4, 250 * KIB), bytes(4))
        self.assertEqual(os.pread(second, 4, 399 * KIB), b"bbbb")
        os.ftruncate(fd, 1000)
        os.fchmod(fd, 0o600)
        os.fchown(fd, 1, 1)
        os.utime(fd, ns=(1, 2))
        self.assertEqual(os.getxattr(fd, "user.k"), b"v")
        os.setxattr(fd, "user.k2", b"v2")
        os.fsync(fd)
        os.close(fd)
        status = os.fstat(second)
        self.assertEqual((status.st_size, status.st_mode & 0o777, status.st_uid), (1000, 0o600, 1))
        self.assertEqual(status.st_mtime_ns, 2)
        self.assertEqual(os.pread(second, 2000, 0), b"a" * 1000)

    def test_an_unlinked_file_stays_mapped_without_a_descriptor(self):
        self.needs_shared_mappings()
        fd = self.open("f")
        os.write(fd, b"m" * 100 * KIB)
        # Python's mmap keeps a descriptor of its own.
        libc.mmap.restype = ctypes.c_void_p
        shared = (mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED)
        address = libc.mmap(None, ctypes.c_size_t(100 * KIB), *shared, fd, ctypes.c_int64(0))
        self.assertNotEqual(address, ctypes.c_void_p(-1).value)
        self.addCleanup(libc.munmap, ctypes.c_void_p(address), ctypes.c_size_t(100 * KIB))
        os.unlink(self.path("f"))
        os.close(fd)
        ctypes.memmove(address + 5000, b"wxyz", 4)
        size = ctypes.c_size_t(100 * KIB)
        self.assertEqual(libc.msync(ctypes.c_void_p(address), size, 4), 0)  # MS_SYNC
        # Drops the pages, so that they are read again from a file without name or descriptor.
        libc.madvise(ctypes.c_void_p(address), size, mmap.MADV_DONTNEED)
        libc.madvise(ctypes.c_void_p(address), size, 21)  # MADV_PAGEOUT
        self.assertEqual(ctypes.string_at(address + 4999, 6), b"mwxyzm")
        self.assertEqual(ctypes.string_at(address + 100 * KIB - 1, 1), b"m")

    def test_an_unlinked_file_cannot_be_linked_again(self):
        fd = self.open("f")
        os.unlink(self.path("f"))
        self.assert_errno(errno.ENOENT, link_fd, fd, self.path("again"))

    def test_rename_over_an_open_file_keeps_both(self):
        self.write_file("new", b"new content")
        old = self.open("f")
        os.write(old, b"old content, longer")
        os.rename(self.path("new"), self.path("f"))
        self.assertEqual(self.read_file("f"), b"new content")
        self.assertEqual(os.fstat(old).st_nlink, 0)
        os.write(old, b"!")
        self.assertEqual(os.pread(old, 100, 0), b"old content, longer!")
        self.assertEqual(self.read_file("f"), b"new content")

    def test_a_reader_of_a_file_replaced_by_rename_never_sees_a_mixture(self):
        path = self.write_file("f", bytes([0]) * 50000)
        for round_number in range(1, 60):
            self.write_file("next", bytes([round_number]) * 50000)
            os.rename(self.path("next"), path)
            content = self.read_file(path)
            self.assertEqual(content, bytes([round_number]) * 50000)

    def test_a_directory_removed_as_cwd(self):
        os.mkdir(self.path("d"))
        os.chdir(self.path("d"))
        self.addCleanup(os.chdir, "/")
        os.rmdir(self.path("d"))
        self.assert_errno(errno.ENOENT, os.getcwd)
        self.assert_errno(errno.ENOENT, os.mkdir, "sub")
        self.assertEqual(os.stat(".").st_nlink, 0)
        os.chdir("/")

    def test_an_open_directory_that_is_removed_or_replaced(self):
        for remove in (os.rmdir, lambda path: os.rename(self.path("other"), path)):
            os.mkdir(self.path("d"))
            os.mkdir(self.path("other"))
            fd = os.open(self.path("d"), os.O_RDONLY | os.O_DIRECTORY)
            self.addCleanup(os.close, fd)
            before = os.fstat(fd)
            remove(self.path("d"))
            after = os.fstat(fd)
            self.assertEqual((after.st_nlink, after.st_ino, after.st_mode), (0, before.st_ino, before.st_mode))
            self.assertEqual(os.listdir(fd), [])
            self.assert_errno(errno.ENOENT, os.open, "new", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
            for name in os.listdir(self.path(".")):
                os.rmdir(self.path(name))
