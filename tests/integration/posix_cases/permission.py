"""Who may do what, and which bits and ACLs go or stay."""

import errno
import mmap
import os
import pwd
import stat
import struct

from posix_case import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, PosixCase, fallocate, in_child

USER, OTHER = "daemon", "bin"
USER_ID, OTHER_ID = pwd.getpwnam(USER).pw_uid, pwd.getpwnam(OTHER).pw_uid
# A capability set as the kernel keeps it: revision 2, cap_net_raw permitted.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def can(user, path, access, groups=()):
    """Whether open(2), as `user`, agrees to read, write or search."""
    flags = {"r": os.O_RDONLY, "w": os.O_WRONLY, "l": os.O_RDONLY | os.O_DIRECTORY}

    def attempt():
        if access == "x":
            os.stat(os.path.join(path, "."))
        else:
            os.close(os.open(path, flags[access]))

    try:
        in_child(attempt, user=user, groups=groups)
        return True
    except PermissionError as error:
        if error.errno != errno.EACCES:
            raise
        return False


class AccessTest(PosixCase):
    def test_bits_decide_for_owner_group_and_others(self):
        file = self.write_file("f", b"x", 0o640)
        os.chown(file, USER_ID, OTHER_ID)
        self.assertTrue(can(USER, file, "r") and can(USER, file, "w"))
        self.assertTrue(can(OTHER, file, "r"))
        self.assertFalse(can(OTHER, file, "w"))
        self.assertFalse(can("nobody", file, "r"))
        self.assertTrue(can("nobody", file, "r", groups=[5, OTHER_ID, 7]), "supplementary group")
        os.chmod(file, 0o046)
        self.assertFalse(can(USER, file, "r"), "the owner is not the group")
        self.assertTrue(can("root", file, "w"), "root passes")

    def test_directories_need_search_to_enter_and_read_to_list(self):
        os.mkdir(self.path("d"))
        self.write_file("d/f", b"x")
        for mode, lists, enters in (
            (0o755, True, True),
            (0o744, True, False),
            (0o711, False, True),
        ):
            os.chmod(self.path("d"), mode)
            self.assertEqual(can(USER, self.path("d"), "l"), lists, oct(mode))
            # Where the kernel leaves permissions to us, it asks nobody for "." itself.
            if not self.bed.tikv:
                self.assertEqual(can(USER, self.path("d"), "x"), enters, oct(mode))
            self.assertEqual(can(USER, self.path("d/f"), "r"), enters, oct(mode))
        self.assert_errno(errno.EACCES, in_child, os.mkdir, self.path("d/n"), user=USER)
        self.assert_errno(errno.EACCES, in_child, os.unlink, self.path("d/f"), user=USER)

    def test_access_asks_for_the_real_user_and_execution_needs_a_bit(self):
        file = self.write_file("f", b"#!/bin/sh\nexit 7\n", 0o644)
        self.assertFalse(os.access(file, os.X_OK), "root needs an execute bit too")
        self.assert_errno(errno.EACCES, os.posix_spawn, file, [file], {})
        self.assertTrue(in_child(os.access, file, os.R_OK, user=USER))
        self.assertFalse(in_child(os.access, file, os.W_OK, user=USER))
        os.chmod(file, 0o755)
        self.assertEqual(in_child(os.spawnv, os.P_WAIT, file, [file], user=USER), 7)

    def test_only_owners_and_root_change_modes_owners_and_times(self):
        file = self.write_file("f", b"x", 0o666)
        os.chown(file, USER_ID, USER_ID)
        in_child(os.chmod, file, 0o664, user=USER)
        self.assertEqual(mode_of(file), 0o664)
        for function, arguments in (
            (os.chmod, (file, 0o777)),
            (os.chown, (file, OTHER_ID, -1)),
            (os.utime, (file, (1, 1))),
        ):
            self.assert_errno(errno.EPERM, in_child, function, *arguments, user=OTHER)
        self.assert_errno(errno.EPERM, in_child, os.chown, file, OTHER_ID, -1, user=USER)
        self.assert_errno(errno.EPERM, in_child, os.chown, file, -1, OTHER_ID, user=USER)
        in_child(os.chown, file, -1, OTHER_ID, user=USER, groups=[OTHER_ID])
        self.assertEqual(os.stat(file).st_gid, OTHER_ID)


