"""The process of a mount: how it detaches and ends, how it is unmounted, and under which names it is called."""

import contextlib
import errno
import os
import re
import signal
import subprocess
import time

from cli_case import DEADLINE_S, MountCase
from mount_fixture import mount_entry, wait_until


class ProcessCase(MountCase):
    def test_detaches_fully(self):
        self.format()
        inherited = os.open("/etc/hostname", os.O_RDONLY)
        self.addCleanup(os.close, inherited)
        started = time.monotonic()
        # The pipes of stdout and stderr end, or this would wait for the mount's end.
        pid = None
        self.ok("mount", self.uri, self.mnt, pass_fds=[inherited])
        pid = self.pid_of_mount(self.mnt)
        self.assertLess(time.monotonic() - started, DEADLINE_S / 2)
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        for fd in ("0", "1", "2"):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{fd}"), "/dev/null")
        open_files = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                open_files.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        self.assertNotIn("/etc/hostname", open_files)
        for target in open_files:
            allowed = rf"{self.store}/.*|/dev/(null|fuse|cpu_dma_latency)|(anon_inode|socket|pipe):.*"
            self.assertRegex(target, rf"^({allowed})$")
        with open(f"/proc/{pid}/stat", encoding="utf-8") as status:
            self.assertEqual(status.read().rpartition(")")[2].split()[4], "0", "it has a terminal")

    def test_is_known_by_its_name(self):
        """As `pkill -HUP -x tifs-mount` looks for it, however it was called."""
        self.format()
        for mounted in (lambda: self.mount(), lambda: self.ok(self.uri, self.mnt, name="mount.tifs")):
            mounted()
            with open(f"/proc/{self.pid_of_mount(self.mnt)}/comm", encoding="utf-8") as name:
                self.assertEqual(name.read(), "tifs-mount\n")
            self.umount()

    def test_serves_when_mount_returns(self):
        self.format()
        for _ in range(5):
            self.mount()
            self.write("x", "y")
            self.umount()

    def test_an_idle_mount_uses_no_cpu(self):
        self.format()
        pid = self.mount()
        self.write("x", "y")
        time.sleep(1)  # what was written is synced in the background
        before = self.cpu_ticks(pid)
        time.sleep(3)
        self.assertLessEqual(self.cpu_ticks(pid) - before, 1)

    @staticmethod
    def cpu_ticks(pid):
        with open(f"/proc/{pid}/stat", encoding="utf-8") as status:
            fields = status.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def test_failures_of_the_background_are_reported(self):
        self.format()
        with open(os.path.join(self.store, "kv", "CURRENT"), "w", encoding="utf-8") as file:
            file.write("garbage")
        self.fails(1, re.compile(rf"{self.store}: .+"), "mount", self.uri, self.mnt)
        self.assertIsNone(mount_entry(self.mnt))

    def test_foreground_logs_to_stderr_and_ends_with_0(self):
        self.format()
        log = os.path.join(self.root, "stderr")
        with open(log, "w", encoding="utf-8") as file:
            process = self.foreground(log=file)
        self.assertEqual(self.owner()["pid"], process.pid)
        self.umount()
        self.assertEqual(process.wait(DEADLINE_S), 0)
        with open(log, encoding="utf-8") as file:
            text = file.read()
        self.assertIn(" serves at ", text)
        self.assertIn(" stopped after ", text)


