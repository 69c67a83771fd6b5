"""Extended attributes of every name space."""

import ctypes
import errno
import os
import random
import stat

from posix_case import PosixCase, check, in_child, libc

USER = "daemon"


class XattrTest(PosixCase):
    def setUp(self):
        super().setUp()
        self.file = self.write_file("f", b"x", 0o644)

    def test_set_get_list_and_remove(self):
        os.mkdir(self.path("d"))
        for path in (self.file, self.path("d")):
            values = {"user.a": b"1", "user.empty": b"", "user.bytes": bytes(range(256))}
            values |= {"trusted.t": b"t", "security.tifs": b"s", "user.ü": "ü".encode()}
            for name, value in values.items():
                os.setxattr(path, name, value)
            self.assertEqual(sorted(os.listxattr(path)), sorted(values))
            for name, value in values.items():
                self.assertEqual(os.getxattr(path, name), value)
            os.setxattr(path, "user.a", b"changed to something longer")
            self.assertEqual(os.getxattr(path, "user.a"), b"changed to something longer")
            for name in values:
                os.removexattr(path, name)
                self.assert_errno(errno.ENODATA, os.getxattr, path, name)
                self.assert_errno(errno.ENODATA, os.removexattr, path, name)
            self.assertEqual(os.listxattr(path), [])

    def test_create_and_replace_flags(self):
        self.assert_errno(errno.ENODATA, os.setxattr, self.file, "user.k", b"v", os.XATTR_REPLACE)
        os.setxattr(self.file, "user.k", b"v", os.XATTR_CREATE)
        self.assert_errno(errno.EEXIST, os.setxattr, self.file, "user.k", b"w", os.XATTR_CREATE)
        os.setxattr(self.file, "user.k", b"w", os.XATTR_REPLACE)
        self.assertEqual(os.getxattr(self.file, "user.k"), b"w")

    def test_sizes_are_told_and_short_buffers_refused(self):
        os.setxattr(self.file, "user.k", b"0123456789")
        path, name = os.fsencode(self.file), b"user.k"
        self.assertEqual(check(libc.getxattr(path, name, None, 0)), 10)
        buffer = ctypes.create_string_buffer(10)
        self.assertEqual(check(libc.getxattr(path, name, buffer, 10)), 10)
        self.assertEqual(buffer.raw, b"0123456789")
        self.assert_errno(errno.ERANGE, lambda: check(libc.getxattr(path, name, buffer, 9)))
        total = check(libc.listxattr(path, None, 0))
        self.assertEqual(total, len(name) + 1)
        self.assertEqual(check(libc.listxattr(path, buffer, total)), total)
        self.assertEqual(buffer.raw[:total], b"user.k\0")
        self.assert_errno(errno.ERANGE, lambda: check(libc.listxattr(path, buffer, total - 1)))

    def test_values_of_every_size_to_the_kernels_limit(self):
        rng = random.Random(1)
        sizes = [0, 1, 255, 256, 1000, 3000]
        if not self.is_reference:
            sizes += [4096, 10000, 65535, 65536]
        for size in sizes:
            value = rng.randbytes(size)
            os.setxattr(self.file, "user.big", value)
            self.assertEqual(os.getxattr(self.file, "user.big"), value)
        self.assert_errno(errno.E2BIG, os.setxattr, self.file, "user.big", bytes(65537))

    def test_names_to_255_bytes(self):
        name = "user." + "n" * 250
        os.setxattr(self.file, name, b"v")
        self.assertEqual(os.listxattr(self.file), [name])
        self.assert_errno(errno.ERANGE, os.setxattr, self.file, name + "n", b"v")
        self.assert_errno(errno.ENODATA, os.getxattr, self.file, name[:-1])

    def test_many_attributes(self):
        names = [f"user.attribute-{index:03}" for index in range(60)]
        for name in names:
            os.setxattr(self.file, name, name.encode())
        self.assertEqual(sorted(os.listxattr(self.file)), names)
        for name in names[::2]:
            os.removexattr(self.file, name)
        self.assertEqual(sorted(os.listxattr(self.file)), names[1::2])
        self.assertEqual(os.getxattr(self.file, names[1]), names[1].encode())

    def test_unknown_name_spaces_and_wrong_types_are_refused(self):
        self.assert_errno(errno.EOPNOTSUPP, os.setxattr, self.file, "none.such", b"v")
        self.assert_errno(errno.EOPNOTSUPP, os.setxattr, self.file, "nospace", b"v")
        os.symlink("f", self.path("s"))
        os.mkfifo(self.path("p"))
        os.mknod(self.path("n"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        for name in ("p", "n"):
            self.assert_errno(errno.EPERM, os.setxattr, self.path(name), "user.k", b"v")
        self.assert_errno(
            errno.EPERM, os.setxattr, self.path("s"), "user.k", b"v", follow_symlinks=False
        )
        os.setxattr(self.path("s"), "trusted.k", b"v", follow_symlinks=False)
        self.assertEqual(os.listxattr(self.path("s"), follow_symlinks=False), ["trusted.k"])
        os.setxattr(self.path("s"), "user.k", b"v")
        self.assertEqual(os.getxattr(self.file, "user.k"), b"v")

    def test_permissions_of_the_file_and_the_name_space(self):
        os.setxattr(self.file, "user.k", b"v")
        os.setxattr(self.file, "trusted.k", b"v")
        self.assertEqual(in_child(os.getxattr, self.file, "user.k", user=USER), b"v")
        self.assert_errno(errno.EACCES, in_child, os.setxattr, self.file, "user.k", b"w", user=USER)
        self.assert_errno(errno.ENODATA, in_child, os.getxattr, self.file, "trusted.k", user=USER)
        self.assert_errno(
            errno.EPERM, in_child, os.setxattr, self.file, "trusted.k", b"w", user=USER
        )
        self.assert_errno(
            errno.EPERM, in_child, os.setxattr, self.file, "security.k", b"w", user=USER
        )
        self.assertEqual(in_child(os.listxattr, self.file, user=USER), ["user.k"])
        os.chmod(self.file, 0o600)
        self.assert_errno(errno.EACCES, in_child, os.getxattr, self.file, "user.k", user=USER)

    def test_changes_move_ctime_alone(self):
        os.utime(self.file, ns=(10**18, 10**18))
        before = os.stat(self.file)
        self.eventually(lambda: self.touch_xattr().st_ctime_ns > before.st_ctime_ns, "ctime", 5)
        after = os.stat(self.file)
        self.assertEqual(after.st_mtime_ns, before.st_mtime_ns)
        self.assertEqual(after.st_atime_ns, before.st_atime_ns)

    def touch_xattr(self):
        os.setxattr(self.file, "user.k", b"v")
        return os.stat(self.file)

    def test_attributes_belong_to_the_inode(self):
        os.setxattr(self.file, "user.k", b"v")
        os.link(self.file, self.path("link"))
        os.rename(self.file, self.path("g"))
        self.assertEqual(os.getxattr(self.path("link"), "user.k"), b"v")
        self.write_file("f")
        self.assertEqual(os.listxattr(self.file), [])
        fd = self.open("g")
        os.unlink(self.path("g"))
        os.unlink(self.path("link"))
        os.setxattr(fd, "user.late", b"w")
        self.assertEqual(sorted(os.listxattr(fd)), ["user.k", "user.late"])
