"""What the commands make of a damaged store and of one of a newer version; and what `make run` does."""

import errno
import os
import re
import shutil
import signal
import subprocess

from cli_case import DEADLINE_S, MountCase, REPOSITORY
from mount_fixture import mount_entry, wait_until


class DamageCase(MountCase):
    def setUp(self):
        super().setUp()
        if not self.damage_program:
            self.skipTest("needs --damage")
        self.format()
        self.mount()
        self.write("good", "good")
        self.write("bad", "x" * 300000)
        self.inode = os.stat(os.path.join(self.mnt, "bad")).st_ino
        self.umount()

    def damage(self, *what):
        subprocess.run([self.damage_program, self.store, *map(str, what)], check=True)

    def check_finds(self, pattern):
        result = self.run_tifs("fsck", "-n", self.uri)
        self.assertEqual(result.returncode, 4, result.stdout)
        self.assertRegex(result.stdout, pattern)
        again = self.run_tifs("fsck", self.uri)
        # Without -n and a terminal it only looks.
        self.assertEqual((again.returncode, again.stdout), (4, result.stdout))

    def check_repairs(self):
        result = self.run_tifs("fsck", "-y", self.uri)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("(repaired)", result.stdout)
        report = self.ok_json("fsck", "-n", self.uri)
        self.assertEqual(report["finding_count"], 0)

    def expect_eio(self, call, *arguments):
        with self.assertRaises(OSError) as raised:
            call(*arguments)
        self.assertEqual(raised.exception.errno, errno.EIO)

    def test_an_entry_of_nothing(self):
        self.damage("dangling-entry", "ghost\x1b\n")
        self.check_finds(r"ghost\\x1b\\x0a")
        self.check_repairs()
        self.mount()
        self.assertEqual(sorted(os.listdir(self.mnt)), ["bad", "good"])

    def test_an_inode_without_an_entry_goes_to_lost_and_found(self):
        self.damage("lose-entry", "bad")
        self.check_finds(str(self.inode))
        self.check_repairs()
        self.mount()
        found = os.listdir(os.path.join(self.mnt, "lost+found"))
        self.assertEqual(len(found), 1)
        self.assertEqual(self.read(f"lost+found/{found[0]}"), "x" * 300000)
        self.assertEqual(self.read("good"), "good")

    def test_a_wrong_count_of_links(self):
        self.damage("wrong-nlink", self.inode)
        self.check_finds(r"link")
        self.check_repairs()
        self.mount()
        self.assertEqual(os.stat(os.path.join(self.mnt, "bad")).st_nlink, 1)

    def test_wrong_usage(self):
        self.damage("wrong-usage")
        self.check_finds(r"usage|use")
        self.check_repairs()
        self.assertEqual(self.ok_json("info", self.uri)["used_inodes"], 3)

    def test_stray_blocks(self):
        self.damage("stray-block")
        self.check_finds(r"block")
        self.check_repairs()

    def test_a_corrupt_inode_is_eio_for_that_file(self):
        self.damage("garbage-inode", self.inode)
        log = os.path.join(self.root, "log")
        pid = self.mount("-o", f"log={log}")
        self.expect_eio(os.stat, os.path.join(self.mnt, "bad"))
        self.assertEqual(self.read("good"), "good")
        self.assertIn("bad", os.listdir(self.mnt))
        self.assertEqual(self.pid_of_mount(self.mnt), pid)
        self.assertGreater(self.ok_json("stats", self.mnt)["corrupt_values"], 0)
        with open(log, encoding="utf-8") as file:
            self.assertRegex(file.read(), r"(?i)(warning|error) .*corrupt")
        self.umount()
        self.check_finds(str(self.inode))
        self.check_repairs()

    def test_a_corrupt_entry_is_eio_for_that_name(self):
        self.damage("garbage-entry", "bad")
        self.mount()
        self.expect_eio(os.stat, os.path.join(self.mnt, "bad"))
        self.assertEqual(self.read("good"), "good")
        self.umount()
        self.check_finds(".")
        self.check_repairs()

    def test_a_corrupt_block_is_eio_for_that_file(self):
        self.damage("garbage-block", self.inode)
        self.mount()
        self.expect_eio(self.read, "bad")
        self.assertEqual(self.read("good"), "good")
        self.umount()
        self.check_finds(".")
        self.check_repairs()

    def test_an_inode_with_one_bad_field_loses_nothing_else(self):
        self.damage("bad-version", self.inode)
        self.check_finds(r'in one field only: "/bad"')
        self.check_repairs()
        self.mount()
        self.assertEqual(self.read("bad"), "x" * 300000)

    def test_two_files_that_claim_the_same_bytes(self):
        self.mount()
        self.write("other", "y" * 300000)
        other = os.stat(os.path.join(self.mnt, "other")).st_ino
        self.umount()
        self.damage("share-slot", self.inode, other)
        self.mount()
        self.expect_eio(self.read, "bad")
        self.expect_eio(self.read, "other")
        self.umount()
        self.check_finds(r'as another block does: "/other"')
        self.check_repairs()
        self.mount()
        self.assertEqual(self.read("bad"), "\0" * 65536 + "x" * (300000 - 65536))
        self.assertEqual(self.read("other"), "\0" * 65536 + "y" * (300000 - 65536))
        kept, = os.listdir(os.path.join(self.mnt, "lost+found"))
        self.assertRegex(kept, r"\Aslot-\d+\Z")
        self.assertEqual(self.read(f"lost+found/{kept}"), "x" * 65536)
        self.assertEqual(os.stat(os.path.join(self.mnt, "lost+found", kept)).st_mode & 0o7777, 0o600)

    def test_what_cannot_be_repaired_is_left_and_said(self):
        self.mount()
        os.symlink("target", os.path.join(self.mnt, "li\nnk"))
        link = os.lstat(os.path.join(self.mnt, "li\nnk")).st_ino
        self.umount()
        self.damage("no-target", link)
        self.damage("wrong-nlink", self.inode)
        result = self.run_tifs("fsck", "-y", self.uri)
        self.assertEqual(result.returncode, 1 | 4, result.stdout)
        self.assertIn(f'symbolic link inode {link} has no target: remove it: "/li\\x0ank"\n', result.stdout)
        self.assertRegex(result.stdout, r"2 findings, 1 repaired, 1 left\n\Z")
        self.assertEqual(self.run_tifs("fsck", "-y", self.uri).returncode, 4)
        self.mount()
        os.unlink(os.path.join(self.mnt, "li\nnk"))
        self.umount()
        self.ok("fsck", "-n", self.uri)

    def test_a_store_without_its_data_file(self):
        os.rename(os.path.join(self.store, "blocks"), os.path.join(self.root, "blocks"))
        damaged = re.compile(rf"{self.store}: the store below is damaged: .*blocks.*; restore it from a backup.*")
        self.fails(1, damaged, "mount", self.uri, self.mnt)
        self.fails(8, damaged, "fsck", "-n", self.uri)
        self.fails(8, damaged, "fsck", "-y", self.uri)
        os.rename(os.path.join(self.root, "blocks"), os.path.join(self.store, "blocks"))
        self.ok("fsck", "-n", self.uri)

    def test_a_data_file_that_was_cut_is_spoken_of(self):
        blocks = os.path.join(self.store, "blocks")
        self.assertNotIn("beyond the end", self.ok("fsck", "-n", self.uri))
        self.assertEqual(self.ok_json("fsck", "-n", self.uri)["missing_bytes"], 0)
        os.truncate(blocks, 100000)
        self.assertIn("; 195.3 KiB of files lie beyond the end of the data file and read as zeros; clean",
                      self.ok("fsck", "-n", self.uri))
        self.assertEqual(self.ok_json("fsck", "-n", self.uri)["missing_bytes"], 200000)
        self.mount()
        self.assertIsNone(self.ok_json("fsck", "-n", self.uri)["missing_bytes"])
        self.assertEqual(self.read("bad"), "x" * 100000 + "\0" * 200000)

    def test_a_store_that_lost_its_current_file_is_not_called_unformatted(self):
        for lost in ("kv/CURRENT", "kv"):
            path = os.path.join(self.store, lost)
            aside = os.path.join(self.root, "aside")
            os.rename(path, aside)
            damaged = re.compile(rf"{self.store}: the store below is damaged: the file 'kv/CURRENT' is missing; "
                                 "restore it from a backup; see TROUBLESHOOTING")
            self.fails(1, damaged, "info", self.uri)
            self.fails(1, damaged, "mount", self.uri, self.mnt)
            self.fails(8, damaged, "fsck", "-n", self.uri)
            before = self.tree(self.store)
            self.fails(1, f"{self.store}: holds a file system that cannot be read; use --force to destroy it", "format",
                       self.uri)
            self.assertEqual(self.tree(self.store), before)
            os.rename(aside, path)
            self.ok("fsck", "-n", self.uri)
        os.unlink(os.path.join(self.store, "kv", "CURRENT"))
        self.assertEqual(self.run_tifs("format", self.uri, "--force", "--yes").returncode, 0)
        self.assertEqual(self.ok_json("info", self.uri)["used_inodes"], 1)

    def test_a_format_that_was_interrupted_is_no_damage(self):
        shutil.rmtree(os.path.join(self.store, "kv"))
        os.unlink(os.path.join(self.store, "blocks"))
        os.mkdir(os.path.join(self.store, "kv"))
        for name in ("MANIFEST-000001", "LOG", "LOCK", "IDENTITY"):
            with open(os.path.join(self.store, "kv", name), "w", encoding="utf-8"):
                pass
        self.fails(1, re.compile(r".+: the store is not formatted; .+"), "mount", self.uri, self.mnt)
        self.format()

    def test_json_names_the_findings(self):
        self.damage("dangling-entry", "ghost")
        result = self.run_tifs("fsck", "-y", self.uri, "--json")
        self.assertEqual(result.returncode, 1)
        import json
        report = json.loads(result.stdout)
        self.assertEqual((report["finding_count"], report["unrepaired"]), (len(report["findings"]), 0))
        self.assertTrue(all(finding["repaired"] for finding in report["findings"]))