class UmountCase(MountCase):
    def test_waits_for_the_process(self):
        self.format()
        pid = self.mount()
        self.write("file", "x" * (32 << 20))
        self.umount()
        self.assertTrue(not os.path.exists(f"/proc/{pid}") or self.is_zombie(pid))
        self.assertEqual(os.path.getsize(os.path.join(self.store, "tifs.owner")), 0)

    def test_says_what_keeps_it_busy(self):
        self.format()
        self.mount()
        self.write("file", "text")
        way_out = "end that and try again, or use 'tifs umount --lazy'"
        with open(os.path.join(self.mnt, "file"), encoding="utf-8"):
            self.fails(1, re.compile(rf"{self.mnt}: busy: \S+ \(pid {os.getpid()}\) has an open file: {self.mnt}/file; "
                                     + way_out), "umount", self.mnt)
        with subprocess.Popen(["sleep", "1000"], cwd=self.mnt) as process:
            self.fails(1, f"{self.mnt}: busy: sleep (pid {process.pid}) has its working directory; {way_out}", "umount",
                       self.mnt)
            process.kill()
        os.mkdir(os.path.join(self.mnt, "below"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", f"{self.mnt}/below"], check=True)
        self.fails(1, f"{self.mnt}: busy: {self.mnt}/below is mounted below it; {way_out}", "umount", self.mnt)
        subprocess.run(["umount", f"{self.mnt}/below"], check=True)
        self.umount()

    def test_names_who_has_mapped_a_file(self):
        self.format()
        self.mount()
        self.write("file", "x" * 4096)
        program = ("import mmap, os, sys, time; fd = os.open(sys.argv[1], os.O_RDWR); "
                   "m = mmap.mmap(fd, 4096); os.close(fd); m2 = m; print('mapped', flush=True); time.sleep(1000)")
        with subprocess.Popen(["/usr/bin/python3", "-c", program, f"{self.mnt}/file"], stdout=subprocess.PIPE,
                              text=True, cwd="/") as process:
            process.stdout.readline()
            error = self.fails(1, re.compile(".*: busy: .*"), "umount", self.mnt)
            self.assertIn(f"(pid {process.pid}) has ", error)
            process.kill()

    def test_says_that_not_everything_was_written_back(self):
        self.format()
        pid = self.mount()
        self.write("before", "text")
        self.break_writes(pid)
        with self.assertRaises(OSError):
            fd = os.open(os.path.join(self.mnt, "file"), os.O_CREAT | os.O_WRONLY)
            try:
                os.write(fd, b"x" * 1000000)
                os.fsync(fd)
            finally:
                os.close(fd)
        self.fails(1, re.compile(rf"{self.mnt}: unmounted, but not everything was written back: .+; see the log, and "
                                 rf"run 'tifs fsck {self.uri}'"), "umount", self.mnt)
        self.assertIsNone(mount_entry(self.mnt))
        log = os.path.join(self.root, "log")
        self.mount("-o", f"log={log}")
        with open(log, encoding="utf-8") as file:
            self.assertRegex(file.read(), "the last process that had the store ended with an error: .+; recovering")
        self.umount()
        self.ok("fsck", self.uri, "-n")

    @staticmethod
    def break_writes(pid):
        """Has what the process writes beyond the first bytes of its files fail from now on."""
        subprocess.run(["prlimit", "--pid", str(pid), "--fsize=200000"], check=True)

    def test_lazily(self):
        self.format()
        pid = self.mount()
        with open(os.path.join(self.mnt, "file"), "w", encoding="utf-8") as file:
            self.ok("umount", "--lazy", self.mnt)
            self.assertIsNone(mount_entry(self.mnt))
            self.assertTrue(os.path.exists(f"/proc/{pid}"))
            file.write("late")
        self.await_end(pid)
        self.mount()
        self.assertEqual(self.read("file"), "late")

    def test_after_umount_8_mount_waits_for_the_old_process(self):
        self.format()
        for _ in range(3):
            self.mount()
            self.write("file", "x" * (32 << 20))
            subprocess.run(["umount", self.mnt], check=True)
            self.mount()
            self.assertEqual(len(self.read("file")), 32 << 20)
            subprocess.run(["umount", self.mnt], check=True)
            self.ok("fsck", self.uri)

    def test_nothing_to_unmount(self):
        self.fails(1, f"{self.root}/no: No such file or directory; name a mount point", "umount", f"{self.root}/no")
        self.fails(1, f"{self.root}/no: No such file or directory; name a mount point or a store's URI", "info",
                   f"{self.root}/no")

    def test_while_the_old_process_is_slow_info_waits(self):
        self.format()
        pid = self.mount()
        # It goes on in its record, and answers nobody any more.
        os.unlink(f"/run/tifs/{pid}.sock")
        os.kill(pid, signal.SIGSTOP)
        subprocess.run(["umount", "-l", self.mnt], check=True)
        with subprocess.Popen([self.tifs, "info", self.uri], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True) as process:
            time.sleep(0.5)
            self.assertIsNone(process.poll())
            os.kill(pid, signal.SIGCONT)
            said = process.communicate(timeout=DEADLINE_S)[0]
            self.assertEqual(process.returncode, 0, said)
        self.assertRegex(said, r"(?m)^mounted +no$")

    def test_while_the_old_process_is_slow_mount_waits(self):
        self.format()
        pid = self.mount()
        os.kill(pid, signal.SIGSTOP)
        subprocess.run(["umount", "-l", self.mnt], check=True)
        with subprocess.Popen([self.tifs, "mount", self.uri, self.mnt], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as process:
            time.sleep(1)
            self.assertIsNone(process.poll())
            os.kill(pid, signal.SIGCONT)
            self.assertEqual(process.communicate(timeout=DEADLINE_S)[0], "")
            self.assertEqual(process.returncode, 0)
        self.assertNotEqual(self.pid_of_mount(self.mnt), pid)


class SignalsCase(MountCase):
    def test_sigterm_and_sigint_unmount_cleanly(self):
        self.format()
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.foreground()
            self.write("file", f"{number}" * 100000)
            process.send_signal(number)
            self.assertEqual(process.wait(DEADLINE_S), 0)
            self.assertIsNone(mount_entry(self.mnt))
            self.ok("fsck", self.uri, "-n")
            self.mount()
            self.assertEqual(self.read("file"), f"{number}" * 100000)
            self.umount()

    def test_sigterm_ends_a_busy_mount_with_all_written(self):
        self.format()
        process = self.foreground()
        fd = os.open(os.path.join(self.mnt, "file"), os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"x" * 1000000)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE_S), 0)
        self.assertIsNone(mount_entry(self.mnt))
        with contextlib.suppress(OSError):  # ENOTCONN
            os.close(fd)
        self.ok("fsck", self.uri, "-n")
        self.mount()
        self.assertEqual(len(self.read("file")), 1000000)

    def test_sigterm_to_a_detached_one(self):
        self.format()
        pid = self.mount()
        os.kill(pid, signal.SIGTERM)
        self.await_end(pid)
        self.assertIsNone(mount_entry(self.mnt))

    def test_an_interrupted_wait_for_the_store_ends(self):
        self.format()
        pid = self.mount()
        os.kill(pid, signal.SIGSTOP)
        subprocess.run(["umount", "-l", self.mnt], check=True)
        with subprocess.Popen([self.tifs, "mount", self.uri, self.mnt], stderr=subprocess.PIPE, text=True) as process:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
            self.assertEqual(process.returncode, 1)
        os.kill(pid, signal.SIGCONT)
        self.await_end(pid)
        self.assertIsNone(mount_entry(self.mnt))

    def test_systemd_is_told(self):
        import socket
        self.format()
        path = os.path.join(self.root, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(path)
            supervisor.settimeout(DEADLINE_S)
            process = self.foreground(env={**os.environ, "NOTIFY_SOCKET": path})
            self.assertEqual(supervisor.recv(100), b"READY=1")
            process.terminate()
            self.assertEqual(supervisor.recv(100), b"STOPPING=1")
            self.assertEqual(process.wait(DEADLINE_S), 0)


class RemountCase(MountCase):
    def test_read_only_and_back(self):
        self.format()
        self.mount("-o", "noatime,noexec")
        self.write("file", "text")
        self.ok("mount", self.uri, self.mnt, "-o", "remount,ro")
        entry = mount_entry(self.mnt)
        for option in ("ro", "nosuid", "nodev", "noexec", "noatime"):
            self.assertIn(option, entry["options"])
        self.assertTrue(self.ok_json("info", self.mnt)["mounted"]["read_only"])
        with self.assertRaises(OSError) as raised:
            self.write("other", "")
        self.assertEqual(raised.exception.errno, errno.EROFS)
        self.ok("mount", self.uri, self.mnt, "-o", "remount,rw")
        self.assertIn("rw", mount_entry(self.mnt)["options"])
        self.write("other", "x")
        self.assertFalse(self.ok_json("info", self.mnt)["mounted"]["read_only"])

    def test_one_that_was_mounted_read_only(self):
        self.format()
        self.mount("-o", "ro")
        self.ok("mount", self.uri, self.mnt, "-o", "remount,rw")
        self.write("file", "x")
        self.assertEqual(self.read("file"), "x")

    def test_not_while_a_file_is_open_for_writing(self):
        self.format()
        self.mount()
        with open(os.path.join(self.mnt, "file"), "w", encoding="utf-8") as file:
            self.fails(1, re.compile(rf"{self.mnt}: remount: .+; close the files that are open for writing first"),
                       "mount", self.uri, self.mnt, "-o", "remount,ro")
            file.write("x")
        self.assertEqual(self.read("file"), "x")

    def test_what_it_cannot_change_is_refused(self):
        self.format()
        self.mount("-o", "strictatime,memory=128MiB")
        before = mount_entry(self.mnt)["options"]
        for options, names in (("noatime", "'noatime'"), ("rw,subdir=/x", "'subdir'"), ("ro,noexec", "'noexec'"),
                               ("memory=256MiB,sync", "'sync', 'memory'")):
            self.fails(1, f"{self.mnt}: a remount changes ro and rw, not {names}; unmount and mount it with the new "
                          "options", "mount", self.uri, self.mnt, "-o", f"remount,{options}")
        other = f"rocks://{self.root}/other"
        self.fails(1, f"{self.mnt}: {self.uri} is mounted there, not {other}; name what is mounted, or unmount it "
                      "first", "mount", other, self.mnt, "-o", "remount,ro")
        self.assertEqual(mount_entry(self.mnt)["options"], before)
        self.write("file", "text")

    def test_options_that_are_as_they_were_are_taken(self):
        self.format()
        self.mount("-o", "noatime,memory=128MiB,umask=022")
        self.ok("mount", self.uri, self.mnt, "-o", "remount,ro")
        shown = ",".join(mount_entry(self.mnt)["options"] + mount_entry(self.mnt)["super_options"])
        self.ok(self.uri, self.mnt, "-o", f"{shown},memory=128MiB,umask=022,nofail,x-a=b,remount,rw", name="mount.tifs")
        self.write("file", "text")
        # Neither was asked for.
        self.ok("mount", self.uri, self.mnt, "-o", "ro,remount")
        self.ok("mount", self.uri, self.mnt, "-o", "remount,noatime")
        self.assertIn("ro", mount_entry(self.mnt)["options"])

    def test_only_what_is_mounted(self):
        self.fails(1, f"{self.mnt}: no TiFS is mounted there; leave out 'remount'", "mount", self.uri, self.mnt, "-o",
                   "remount,ro")


class HelperCase(MountCase):
    """As mount(8) and umount(8) call it."""

    def test_mount_tifs(self):
        self.format()
        self.ok(self.uri, self.mnt, "-o", "rw,noatime,_netdev", name="mount.tifs")
        self.assertIn("noatime", mount_entry(self.mnt)["options"])
        self.fails(32, re.compile(r".+: the mount point is busy: .+"), self.uri, self.mnt, name="mount.tifs")
        self.ok(self.mnt, name="umount.fuse.tifs")
        self.ok(self.uri, self.mnt, "-sv", "-n", "-t", "tifs", name="mount.tifs")
        self.ok("-l", self.mnt, name="umount.fuse.tifs")

    def test_exit_codes_of_mount_8(self):
        self.format()
        self.fails(1, re.compile(".+usage: mount.tifs .+"), name="mount.tifs")
        self.fails(1, re.compile(".+usage: mount.tifs .+"), self.uri, self.mnt, "-q", name="mount.tifs")
        self.fails(1, re.compile(".+usage: mount.tifs .+"), self.uri, self.mnt, "-o", name="mount.tifs")
        self.fails(1, re.compile(".+did you mean 'noatime'.+"), self.uri, self.mnt, "-o", "natime", name="mount.tifs")
        self.fails(32, re.compile(".+not formatted.+|.+no such directory.+"), self.uri + "x", self.mnt,
                   name="mount.tifs")
        self.fails(32, re.compile(".+: nothing is mounted there"), self.mnt, name="umount.fuse.tifs")
        self.ok(self.uri, self.mnt, "-f", name="mount.tifs")
        self.fails(1, re.compile(".+: there is no such option; .+"), self.uri, self.mnt, "-f", "-o", "bogus",
                   name="mount.tifs")
        self.fails(1, re.compile(".+: there is no store of the kind .+"), "bad://x", self.mnt, "-f", name="mount.tifs")
        self.assertIsNone(mount_entry(self.mnt))

    def test_mount_8_umount_8_and_fstab(self):
        """In a mount namespace of its own, where the helpers lie in /usr/sbin without being installed."""
        self.format()
        helpers = os.path.join(self.root, "sbin")
        os.mkdir(helpers)
        for name in ("mount.tifs", "mount.fuse.tifs", "umount.fuse.tifs", "fsck.tifs"):
            os.symlink(self.tifs, os.path.join(helpers, name))
        fstab = os.path.join(self.root, "fstab")
        with open(fstab, "w", encoding="utf-8") as file:
            file.write(f"{self.uri} {self.mnt} tifs noatime,nofail,x-test 0 2\n")
        overlay = f"mount -t overlay overlay -o lowerdir={helpers}:/usr/sbin /usr/sbin"
        if subprocess.run(["unshare", "-m", "sh", "-c", overlay], capture_output=True, check=False).returncode:
            self.skipTest("needs overlay mounts in a mount namespace")
        script = f"""
            set -ex
            {overlay}
            mount -t tifs {self.uri} {self.mnt} -o noatime,_netdev
            grep -q '^{self.uri} {self.mnt} fuse.tifs .*noatime' /proc/mounts
            echo text > {self.mnt}/file
            mount -o remount,ro {self.mnt}
            if touch {self.mnt}/other; then exit 3; fi
            mount -o remount,rw {self.mnt}
            touch {self.mnt}/other
            umount {self.mnt}
            if [ -s {self.store}/tifs.owner ]; then exit 4; fi
            mount -T {fstab} {self.mnt}
            test "$(cat {self.mnt}/file)" = text
            umount {self.mnt}
            fsck.tifs -n {self.uri}
        """
        result = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False,
                                timeout=DEADLINE_S)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


class UserMountCase(MountCase):
    """A store and a mount of a user who is not root."""

    USER = 65534

    def setUp(self):
        super().setUp()
        if not os.path.exists("/usr/bin/fusermount3"):
            self.skipTest("needs fusermount3")
        self.home = os.path.join(self.root, "home")
        os.mkdir(self.home)
        os.chown(self.home, self.USER, self.USER)
        # A device that all may open, as udev makes it, for this user's processes alone.
        self.device = os.path.join(self.root, "fuse")
        os.mknod(self.device, 0o666 | 0o020000, os.makedev(10, 229))
        os.chmod(self.device, 0o666)

    def script(self, text):
        script = f"""
            mount --bind {self.device} /dev/fuse || exit 77
            cd {self.home}
            exec setpriv --reuid={self.USER} --regid={self.USER} --clear-groups bash -c '
              set -ex
              export PATH=/usr/bin:/bin XDG_RUNTIME_DIR=
              tifs={self.tifs}
              {text}'
        """
        result = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False,
                                timeout=DEADLINE_S)
        if result.returncode == 77:
            self.skipTest("needs a device node and a mount namespace")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result

    def test_mounts_uses_and_unmounts(self):
        out = self.script(f"""
              mkdir mnt
              $tifs format rocks://{self.home}/store
              $tifs mount rocks://{self.home}/store mnt
              echo text > mnt/file
              test "$(stat -c %u mnt/file)" = {self.USER}
              grep " {self.home}/mnt fuse.tifs " /proc/mounts
              $tifs info mnt
              $tifs stats mnt > /dev/null
              $tifs umount mnt
              $tifs fsck -n rocks://{self.home}/store
              $tifs mount rocks://{self.home}/store mnt
              cat mnt/file
              $tifs umount mnt""")
        self.assertIn("by pid", out.stdout)
        self.assertIn("text", out.stdout)
        self.assertNotIn("allow_other", out.stdout)

    def test_what_somebody_else_mounted_stays(self):
        self.format()
        self.mount()
        out = self.script(f"""
              ! $tifs umount {self.mnt}
              ! $tifs umount --lazy {self.mnt}""")
        said = f"tifs: {self.mnt}: somebody else mounted it; run as root or as who mounted it\n"
        self.assertEqual(out.stderr.count(said), 2, out.stderr)
        self.assertIsNotNone(mount_entry(self.mnt))

    def test_a_device_that_is_for_others(self):
        os.chmod(self.device, 0o600)
        out = self.script(f"""
              mkdir mnt
              $tifs format rocks://{self.home}/store
              ! $tifs mount rocks://{self.home}/store mnt""")
        self.assertIn(f"tifs: {self.home}/mnt: the mount is not permitted (/dev/fuse: Permission denied); mount as "
                      "root, or have root allow the device with 'chmod 666 /dev/fuse'\n", out.stderr)

    def test_allow_other_needs_a_word_of_root(self):
        with open("/etc/fuse.conf", encoding="utf-8") as file:
            if re.search("^user_allow_other", file.read(), re.MULTILINE):
                self.skipTest("/etc/fuse.conf has user_allow_other")
        out = self.script(f"""
              mkdir mnt
              $tifs format rocks://{self.home}/store
              ! $tifs mount rocks://{self.home}/store mnt -o allow_other""")
        self.assertRegex(out.stderr, rf"tifs: {self.home}/mnt: the mount is not permitted .+/etc/fuse.conf")

    def test_a_store_of_root_is_closed(self):
        self.format()
        out = self.script(f"""
              mkdir mnt
              ! $tifs mount {self.uri} mnt
              ! $tifs info {self.uri}
              ! $tifs fsck {self.uri}
              ! $tifs format {self.uri} --force --yes""")
        self.assertEqual(out.stderr.count("ermission denied"), 4, out.stderr)
        self.ok("fsck", self.uri, "-n")
