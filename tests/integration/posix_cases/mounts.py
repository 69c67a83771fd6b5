"""Mount options, limits and what the mount says of itself."""

import errno
import os
import shutil
import stat
import subprocess
import time

from mount_fixture import MountFailure, VOLUME_BYTES, mount_entry
from posix_case import (
    FALLOC_KEEP_SIZE,
    KIB,
    MIB,
    PosixCase,
    fallocate,
    in_child,
    names_in,
)
from tree_manifest import describe_tree, difference

CAPACITY = 64 * MIB


def free_bytes(path):
    usage = os.statvfs(path)
    return usage.f_bavail * usage.f_frsize


class CapacityTest(PosixCase):
    """ENOSPC comes in time, is never overshot, and goes when space comes back."""

    def setUp(self):
        super().setUp()
        self.mounted = self.new_mount(capacity="64MiB")

    def at(self, name):
        return os.path.join(self.mounted.path, name)

    def fill(self, name, step=MIB):
        """Writes until there is no space; returns how many bytes a later reader finds."""
        fd = os.open(self.at(name), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        kept, refused = 0, None
        try:
            while kept < 4 * CAPACITY:
                try:
                    kept += os.write(fd, b"\xa5" * step)
                    os.fsync(fd)
                except OSError as error:
                    refused = error.errno
                    break
        finally:
            try:
                os.close(fd)
            except OSError as error:
                refused = refused or error.errno
        self.assertEqual(refused, errno.ENOSPC)
        return kept

    def test_writing_ends_with_enospc_at_the_capacity(self):
        usage = os.statvfs(self.mounted.path)
        self.assertLessEqual(usage.f_blocks * usage.f_frsize, CAPACITY)
        self.assertGreaterEqual(usage.f_blocks * usage.f_frsize, CAPACITY - 2 * MIB)
        kept = self.fill("big")
        self.assertLessEqual(kept, CAPACITY)
        self.assertGreaterEqual(kept, CAPACITY - 8 * MIB)
        self.assertLess(free_bytes(self.mounted.path), 4 * MIB)
        with open(self.at("big"), "rb") as file:
            content = file.read()
        self.assertGreaterEqual(len(content), kept - MIB)
        self.assertEqual(content[: kept - MIB].strip(b"\xa5"), b"")

    def test_space_comes_back_after_removal(self):
        kept = self.fill("big")
        os.unlink(self.at("big"))
        self.eventually(
            lambda: free_bytes(self.mounted.path) >= CAPACITY - 8 * MIB, "space is free again"
        )
        again = self.fill("again")
        self.assertGreaterEqual(again, kept - 4 * MIB)

    def test_space_of_an_open_unlinked_file_comes_back_at_its_close(self):
        fd = os.open(self.at("f"), os.O_CREAT | os.O_RDWR)
        os.write(fd, b"x" * 40 * MIB)
        os.fsync(fd)
        os.unlink(self.at("f"))
        self.assertLess(free_bytes(self.mounted.path), 26 * MIB)
        os.close(fd)
        self.eventually(
            lambda: free_bytes(self.mounted.path) >= CAPACITY - 8 * MIB, "space is free again"
        )

    def test_truncation_and_punching_give_space_back(self):
        self.fill("big")
        os.truncate(self.at("big"), MIB)
        self.eventually(
            lambda: free_bytes(self.mounted.path) >= CAPACITY - 8 * MIB, "space is free again"
        )
        self.write_file(self.at("next"), b"n" * 20 * MIB)

    def test_a_full_file_system_still_removes_renames_and_reads(self):
        os.mkdir(self.at("d"))
        self.write_file(self.at("d/small"), b"keep me")
        self.fill("big")
        self.assertEqual(self.read_file(self.at("d/small")), b"keep me")
        os.rename(self.at("d/small"), self.at("d/renamed"))
        os.chmod(self.at("d/renamed"), 0o600)
        os.unlink(self.at("d/renamed"))
        os.rmdir(self.at("d"))
        os.unlink(self.at("big"))
        self.assertEqual(names_in(self.mounted.path), [])

    def test_overwriting_in_place_needs_no_space(self):
        fd = os.open(self.at("f"), os.O_CREAT | os.O_RDWR)
        os.write(fd, b"1" * 4 * MIB)
        os.fsync(fd)
        self.fill("big")
        os.pwrite(fd, b"2" * 4 * MIB, 0)
        os.fsync(fd)
        os.close(fd)
        self.assertEqual(self.read_file(self.at("f")), b"2" * 4 * MIB)

    def test_preallocation_is_charged_and_honoured(self):
        fd = os.open(self.at("f"), os.O_CREAT | os.O_RDWR)
        self.assert_errno(errno.ENOSPC, fallocate, fd, 0, 0, 2 * CAPACITY)
        self.assertEqual(os.fstat(fd).st_size, 0)
        fallocate(fd, FALLOC_KEEP_SIZE, 0, 20 * MIB)
        os.fsync(fd)
        self.assertLess(free_bytes(self.mounted.path), CAPACITY - 18 * MIB)
        self.fill("big")
        os.pwrite(fd, b"p" * 20 * MIB, 0)
        os.fsync(fd)
        os.close(fd)
        self.assertEqual(self.read_file(self.at("f")), b"p" * 20 * MIB)

    def test_many_small_files_fill_it_too(self):
        count, refused = 0, False
        while count < 40000 and not refused:
            try:
                self.write_file(self.at(f"f{count}"), b"s" * 16 * KIB)
                count += 1
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                refused = True
        self.assertTrue(refused)
        self.assertLessEqual(count * 16 * KIB, CAPACITY)
        for index in range(count):
            os.unlink(self.at(f"f{index}"))
        if os.path.exists(self.at(f"f{count}")):
            os.unlink(self.at(f"f{count}"))
        self.write_file(self.at("after"), b"a" * 8 * MIB)


class InodeLimitTest(PosixCase):
    def test_the_limit_is_reached_exactly_enough_and_comes_back(self):
        mounted = self.new_mount(inodes=500)
        makers = (
            lambda path: self.write_file(path),
            os.mkdir,
            lambda path: os.symlink("x", path),
            os.mkfifo,
        )

        def make_all():
            for count in range(2000):
                try:
                    makers[count % 4](os.path.join(mounted.path, f"n{count}"))
                except OSError as error:
                    self.assertEqual(error.errno, errno.ENOSPC)
                    return count
            self.fail("the limit does not hold")

        made = make_all()
        self.assertLessEqual(made, 500)
        self.assertGreaterEqual(made, 480)
        self.assertLessEqual(os.statvfs(mounted.path).f_ffree, 20)
        if not self.is_reference:  # tmpfs charges names
            os.link(os.path.join(mounted.path, "n0"), os.path.join(mounted.path, "link"))
        for name in names_in(mounted.path):
            path = os.path.join(os.fsencode(mounted.path), name)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.rmdir(path)
            else:
                os.unlink(path)
        self.eventually(lambda: os.statvfs(mounted.path).f_ffree >= 480, "inodes are free again")
        self.assertGreaterEqual(make_all(), 480)


class ReadOnlyTest(PosixCase):
    def changes(self, root):
        def at(name):
            return os.path.join(root, name)

        return {
            "create": lambda: os.open(at("new"), os.O_CREAT | os.O_WRONLY),
            "open to write": lambda: os.open(at("f"), os.O_WRONLY),
            "truncate": lambda: os.truncate(at("f"), 0),
            "mkdir": lambda: os.mkdir(at("new")),
            "rmdir": lambda: os.rmdir(at("d")),
            "unlink": lambda: os.unlink(at("f")),
            "rename": lambda: os.rename(at("f"), at("g")),
            "link": lambda: os.link(at("f"), at("g")),
            "symlink": lambda: os.symlink("x", at("new")),
            "mknod": lambda: os.mkfifo(at("new")),
            "chmod": lambda: os.chmod(at("f"), 0o600),
            "chown": lambda: os.chown(at("f"), 1, 1),
            "utime": lambda: os.utime(at("f")),
            "setxattr": lambda: os.setxattr(at("f"), "user.k", b"v"),
            "removexattr": lambda: os.removexattr(at("f"), "user.k"),
        }

    def populate(self, mounted):
        self.write_file(os.path.join(mounted.path, "f"), b"content")
        self.write_file(os.path.join(mounted.path, "program"), b"#!/bin/sh\nexit 5\n", 0o755)
        os.setxattr(os.path.join(mounted.path, "f"), "user.k", b"v")
        os.mkdir(os.path.join(mounted.path, "d"))
        os.mkfifo(os.path.join(mounted.path, "fifo"))
        os.mknod(os.path.join(mounted.path, "null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))

    def assert_read_only(self, mounted):
        for name, change in self.changes(mounted.path).items():
            with self.subTest(change=name):
                self.assert_errno(errno.EROFS, change)
        root = mounted.path
        # What exists is told before that nothing may be made (xfstests 294).
        self.assert_errno(errno.EEXIST, os.mkdir, os.path.join(root, "d"))
        self.assert_errno(errno.EEXIST, os.symlink, "x", os.path.join(root, "f"))
        self.assertEqual(self.read_file(os.path.join(root, "f")), b"content")
        self.assertEqual(os.getxattr(os.path.join(root, "f"), "user.k"), b"v")
        self.assertTrue(os.statvfs(root).f_flag & os.ST_RDONLY)
        self.assertFalse(os.access(os.path.join(root, "f"), os.W_OK))
        program = os.path.join(root, "program")
        self.assertEqual(os.spawnv(os.P_WAIT, program, [program]), 5)
        # Fifos and devices (xfstests 306) carry data without changing the file system.
        fifo = os.open(os.path.join(root, "fifo"), os.O_RDWR)
        os.write(fifo, b"x")
        self.assertEqual(os.read(fifo, 1), b"x")
        os.close(fifo)
        null = os.open(os.path.join(root, "null"), os.O_RDWR)
        self.assertEqual(os.write(null, b"x"), 1)
        os.close(null)

    def test_a_read_only_mount_refuses_every_change(self):
        mounted = self.new_mount(options=["relatime"])
        self.populate(mounted)
        os.utime(os.path.join(mounted.path, "f"), ns=(10**18, 10**18))
        mounted.remount_fresh(["ro", "dev"])
        self.assert_read_only(mounted)
        self.assertEqual(os.stat(os.path.join(mounted.path, "f")).st_atime_ns, 10**18)
        mounted.remount_fresh([])
        self.assertEqual(sorted(names_in(mounted.path)), [b"d", b"f", b"fifo", b"null", b"program"])
        self.write_file(os.path.join(mounted.path, "f"), b"writable again")

    def remount(self, mounted, how, expect_success=True):
        result = subprocess.run(
            ["mount", "-i", "-o", f"remount,{how}", mounted.path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(result.returncode == 0, expect_success, result.stdout)

    def test_remount_to_read_only_and_back(self):
        mounted = self.new_mount(options=["relatime"])
        self.populate(mounted)
        path = os.path.join(mounted.path, "f")
        fd = os.open(path, os.O_WRONLY)
        os.pwrite(fd, b"CONTENT", 0)
        self.remount(mounted, "ro", expect_success=False)  # busy with a writer
        os.close(fd)
        self.remount(mounted, "ro")
        self.assertEqual(self.read_file(path), b"CONTENT")
        for change in self.changes(mounted.path).values():
            self.assert_errno(errno.EROFS, change)
        self.remount(mounted, "rw")
        self.write_file(path, b"writable again")
        self.assertEqual(self.read_file(path), b"writable again")

    def test_the_command_remounts_too(self):
        if self.is_reference:
            self.skipTest("tests the tifs command")
        mounted = self.new_mount()
        self.populate(mounted)
        for how, read_only in (("remount,ro", True), ("remount,rw", False)):
            result = self.bed.run_tifs("mount", mounted.uri, mounted.path, "-o", how)
            self.assertEqual(result.returncode, 0, result.stdout)
            flags = os.statvfs(mounted.path).f_flag
            self.assertEqual(bool(flags & os.ST_RDONLY), read_only)
        self.write_file(os.path.join(mounted.path, "f"), b"writable again")


class SubdirectoryTest(PosixCase):
    def test_a_subdirectory_is_the_root_of_its_mount(self):
        mounted = self.new_mount(plain=False)
        os.makedirs(os.path.join(mounted.path, "a/b/deep"))
        self.write_file(os.path.join(mounted.path, "a/b/f"), b"inside")
        self.write_file(os.path.join(mounted.path, "outside"), b"outside")
        os.chmod(os.path.join(mounted.path, "a/b"), 0o751)
        mounted.remount_fresh(["subdir=/a/b"])
        root = mounted.path
        self.assertEqual(sorted(names_in(root)), [b"deep", b"f"])
        self.assertEqual(stat.S_IMODE(os.stat(root).st_mode), 0o751)
        self.assertEqual(os.path.realpath(os.path.join(root, "deep/../..")), os.path.dirname(root))
        self.assertFalse(os.path.exists(os.path.join(root, "../outside")))
        os.rename(os.path.join(root, "f"), os.path.join(root, "deep/g"))
        self.write_file(os.path.join(root, "made"), b"below")
        os.chmod(root, 0o700)
        mounted.remount_fresh([])
        self.assertEqual(self.read_file(os.path.join(root, "a/b/deep/g")), b"inside")
        self.assertEqual(self.read_file(os.path.join(root, "a/b/made")), b"below")
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(root, "a/b")).st_mode), 0o700)
        self.assertEqual(self.read_file(os.path.join(root, "outside")), b"outside")

    def test_a_subdirectory_that_is_none_is_refused(self):
        mounted = self.new_mount(plain=False)
        self.write_file(os.path.join(mounted.path, "file"))
        mounted.unmount()
        for bad in ("/none", "/file"):
            with self.assertRaises(MountFailure):
                mounted.mount([f"subdir={bad}"])
        mounted.mount([])


class StatfsTest(PosixCase):
    def test_the_numbers_add_up_and_follow_use(self):
        mounted = self.new_mount(capacity="256MiB", inodes=1000)
        before = os.statvfs(mounted.path)
        self.assertEqual(before.f_namemax, 255)
        self.assertLessEqual(before.f_bavail, before.f_bfree)
        self.assertLessEqual(before.f_bfree, before.f_blocks)
        self.assertLessEqual(before.f_ffree, before.f_files)
        for index in range(10):
            path = os.path.join(mounted.path, f"f{index}")
            self.write_file(path, os.urandom(2 * MIB))
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        during = os.statvfs(mounted.path)
        used = (before.f_bfree - during.f_bfree) * before.f_frsize
        self.assertGreaterEqual(used, 20 * MIB)
        self.assertLessEqual(used, 24 * MIB)
        self.assertEqual(before.f_ffree - during.f_ffree, 10)
        for index in range(10):
            os.unlink(os.path.join(mounted.path, f"f{index}"))

        def is_free_again():
            after = os.statvfs(mounted.path)
            freed = (after.f_bfree - during.f_bfree) * after.f_frsize
            return freed >= 19 * MIB and after.f_ffree == before.f_ffree

        self.eventually(is_free_again, "space and inodes are free again")

    def test_without_a_capacity_the_disk_below_is_shown(self):
        mounted = self.new_mount()
        usage, below = os.statvfs(mounted.path), shutil.disk_usage(self.bed.root)
        total, free = (VOLUME_BYTES, VOLUME_BYTES) if self.bed.volume else (below.total, below.free)
        self.assertGreater(usage.f_blocks * usage.f_frsize, total // 2)
        self.assertLess(abs(usage.f_bavail * usage.f_frsize - free), total // 20)


class MountTest(PosixCase):
    """The command as others call it."""

    def setUp(self):
        super().setUp()
        if self.is_reference:
            self.skipTest("tests the tifs command")

    def test_mount_detaches_and_returns_once_it_serves(self):
        mounted = self.new_mount()
        self.write_file(os.path.join(mounted.path, "f"), b"content")
        mounted.unmount()
        # A pipe that called the command must end, so nothing of it may be inherited.
        result = self.bed.run_tifs("mount", mounted.uri, mounted.path, deadline_s=60)
        self.assertEqual(result.returncode, 0, result.stdout)
        try:
            self.assertEqual(self.read_file(os.path.join(mounted.path, "f")), b"content")
            entry = mount_entry(mounted.path)
            self.assertEqual((entry["type"], entry["source"]), ("fuse.tifs", mounted.uri))
            self.assertIn("nosuid", entry["options"])
            self.assertIn("nodev", entry["options"])
            self.assertIn("allow_other", entry["super_options"])
        finally:
            result = self.bed.run_tifs("umount", mounted.path)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIsNone(mount_entry(mounted.path))
        mounted.mount()
        self.assertEqual(self.read_file(os.path.join(mounted.path, "f")), b"content")

    def test_a_second_mount_of_a_store_is_refused_by_naming_the_first(self):
        mounted = self.new_mount()
        other = self.bed.new_directory("second")
        result = self.bed.run_tifs("mount", mounted.uri, other, deadline_s=60)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn(str(mounted.pid), result.stdout)
        self.assertIn("mounted by", result.stdout)
        self.assertIsNone(mount_entry(other))
        self.write_file(os.path.join(mounted.path, "still"), b"serving")

    def test_umount_says_what_keeps_it_busy(self):
        mounted = self.new_mount()
        path = self.write_file(os.path.join(mounted.path, "f"), b"x")
        holder = subprocess.Popen(["sleep", "60"], stdin=open(path, "rb"), cwd="/")
        try:
            result = self.bed.run_tifs("umount", mounted.path, deadline_s=60)
            self.assertEqual(result.returncode, 1, result.stdout)
            self.assertIn(str(holder.pid), result.stdout)
            self.assertTrue(mounted.is_serving())
        finally:
            holder.kill()
            holder.wait()
        self.assertEqual(self.read_file(path), b"x")

    def test_umount_of_umount8_is_clean_too(self):
        mounted = self.new_mount()
        self.write_file(os.path.join(mounted.path, "f"), b"x" * MIB)
        subprocess.run(["umount", mounted.path], check=True)
        began = time.monotonic()
        mounted.fsck()  # waits for the old process
        self.assertLess(time.monotonic() - began, 60)
        mounted.unmounted_by_others()
        mounted.mount()
        self.assertEqual(os.stat(os.path.join(mounted.path, "f")).st_size, MIB)

    def test_a_dead_mount_point_is_detached_by_the_next_mount(self):
        mounted = self.new_mount()
        path = self.write_file(os.path.join(mounted.path, "f"), b"synced")
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        os.kill(mounted.pid, 9)
        mounted.unmounted_by_others()
        self.assert_errno(errno.ENOTCONN, os.statvfs, mounted.path)
        mounted.mount()
        self.assertEqual(self.read_file(path), b"synced")


class MountOptionTest(PosixCase):
    def setUp(self):
        super().setUp()
        if self.is_reference:
            self.skipTest("tests the tifs command")

    def test_umask_and_noexec(self):
        mounted = self.new_mount()
        path = self.write_file(os.path.join(mounted.path, "f"), b"#!/bin/sh\nexit 3\n", 0o777)
        self.assertEqual(os.spawnv(os.P_WAIT, path, [path]), 3)
        mounted.remount_fresh(["umask=027", "noexec"])
        self.assert_errno(errno.EACCES, os.posix_spawn, path, [path], {})

        def make(umask):
            os.umask(umask)
            os.mkdir(os.path.join(mounted.path, f"d{umask}"), 0o777)
            file = os.path.join(mounted.path, f"f{umask}")
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o666))

        # The mount's mask stands in for that of each process.
        for umask in (0, 0o077):
            in_child(make, umask)
            for name, mode in ((f"d{umask}", 0o750), (f"f{umask}", 0o640)):
                status = os.stat(os.path.join(mounted.path, name))
                self.assertEqual(stat.S_IMODE(status.st_mode), mode, name)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o777)

    def test_little_memory_and_few_threads_still_serve(self):
        mounted = self.new_mount(options=["memory=64MiB", "threads=2", "noatime"])
        data = os.urandom(24 * MIB)
        path = self.write_file(os.path.join(mounted.path, "f"), data)
        mounted.remount_fresh()
        self.assertEqual(self.read_file(path), data)

    def test_an_unknown_option_is_refused_with_the_nearest(self):
        mounted = self.new_mount()
        mounted.unmount()
        result = self.bed.run_tifs("mount", mounted.uri, mounted.path, "-o", "notime")
        self.assertIn(result.returncode, (1, 2))
        self.assertIn("noatime", result.stdout)
        self.assertIsNone(mount_entry(mounted.path))
        mounted.mount([])


class PersistenceTest(PosixCase):
    def test_a_tree_is_the_same_after_a_remount(self):
        mounted = self.new_mount(plain=False)
        root = os.path.join(mounted.path, "tree")
        os.makedirs(os.path.join(root, "d/e"))
        for index in range(200):
            self.write_file(os.path.join(root, f"d/f{index}"), os.urandom(index * 97))
        self.write_file(os.path.join(root, "big"), os.urandom(9 * MIB + 3))
        os.link(os.path.join(root, "big"), os.path.join(root, "d/e/hard"))
        os.symlink("../big", os.path.join(root, "d/soft"))
        os.mkfifo(os.path.join(root, "fifo"), 0o620)
        os.mknod(os.path.join(root, "dev"), stat.S_IFBLK | 0o600, os.makedev(7, 300))
        os.truncate(self.write_file(os.path.join(root, "sparse"), b"x"), 1 << 28)
        for name in ("big", "d", "sparse"):
            os.setxattr(os.path.join(root, name), "user.k", name.encode())
            os.chown(os.path.join(root, name), 1, 2)
            os.utime(os.path.join(root, name), ns=(10**18 + 3, 10**18 + 7))
        before = describe_tree(root, with_identity=True)
        mounted.remount_fresh()
        self.assertEqual(difference(before, describe_tree(root, with_identity=True)), "")