class NewerStoreCase(MountCase):
    def setUp(self):
        super().setUp()
        if not self.damage_program:
            self.skipTest("needs --damage")
        self.format()

    def mark(self, what):
        subprocess.run([self.damage_program, self.store, what], check=True)

    def test_is_refused_by_all(self):
        refused = re.compile(rf"{self.store}: written by a newer version \(.+\); use that version or a later one")
        for what in ("newer-format", "unknown-incompatible"):
            self.mark(what)
            self.fails(1, refused, "mount", self.uri, self.mnt)
            self.fails(1, refused, "mount", self.uri, self.mnt, "-o", "ro")
            self.fails(1, refused, "info", self.uri)
            self.fails(1, refused, "gc", self.uri)
            self.fails(8, refused, "fsck", self.uri, "-n")
            self.fails(8, refused, "fsck", self.uri, "-y")
            self.assertNotIn("newer release", self.fails(1, refused, "info", self.uri))
            self.fails(1, f"{self.store}: holds a file system of a newer version; use --force to destroy it", "format",
                       self.uri)
            self.assertIsNone(mount_entry(self.mnt))
            self.assertEqual(self.run_tifs("format", self.uri, "--force", "--yes").returncode, 0)

    def test_with_unknown_features_that_forbid_writing(self):
        self.mark("unknown-read-only-compatible")
        self.fails(1, f"{self.store}: written by a newer version, and only to be read by this one; mount it with '-o "
                      "ro', or use that version or a later one", "mount", self.uri, self.mnt)
        self.mount("-o", "ro")
        self.assertEqual(os.listdir(self.mnt), [])
        result = self.run_tifs("mount", self.uri, self.mnt, "-o", "remount,rw")
        self.assertEqual(result.returncode, 1)

    def test_with_unknown_features_that_do_not_matter(self):
        self.mark("unknown-compatible")
        self.mount()
        self.write("file", "text")
        self.fails(8, f"{self.store}: written by a newer version (it uses unknown features); use that version or a "
                      "later one", "fsck", "-n", self.uri)