class SetIdTest(PosixCase):
    """setuid and setgid go when a stranger changes a file (xfstests 193, 355, 375)."""

    def file(self, mode=0o6777):
        path = self.write_file("f", b"x" * 8192)
        os.chown(path, USER_ID, USER_ID)
        os.chmod(path, mode)
        return path

    @staticmethod
    def changes(path):
        def with_open(action, flags=os.O_RDWR):
            def change():
                fd = os.open(path, flags)
                try:
                    action(fd)
                finally:
                    os.close(fd)

            return change

        def direct(fd):
            os.pwritev(fd, [mmap.mmap(-1, 4096)], 0)

        punch = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE
        return {
            "write": with_open(lambda fd: os.write(fd, b"y")),
            "append": with_open(lambda fd: os.write(fd, b"y"), os.O_WRONLY | os.O_APPEND),
            "direct write": with_open(direct, os.O_RDWR | os.O_DIRECT),
            "truncate": lambda: os.truncate(path, 5),
            "extend": lambda: os.truncate(path, 100000),
            "O_TRUNC": with_open(lambda fd: None, os.O_WRONLY | os.O_TRUNC),
            "fallocate": with_open(lambda fd: fallocate(fd, 0, 0, 100000)),
            "punch": with_open(lambda fd: fallocate(fd, punch, 0, 4096)),
            "copy": with_open(lambda fd: os.copy_file_range(fd, fd, 100, 0, 4096)),
        }

    def test_changes_by_another_user_clear_both(self):
        for name in self.changes(""):
            with self.subTest(change=name):
                path = self.file()
                in_child(self.changes(path)[name], user=OTHER)
                self.assertEqual(oct(mode_of(path)), oct(0o777))

    def test_changes_by_root_keep_both(self):
        for name in self.changes(""):
            with self.subTest(change=name):
                path = self.file()
                self.changes(path)[name]()
                self.assertEqual(oct(mode_of(path)), oct(0o6777))

    def test_setgid_without_group_execute_stays_on_writes(self):
        path = self.file(0o6766)
        in_child(self.changes(path)["write"], user=OTHER)
        # Only the kernel's own rule for members of the group differs here between releases.
        self.assertIn(mode_of(path), (0o2766, 0o766))

    def test_chown_clears_both_on_files_and_keeps_them_on_directories(self):
        for user, owner, group in ((None, OTHER_ID, -1), (None, -1, OTHER_ID), (USER, -1, USER_ID)):
            path = self.file()
            in_child(os.chown, path, owner, group, user=user)
            self.assertEqual(oct(mode_of(path)), oct(0o777), (user, owner, group))
        os.mkdir(self.path("d"))
        os.chmod(self.path("d"), 0o6755)
        os.chown(self.path("d"), OTHER_ID, OTHER_ID)
        self.assertEqual(mode_of(self.path("d")), 0o6755)

    def test_chmod_drops_setgid_for_those_outside_the_group(self):
        path = self.file(0o644)
        os.chown(path, USER_ID, OTHER_ID)
        in_child(os.chmod, path, 0o2755, user=USER)
        self.assertEqual(mode_of(path), 0o755)
        in_child(os.chmod, path, 0o2755, user=USER, groups=[OTHER_ID])
        self.assertEqual(mode_of(path), 0o2755)

    def test_writes_and_chown_remove_file_capabilities(self):
        for change in ("write", "truncate", "chown"):
            path = self.file(0o755)
            os.setxattr(path, "security.capability", CAPABILITY)
            self.assertEqual(os.getxattr(path, "security.capability"), CAPABILITY)
            if change == "chown":
                os.chown(path, OTHER_ID, OTHER_ID)
            else:
                self.changes(path)[change]()
            self.assert_errno(errno.ENODATA, os.getxattr, path, "security.capability")

    def test_setuid_programs_run_as_their_owner(self):
        if os.statvfs(self.dir).f_flag & os.ST_NOSUID:
            self.skipTest("mounted nosuid")
        with open("/usr/bin/id", "rb") as program:
            path = self.write_file("id", program.read())
        os.chown(path, USER_ID, USER_ID)
        os.chmod(path, 0o4755)

        def effective_user():
            read_end, write_end = os.pipe()
            pid = os.posix_spawn(
                path, ["id", "-u"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 1)]
            )
            os.waitpid(pid, 0)
            os.close(write_end)
            return int(os.read(read_end, 100))

        self.assertEqual(in_child(effective_user, user=OTHER), USER_ID)


