"""Where a store may be mounted, what commands say of a mounted one, and what the options of mount do."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import urllib.request

from cli_case import DEADLINE_S, MountCase
from mount_fixture import mount_entry, wait_until


class MountPointCase(MountCase):
    def test_is_shown_as_what_it_is(self):
        self.format()
        self.mount()
        entry = mount_entry(self.mnt)
        self.assertEqual((entry["type"], entry["source"]), ("fuse.tifs", self.uri))
        for option in ("nosuid", "nodev", "rw"):
            self.assertIn(option, entry["options"])
        for option in ("allow_other", "default_permissions"):
            self.assertIn(option, entry["super_options"])
        self.umount()
        self.assertIsNone(mount_entry(self.mnt))

    def test_keeps_what_was_written(self):
        self.format()
        self.mount()
        self.write("file", "text")
        self.umount()
        self.mount()
        self.assertEqual(self.read("file"), "text")
        self.umount()
        self.ok("fsck", self.uri, "-n")

    def test_must_exist_and_be_a_directory(self):
        self.format()
        missing = os.path.join(self.root, "missing")
        self.fails(1, f"{missing}: the mount point does not exist; create it with 'mkdir {missing}'", "mount", self.uri,
                   missing)
        file = os.path.join(self.root, "file")
        with open(file, "w", encoding="utf-8"):
            pass
        self.fails(1, f"{file}: the mount point is not a directory; name a directory", "mount", self.uri, file)
        self.assertIsNone(self.owner())

    def test_must_not_be_busy(self):
        self.format()
        self.mount()
        other = f"rocks://{self.root}/other"
        self.ok("format", other)
        self.fails(1, f"{self.mnt}: the mount point is busy: {self.uri} is mounted there; run 'tifs umount {self.mnt}' "
                      "first, or choose another directory", "mount", other, self.mnt)
        self.umount()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.mnt], check=True)
        self.fails(1, f"{self.mnt}: the mount point is busy: tmpfs is mounted there; run 'umount {self.mnt}' first, "
                      "or choose another directory", "mount", other, self.mnt)

    def test_must_not_lie_in_the_store_or_hold_it(self):
        self.format()
        inside = os.path.join(self.store, "mnt")
        os.mkdir(inside)
        why = "the store and the mount point lie within one another; mount at a directory outside of the store"
        self.fails(1, f"{inside}: {why}", "mount", self.uri, inside)
        self.fails(1, f"{self.root}: {why}", "mount", self.uri, self.root)
        self.fails(1, f"{self.store}: {why}", "mount", self.uri, self.store)
        self.fails(1, f"log={self.mnt}/log: the log would lie on the mount itself; put it elsewhere", "mount", self.uri,
                   self.mnt, "-o", f"log={self.mnt}/log")

    def test_through_links_and_relative_paths(self):
        self.format()
        os.symlink("mnt", os.path.join(self.root, "link"))
        self.ok("mount", self.uri, "./link/")
        self.assertIsNotNone(mount_entry(self.mnt))
        self.ok("info", "link")
        self.ok("umount", "../" + os.path.basename(self.root) + "/link")
        self.assertIsNone(mount_entry(self.mnt))

    def test_with_a_hostile_name(self):
        store = os.path.join(self.root, "st,or\\e ?#%\n\x1b\u202e\udcff")
        mnt = os.path.join(self.root, "m,nt\\ \n\x1b[2J\udcff")
        os.mkdir(mnt)
        self.bed.guard("mount", mnt.replace("\n", "?").encode("ascii", "replace").decode())
        uri = "rocks://" + "".join(chr(byte) if chr(byte).isalnum() or chr(byte) in "/-_" else f"%{byte:02X}"
                                   for byte in os.fsencode(store))
        self.ok("format", uri)
        self.ok("mount", uri, mnt)
        self.addCleanup(subprocess.run, ["umount", "-l", os.fsencode(mnt)], check=False, capture_output=True)
        text = self.ok("info", mnt)
        self.assertNotIn("\x1b", text)
        self.assertEqual(len(text.splitlines()), len(self.ok("info", uri).splitlines()))
        info = json.loads(self.ok("info", mnt, "--json"))
        self.assertNotIn("\x1b", info["mounted"]["mount_point"])
        self.fails(1, re.compile(r".*: mounted by pid \d+ at .*m,nt.*"), "mount", uri, self.mnt)
        self.ok("umount", mnt)
        self.ok("fsck", uri, "-n")

    def test_a_dead_mount_is_detached(self):
        self.format()
        pid = self.mount()
        self.write("synced", "text")
        os.sync()
        fd = os.open(os.path.join(self.mnt, "synced"), os.O_RDONLY)
        os.fsync(fd)
        os.kill(pid, signal.SIGKILL)
        self.await_end(pid)
        self.assertTrue(wait_until(self.is_dead, DEADLINE_S))
        result = self.run_tifs("mount", self.uri, self.mnt)
        self.assertEqual((result.returncode, result.stderr),
                         (0, f"tifs: {self.mnt}: detached the mount of a process that died\n"))
        os.close(fd)
        self.assertEqual(self.read("synced"), "text")
        self.umount()
        self.ok("fsck", self.uri, "-n")

    def is_dead(self):
        try:
            os.listdir(self.mnt)
        except OSError as error:
            return error.errno == errno.ENOTCONN
        return False

    def test_a_dead_mount_can_be_unmounted(self):
        self.format()
        pid = self.mount()
        os.kill(pid, signal.SIGKILL)
        self.await_end(pid)
        self.umount()
        self.assertIsNone(mount_entry(self.mnt))


class MountedStoreCase(MountCase):
    def test_is_nobody_elses(self):
        self.format()
        pid = self.mount()
        mounted = f"{self.store}: mounted by pid {pid} at {self.mnt}; run 'tifs umount {self.mnt}' first"
        other = os.path.join(self.root, "other")
        os.mkdir(other)
        self.fails(1, mounted, "mount", self.uri, other)
        self.fails(1, mounted, "format", self.uri)
        self.fails(1, mounted, "format", self.uri, "--force", "--yes")
        self.fails(8, mounted, "fsck", self.uri)
        self.fails(8, mounted, "fsck", self.uri, "-y")
        self.fails(8, mounted, self.uri, name="fsck.tifs")
        self.write("still", "here")
        self.assertEqual(self.read("still"), "here")

    def test_fsck_n_asks_it(self):
        self.format()
        self.mount()
        self.write("a", "x")
        os.mkdir(os.path.join(self.mnt, "d"))
        for target in (self.uri, self.mnt):
            report = self.ok_json("fsck", "-n", target)
            self.assertEqual((report["finding_count"], report["inodes"], report["directories"]), (0, 3, 2))

    def test_info_asks_it(self):
        self.format("--name", "home")
        pid = self.mount()
        for target in (self.uri, self.mnt):
            info = self.ok_json("info", target)
            self.assertEqual(info["mounted"]["pid"], pid)
            self.assertEqual(info["mounted"]["mount_point"], self.mnt)
            self.assertFalse(info["mounted"]["read_only"])
            self.assertEqual((info["name"], info["uri"]), ("home", self.uri))
        os.mkdir(os.path.join(self.mnt, "sub"))
        self.assertEqual(self.ok_json("info", os.path.join(self.mnt, "sub"))["uri"], self.uri)
        text = self.ok("info", self.mnt)
        self.assertIn(f"at {self.mnt} by pid {pid} since ", text)

    def test_stats_ask_it(self):
        self.format()
        self.mount()
        for i in range(10):
            self.write(f"f{i}", "x" * 100)
        stats = self.ok_json("stats", self.mnt)
        operations = {each["name"]: each for each in stats["operations"]}
        self.assertEqual(operations["create"]["count"], 10)
        self.assertGreater(operations["create"]["p50_ns"], 0)
        self.assertLessEqual(operations["create"]["p50_ns"], operations["create"]["p99_ns"])
        self.assertEqual(stats["written_bytes"], 1000)
        self.assertGreaterEqual(stats["transactions"]["committed"], 10)
        text = self.ok("stats", self.uri)
        self.assertRegex(text, r"(?m)^create +10 +0 +[\d.]+ (ns|us|ms)")

    def test_stats_watch_until_interrupted(self):
        self.format()
        self.mount()
        with subprocess.Popen([self.tifs, "stats", "--watch", "-i", "0.1", self.mnt], stdout=subprocess.PIPE,
                              text=True) as process:
            tables = 0
            for line in process.stdout:
                tables += line.startswith("operation")
                if tables == 3:
                    process.send_signal(signal.SIGINT)
                    break
            process.stdout.read()
            self.assertEqual(process.wait(60), 0)
        self.assertEqual(tables, 3)

    def test_gc_asks_it(self):
        self.format()
        self.mount()
        self.write("big", "x" * (8 << 20))
        os.unlink(os.path.join(self.mnt, "big"))
        self.assertIn("steps", self.ok_json("gc", self.mnt))
        self.assertEqual(self.ok("gc", self.uri), "nothing to reclaim\n")
        self.assertEqual(self.ok_json("info", self.mnt)["orphans"], 0)

    def test_its_socket_is_private_and_goes_with_it(self):
        self.format()
        pid = self.mount()
        path = f"/run/tifs/{pid}.sock"
        self.assertEqual(self.owner()["socket"], path)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat("/run/tifs").st_mode), 0o700)
        self.umount()
        self.assertFalse(os.path.exists(path))

    def test_a_stuck_process_is_named(self):
        self.format()
        pid = self.mount()
        os.unlink(f"/run/tifs/{pid}.sock")
        self.fails(1, re.compile(rf"{self.store}: pid {pid}, which has it mounted at {self.mnt}, does not answer: .+; "
                                 "if it is being unmounted, try again"), "info", self.mnt)

    def test_bench_leaves_nothing(self):
        self.format("--capacity", "64MiB")
        self.mount()
        self.ok("bench", self.mnt, "--files", "50", "--size", "4MiB")
        self.assertEqual(os.listdir(self.mnt), [])
        self.fails(1, re.compile(rf"{self.mnt}: the bench needs 1 GiB, only .+ are free; use a smaller --size"),
                   "bench", self.mnt, "--size", "1GiB")
        self.umount()
        self.ok("fsck", self.uri, "-n")

    def test_all_its_files_are_private(self):
        self.format()
        log = os.path.join(self.root, "log")
        self.mount("-o", f"log={log}")
        self.write("x", "y" * (1 << 20))
        self.assertEqual(stat.S_IMODE(os.stat(log).st_mode), 0o600)
        self.umount()
        for folder, folders, files in os.walk(self.store):
            for name in folders + files:
                path = os.path.join(folder, name)
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700 if name in folders else 0o600, path)


class FullDiskCase(MountCase):
    """A store on a small disk of its own."""

    def setUp(self):
        super().setUp()
        disk = os.path.join(self.root, "disk")
        os.mkdir(disk)
        self.bed.guard("mount", disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", disk], check=True)
        self.store = os.path.join(disk, "store")
        self.uri = f"rocks://{self.store}"

    def fill(self):
        with open(os.path.join(os.path.dirname(self.store), "fill"), "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(b"x" * 65536):
                    pass
        return file.name

    def test_format_needs_some_room(self):
        subprocess.run(["mount", "-o", "remount,size=8m", os.path.dirname(self.store)], check=True)
        self.fails(1, f"{self.store}: only 8 MiB free on the disk; free at least 32 MiB", "format", self.uri)
        self.assertFalse(os.path.exists(self.store))

    def test_can_be_opened_once_and_says_so_when_not(self):
        self.format()
        filled = self.fill()
        self.mount()
        self.assertEqual(os.listdir(self.mnt), [])
        self.umount()
        self.fill()
        full = f"{self.store}: the disk below is full; free some megabytes on it"
        self.fails(1, full, "mount", self.uri, self.mnt)
        self.fails(8, full, "fsck", self.uri, "-y")
        self.ok("fsck", self.uri, "-n")
        self.ok("info", self.uri)
        os.unlink(filled)
        self.mount()
        self.write("file", "x" * 100000)
        self.umount()
        self.assertTrue(os.path.exists(os.path.join(self.store, "tifs.reserve")))
        self.ok("fsck", self.uri, "-n")

    def test_a_read_only_disk_can_be_read(self):
        self.format()
        self.mount()
        self.write("file", "x" * 300000)
        self.umount()
        disk = os.path.dirname(self.store)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        before = self.tree(disk)
        self.assertEqual(self.ok_json("info", self.uri)["used_inodes"], 2)
        self.ok("fsck", "-n", self.uri)
        read_only = (f"{self.store}: the file system below is read-only; make it writable, or use only 'mount -o ro', "
                     "'info' and 'fsck -n'")
        self.fails(1, read_only, "mount", self.uri, self.mnt)
        self.fails(1, read_only, "gc", self.uri)
        self.fails(8, read_only, "fsck", "-y", self.uri)
        for _ in range(2):
            self.mount("-o", "ro")
            pid = self.ok_json("info", self.mnt)["mounted"]["pid"]
            self.assertEqual(self.read("file"), "x" * 300000)
            self.assertEqual(self.ok_json("info", self.mnt)["used_inodes"], 2)
            other = os.path.join(self.root, "other")
            os.makedirs(other, exist_ok=True)
            self.fails(1, f"{self.store}: mounted by pid {pid} at {self.mnt}; run 'tifs umount {self.mnt}' first",
                       "mount", self.uri, other, "-o", "ro")
            self.assertEqual(self.run_tifs("mount", self.uri, self.mnt, "-o", "remount,rw").returncode, 1)
            self.umount()
            self.assertTrue(not os.path.exists(f"/proc/{pid}") or self.is_zombie(pid))
        self.assertEqual(self.tree(disk), before)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        self.mount()
        self.assertEqual(self.read("file"), "x" * 300000)


class FailingDiskCase(MountCase):
    """A store on a file system that gives up, as ext4 does on a disk that fails."""

    def setUp(self):
        super().setUp()
        self.disk = os.path.join(self.root, "disk")
        self.image = os.path.join(self.root, "image")
        os.mkdir(self.disk)
        with open(self.image, "wb") as image:
            image.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)
        self.bed.guard("mount", self.disk)
        self.mount_disk()
        self.store = os.path.join(self.disk, "store")
        self.uri = f"rocks://{self.store}"

    def mount_disk(self):
        mounted = subprocess.run(["mount", "-o", "loop", self.image, self.disk], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"no loop device: {mounted.stderr.strip()}")

    def write_synced(self, name, text):
        with open(os.path.join(self.mnt, name), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def test_latches_read_only_and_loses_nothing_synced(self):
        self.format()
        self.mount()
        self.write_synced("kept", "x" * 100000)
        subprocess.run(["mount", "-o", "remount,abort", self.disk], check=True)
        for number in range(20):
            with self.assertRaises(OSError) as refused:
                self.write_synced(f"new{number}", "y" * 5000)
            self.assertIn(refused.exception.errno, (errno.EROFS, errno.EIO))
        # Where the writes themselves were refused, nothing has reached the log yet.
        root = os.open(self.mnt, os.O_RDONLY | os.O_DIRECTORY)
        with self.assertRaises(OSError):
            os.fsync(root)
        os.close(root)
        self.assertEqual(self.read("kept"), "x" * 100000)
        self.assertIn("READ-ONLY", self.ok("info", self.mnt))
        self.fails(1, re.compile(rf"{self.mnt}: unmounted, but .+; see the log, and run 'tifs fsck {self.uri}'"),
                   "umount", self.mnt)
        self.assertIsNone(mount_entry(self.mnt))
        subprocess.run(["umount", self.disk], check=True)
        self.mount_disk()
        self.ok("fsck", self.uri, "-n")
        self.mount()
        self.assertEqual(self.read("kept"), "x" * 100000)
        self.umount()


class MountOptionsCase(MountCase):
    def test_unknown_and_bad_ones_mount_nothing(self):
        self.format()
        self.fails(2, "mount option 'notaime': there is no such option; did you mean 'noatime'?", "mount", self.uri,
                   self.mnt, "-o", "ro,notaime")
        for options in ("memory=1", "umask=9", "threads=0", "log=relative", "log_level=x", "metrics=1", "subdir=a"):
            self.fails(2, re.compile("(mount option|metrics address) '.+: .+"), "mount", self.uri, self.mnt, "-o",
                       options)
        self.fails(2, "metrics address '9100': has no address; write ADDR:PORT, e.g. '127.0.0.1:9100' or '[::1]:9100'",
                   "mount", self.uri, self.mnt, "-o", "metrics=9100")
        self.fails(2, re.compile(r"mount option 'memory=999TiB': is more than this machine has \(.+\); give less"),
                   "mount", self.uri, self.mnt, "-o", "memory=999TiB")
        self.assertIsNone(mount_entry(self.mnt))

    def test_those_of_fstab_are_taken(self):
        self.format()
        self.mount("-o", "defaults,_netdev,nofail,noauto,x-systemd.automount,x-foo=bar", "-o", "rw,noatime")
        entry = mount_entry(self.mnt)
        self.assertIn("noatime", entry["options"])

    def test_suid_dev_noexec(self):
        self.format()
        self.mount("-o", "suid,dev,noexec")
        options = mount_entry(self.mnt)["options"]
        self.assertNotIn("nosuid", options)
        self.assertNotIn("nodev", options)
        self.assertIn("noexec", options)

    def test_noallow_other(self):
        self.format()
        self.mount("-o", "noallow_other")
        self.assertNotIn("allow_other", mount_entry(self.mnt)["super_options"])
        result = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "ls", self.mnt], capture_output=True,
                                check=False)
        self.assertNotEqual(result.returncode, 0)

    def test_read_only(self):
        self.format()
        self.mount()
        self.write("file", "text")
        self.umount()
        for arguments in (["-o", "ro"], ["--read-only"]):
            self.mount(*arguments)
            self.assertEqual(self.read("file"), "text")
            with self.assertRaises(OSError) as raised:
                self.write("other", "text")
            self.assertEqual(raised.exception.errno, errno.EROFS)
            self.assertTrue(self.ok_json("info", self.mnt)["mounted"]["read_only"])
            self.umount()

    def test_subdir(self):
        self.format()
        self.mount()
        os.makedirs(os.path.join(self.mnt, "a", "b"))
        self.write("a/b/file", "text")
        self.umount()
        self.mount("-o", "subdir=/a/b")
        self.assertEqual(os.listdir(self.mnt), ["file"])
        self.assertEqual(os.path.realpath(os.path.join(self.mnt, "..")), self.root)
        self.umount()
        self.fails(1, f"{self.store}: subdir=/a/c: there is no such directory in the file system", "mount", self.uri,
                   self.mnt, "-o", "subdir=/a/c")
        self.fails(1, f"{self.store}: subdir=/a/b/file: is not a directory", "mount", self.uri, self.mnt, "-o",
                   "subdir=/a/b/file")
        self.assertIsNone(mount_entry(self.mnt))

    def test_umask(self):
        self.format()
        self.mount("-o", "umask=027")
        previous = os.umask(0)
        try:
            self.write("file", "")
            os.mkdir(os.path.join(self.mnt, "dir"), 0o777)
        finally:
            os.umask(previous)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.mnt, "file")).st_mode), 0o640)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.mnt, "dir")).st_mode), 0o750)

    def test_sync_survives_a_kill(self):
        self.format()
        pid = self.mount("-o", "sync")
        for i in range(20):
            os.mkdir(os.path.join(self.mnt, f"d{i}"))
            with open(os.path.join(self.mnt, f"f{i}"), "wb", buffering=0) as file:
                file.write(b"x" * 10000)
        os.kill(pid, signal.SIGKILL)
        self.await_end(pid)
        self.run_tifs("mount", self.uri, self.mnt)
        self.assertEqual(len(os.listdir(self.mnt)), 40)
        self.assertEqual(len(self.read("f19")), 10000)

    def test_metrics(self):
        self.format()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.mount("-o", f"metrics=127.0.0.1:{port}")
        self.write("file", "x" * 1000)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        self.assertRegex(text, r'(?m)^tifs_operation_seconds_count\{operation="create"\} 1$')
        self.assertRegex(text, r"(?m)^tifs_written_bytes_total 1000$")
        self.assertIn("# TYPE tifs_operation_seconds summary", text)
        for line in text.splitlines():
            self.assertRegex(line, r"^(#.*|tifs_[a-z_]+(\{.*\})? \S+|exposer_.*)$")
        other = f"rocks://{self.root}/other"
        second = os.path.join(self.root, "second")
        os.mkdir(second)
        self.ok("format", other)
        for address, why in ((f"127.0.0.1:{port}", "Address already in use"), (f"nowhere:{port}", "not an IP address"),
                             (f"192.0.2.1:{port}", "Cannot assign requested address")):
            self.fails(1, f"metrics={address}: cannot listen there ({why}); choose a free port and an address of this "
                          "machine", "mount", other, second, "-o", f"metrics={address}")
        self.assertIsNone(mount_entry(second))
        self.ok("fsck", other, "-n")

    def test_log(self):
        self.format()
        log = os.path.join(self.root, "a,b.log")
        pid = self.mount("-o", f"log={self.root}/a\\,b.log,log_level=debug")
        os.rename(log, log + ".1")
        os.kill(pid, signal.SIGHUP)
        self.assertTrue(wait_until(lambda: os.path.exists(log), 60))
        self.umount()
        with open(log + ".1", encoding="utf-8") as file:
            started = file.read()
        with open(log, encoding="utf-8") as file:
            stopped = file.read()
        self.assertRegex(started, rf"tifs \d+\.\d+\.\d+: {self.uri} serves at {self.mnt}\n")
        self.assertIn("log reopened", stopped)
        self.assertRegex(stopped, rf"{self.uri} stopped after \d+ s\n")
        pid = self.mount("-o", f"log={self.root}/a\\,b.log")
        os.kill(pid, signal.SIGKILL)
        self.await_end(pid)
        self.run_tifs("mount", self.uri, self.mnt, "-o", f"log={self.root}/a\\,b.log")
        with open(log, encoding="utf-8") as file:
            self.assertIn("the last process that had the store died; recovering", file.read())

    def test_a_log_that_cannot_be_written(self):
        self.format()
        for folder in ("/proc/nope", f"{self.root}/nope"):
            self.fails(1, f"{folder}/log: log file: its directory does not exist; "
                          "name a file that can be written with 'log='", "mount", self.uri, self.mnt, "-o",
                       f"log={folder}/log")
        self.assertFalse(os.path.exists(f"{self.root}/nope"))
        self.fails(1, re.compile(rf"{self.root}: .+; name a file that can be written with 'log='"), "mount", self.uri,
                   self.mnt, "-o", f"log={self.root}")