class MakeRunCase(MountCase):
    """tools/run, which `make run` calls, in a checkout of its own."""

    def setUp(self):
        super().setUp()
        self.checkout = os.path.join(self.root, "check out")
        os.makedirs(os.path.join(self.checkout, "tools"))
        shutil.copy(os.path.join(REPOSITORY, "tools", "run"), os.path.join(self.checkout, "tools"))
        self.mnt = os.path.join(self.checkout, "mnt")
        self.bed.guard("mount", self.mnt)

    def run_until_interrupted(self, use, sent=signal.SIGINT):
        """Runs it as the foreground group of a terminal, calls `use` once it is mounted, then interrupts the group."""
        with subprocess.Popen([os.path.join(self.checkout, "tools", "run"), os.path.dirname(self.tifs)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              start_new_session=True) as process:
            said = ""
            for line in process.stdout:
                said += line
                if line.startswith("Ctrl-C unmounts it"):
                    break
            self.assertIsNotNone(mount_entry(self.mnt), said)
            use()
            os.killpg(process.pid, sent)
            said += process.stdout.read()
            self.assertEqual(process.wait(DEADLINE_S), 0, said)
        self.assertIsNone(mount_entry(self.mnt))
        self.assertIn("unmounted", said)
        return said

    def test_formats_once_mounts_and_unmounts(self):
        said = self.run_until_interrupted(lambda: self.write("file", "text"))
        self.assertIn("formatted rocks://", said)
        self.assertIn("TiFS is mounted at ./mnt; its data is in ./tifs-data.", said)
        self.assertEqual(os.listdir(self.mnt), [])
        said = self.run_until_interrupted(lambda: self.assertEqual(self.read("file"), "text"))
        self.assertNotIn("formatted", said)
        data = "rocks://" + os.path.join(self.checkout, "tifs-data").replace(" ", "%20")
        self.ok("fsck", "-n", data)

    def test_after_a_kill(self):
        def kill():
            owner = self.owner(os.path.join(self.checkout, "tifs-data"))
            os.kill(owner["pid"], signal.SIGKILL)
            self.await_end(owner["pid"])
        with subprocess.Popen([os.path.join(self.checkout, "tools", "run"), os.path.dirname(self.tifs)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              start_new_session=True) as process:
            self.assertTrue(wait_until(lambda: mount_entry(self.mnt), DEADLINE_S))
            self.assertTrue(wait_until(lambda: self.owner(os.path.join(self.checkout, "tifs-data")), DEADLINE_S))
            kill()
            process.communicate(timeout=DEADLINE_S)
            self.assertNotEqual(process.returncode, 0)
        self.run_until_interrupted(lambda: self.write("file", "text"))