class DirectoryBitTest(PosixCase):
    def test_setgid_directories_hand_down_their_group(self):
        os.chown(self.dir, -1, OTHER_ID)
        os.chmod(self.dir, 0o2777)
        self.assertEqual(mode_of(self.dir), 0o2777)

        def make_all():
            os.umask(0)
            os.close(os.open(self.path("f"), os.O_CREAT | os.O_WRONLY, 0o644))
            os.mkdir(self.path("d"), 0o755)
            os.mkfifo(self.path("p"), 0o644)
            os.symlink("x", self.path("s"))

        in_child(make_all, user=USER)
        for name in ("f", "d", "p", "s"):
            status = os.lstat(self.path(name))
            self.assertEqual((status.st_uid, status.st_gid), (USER_ID, OTHER_ID), name)
        self.assertEqual(mode_of(self.path("d")), 0o2755)
        self.assertEqual(mode_of(self.path("f")), 0o644)
        os.chmod(self.dir, 0o0777)
        in_child(os.mkdir, self.path("plain"), user=USER)
        self.assertEqual(os.stat(self.path("plain")).st_gid, USER_ID)

    def test_sticky_directories_protect_the_files_of_others(self):
        os.mkdir(self.path("t"))
        os.chmod(self.path("t"), 0o1777)
        mine, theirs = self.write_file("t/mine"), self.write_file("t/theirs")
        os.chown(mine, USER_ID, USER_ID)
        os.chown(theirs, OTHER_ID, OTHER_ID)
        os.mkdir(self.path("t/dir"))
        for function, arguments in (
            (os.unlink, (theirs,)),
            (os.rmdir, (self.path("t/dir"),)),
            (os.rename, (theirs, self.path("t/new"))),
            (os.rename, (mine, theirs)),
        ):
            self.assert_errno(
                (errno.EPERM, errno.EACCES), in_child, function, *arguments, user=USER
            )
        in_child(os.rename, mine, self.path("t/renamed"), user=USER)
        in_child(os.unlink, self.path("t/renamed"), user=USER)
        os.chown(self.path("t"), USER_ID, -1)
        in_child(os.unlink, theirs, user=USER)

    def test_umask_and_modes_at_creation(self):
        def make(umask, mode):
            os.umask(umask)
            os.close(os.open(self.path("f"), os.O_CREAT | os.O_WRONLY, mode))
            os.mkdir(self.path("d"), mode)
            os.mkfifo(self.path("p"), mode)

        for umask, mode, expected in ((0, 0o7777, 0o7777), (0o27, 0o777, 0o750), (0o777, 0o777, 0)):
            in_child(make, umask, mode)
            self.assertEqual(mode_of(self.path("f")), expected)
            self.assertEqual(mode_of(self.path("d")), expected & 0o1777)
            self.assertEqual(mode_of(self.path("p")), expected)
            os.unlink(self.path("f"))
            os.rmdir(self.path("d"))
            os.unlink(self.path("p"))


class AclTest(PosixCase):
    def setUp(self):
        super().setUp()
        self.need_program("setfacl")
        self.need_program("getfacl")

    def set_acl(self, *arguments):
        self.run_program("setfacl", *arguments)

    def acl(self, path, *options):
        """The entries of getfacl, numeric, without comments."""
        shown = self.run_program("getfacl", "-cnEp", *options, path)
        return [line.split("\t")[0] for line in shown.splitlines() if line]

    def test_named_users_and_groups_and_the_mask_decide(self):
        file = self.write_file("f", b"x", 0o600)
        self.set_acl("-m", f"u:{USER}:r,g:{OTHER}:rw", file)
        expected = ["user::rw-", f"user:{USER_ID}:r--", "group::---", f"group:{OTHER_ID}:rw-"]
        self.assertEqual(self.acl(file), [*expected, "mask::rw-", "other::---"])
        self.assertEqual(mode_of(file), 0o660)
        self.assertTrue(can(USER, file, "r"))
        self.assertFalse(can(USER, file, "w"))
        self.assertTrue(can(OTHER, file, "w"))
        self.assertFalse(can("nobody", file, "r"))
        os.chmod(file, 0o640)  # the group bits are the mask now
        self.assertIn("mask::r--", self.acl(file))
        self.assertTrue(can(OTHER, file, "r"))
        self.assertFalse(can(OTHER, file, "w"))
        self.set_acl("-m", "m::rw", file)
        self.assertEqual(mode_of(file), 0o660)

    def test_removing_an_acl_leaves_the_mode(self):
        file = self.write_file("f", b"x", 0o640)
        self.set_acl("-m", f"u:{USER}:rwx", file)
        self.assertIn("system.posix_acl_access", os.listxattr(file))
        self.set_acl("-b", file)
        self.assertNotIn("system.posix_acl_access", os.listxattr(file))
        self.assertEqual(self.acl(file), ["user::rw-", "group::r--", "other::---"])
        self.assertFalse(can(USER, file, "r"))

    def test_an_acl_that_says_no_more_than_the_mode_is_the_mode(self):
        file = self.write_file("f", b"x", 0o644)
        self.set_acl("--set", "u::rwx,g::r-x,o::---", file)
        self.assertEqual(mode_of(file), 0o750)
        self.assert_errno(errno.ENODATA, os.getxattr, file, "system.posix_acl_access")

    def test_default_acls_are_inherited(self):
        os.mkdir(self.path("d"))
        self.set_acl("-m", f"d:u:{USER}:rwx,d:g::r-x,d:o::---", self.path("d"))

        def make():
            os.umask(0o077)  # counts for nothing below a default ACL
            os.close(os.open(self.path("d/f"), os.O_CREAT | os.O_WRONLY, 0o666))
            os.mkdir(self.path("d/sub"), 0o777)
            os.mkfifo(self.path("d/p"), 0o666)
            os.symlink("x", self.path("d/s"))

        in_child(make)
        entries = ["user::rw-", f"user:{USER_ID}:rwx", "group::r-x", "mask::rw-", "other::---"]
        self.assertEqual(self.acl(self.path("d/f")), entries)
        self.assertEqual(self.acl(self.path("d/p")), entries)
        self.assertEqual(mode_of(self.path("d/f")), 0o660)
        self.assertTrue(can(USER, self.path("d/f"), "w"))
        self.assertEqual(self.acl(self.path("d/sub"), "-d"), self.acl(self.path("d"), "-d"))
        self.assertIn(f"user:{USER_ID}:rwx", self.acl(self.path("d/sub"), "-a"))
        self.assertEqual(mode_of(self.path("d/sub")), 0o770)
        self.assertEqual(mode_of(self.path("d/s")), 0o777)
        self.set_acl("-k", self.path("d/sub"))
        self.assertEqual(self.acl(self.path("d/sub"), "-d"), [])

    def test_a_default_acl_and_the_creation_mode_meet_in_the_mask(self):
        os.mkdir(self.path("d"))
        self.set_acl("-m", f"d:u:{USER}:rwx", self.path("d"))
        os.close(os.open(self.path("d/f"), os.O_CREAT | os.O_WRONLY, 0o600))
        self.assertEqual(mode_of(self.path("d/f")), 0o600)
        self.assertIn("mask::---", self.acl(self.path("d/f")))
        self.assertFalse(can(USER, self.path("d/f"), "r"))

    def test_an_acl_lets_users_into_a_directory(self):
        os.mkdir(self.path("d"), 0o700)
        self.write_file("d/f", b"x")
        self.set_acl("-m", f"u:{USER}:x", self.path("d"))
        self.assertTrue(can(USER, self.path("d/f"), "r"))
        self.assertFalse(can(USER, self.path("d"), "l"))
        self.assertFalse(can(OTHER, self.path("d/f"), "r"))
        self.set_acl("-m", f"u:{USER}:wx", self.path("d"))
        in_child(os.unlink, self.path("d/f"), user=USER)

    def test_setfacl_drops_setgid_for_those_outside_the_group(self):
        file = self.write_file("f", b"x")
        os.chown(file, USER_ID, OTHER_ID)
        os.chmod(file, 0o2755)
        blob = self.access_blob((1, 7, -1), (4, 5, -1), (32, 5, -1))
        in_child(os.setxattr, file, "system.posix_acl_access", blob, user=USER)
        self.assertEqual(mode_of(file), 0o755)
        os.chmod(file, 0o2755)
        in_child(os.setxattr, file, "system.posix_acl_access", blob, user=USER, groups=[OTHER_ID])
        self.assertEqual(mode_of(file), 0o2755)

    def test_a_default_acl_keeps_setgid_inheritance(self):
        os.mkdir(self.path("d"))
        os.chmod(self.path("d"), 0o2775)
        self.set_acl("-m", f"d:u:{USER}:rwx", self.path("d"))
        self.assertEqual(mode_of(self.path("d")), 0o2775)
        os.mkdir(self.path("d/sub"))
        self.assertTrue(mode_of(self.path("d/sub")) & stat.S_ISGID)

    @staticmethod
    def access_blob(*entries):
        """The kernel's form: version 2, then tag, permissions and id of each."""
        body = b"".join(struct.pack("<HHI", t, p, i & 0xFFFFFFFF) for t, p, i in entries)
        return struct.pack("<I", 2) + body

    def test_malformed_and_forbidden_acls_are_refused(self):
        file = self.write_file("f", b"x", 0o666)
        good = self.access_blob((1, 6, -1), (4, 6, -1), (32, 6, -1))
        for bad in (
            b"\0",
            good[:-3],
            struct.pack("<I", 7) + good[4:],
            self.access_blob((1, 6, -1), (4, 6, -1)),
            self.access_blob((1, 6, -1), (2, 6, 1), (4, 6, -1), (32, 6, -1)),
            self.access_blob((1, 6, -1), (64, 6, -1), (4, 6, -1), (32, 6, -1)),
        ):
            self.assert_errno(
                (errno.EINVAL, errno.EOPNOTSUPP),
                os.setxattr,
                file,
                "system.posix_acl_access",
                bad,
            )
        self.assert_errno(
            errno.EPERM, in_child, os.setxattr, file, "system.posix_acl_access", good, user=USER
        )
        self.assert_errno(errno.EACCES, os.setxattr, file, "system.posix_acl_default", good)
        self.assertEqual(mode_of(file), 0o666)

    def test_acls_survive_copies_renames_and_remounts(self):
        mounted = self.new_mount(plain=False)
        path = os.path.join(mounted.path, "d")
        os.mkdir(path)
        self.set_acl("-m", f"u:{USER}:rwx,d:u:{OTHER}:r-x", path)
        expected = self.acl(path)
        os.rename(path, path + "2")
        mounted.remount_fresh()
        self.assertEqual(self.acl(path + "2"), expected)
        self.run_program("cp", "-a", path + "2", path + "3")
        self.assertEqual(self.acl(path + "3"), expected)
