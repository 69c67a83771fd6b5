"""Stores on a volume: rocks:///DIR?volume=DEVICE[&root=NAME]."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request

from cli_case import MountCase, CliCase, wait_until

MIB = 1 << 20


class StoreVolumeCase(MountCase):
    """A case has an image with a volume, and a URI for a store on it."""

    size = 256 * MIB

    def setUp(self):
        super().setUp()
        self.device = self.new_volume("disk.img", "fast")
        self.plain_uri = self.uri
        self.uri = f"{self.plain_uri}?volume={self.device}"

    def new_volume(self, name, label):
        image = os.path.join(self.root, name)
        with open(image, "wb") as file:
            file.truncate(self.size)
        device = f"file:{image}"
        self.ok("volume", "format", device, "--name", label)
        return device

    def uuid(self, device=None):
        return self.ok_json("volume", "info", device or self.device)["uuid"]

    def roots(self, device=None):
        return [entry["name"] for entry in self.ok_json("volume", "ls", device or self.device)["entries"]]

    def remembered(self):
        with open(os.path.join(self.store, "tifs.volume"), encoding="utf-8") as file:
            return json.load(file)

    def remember(self, **changed):
        path = os.path.join(self.store, "tifs.volume")
        text = json.dumps({**self.remembered(), **changed})
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def fill(self, name, content=b"content"):
        with open(os.path.join(self.mnt, name), "wb") as file:
            file.write(content)

    def content(self, name):
        with open(os.path.join(self.mnt, name), "rb") as file:
            return file.read()

    def text_of_volume(self, device=None):
        return f"the volume 'fast' (UUID {self.uuid(device)}, last at {self.device})"


class StoreOnAVolumeCase(StoreVolumeCase):
    def test_keeps_its_tables_and_data_there(self):
        self.format()
        self.mount()
        content = os.urandom(3 * MIB)
        self.fill("file", content)
        self.umount()
        self.assertNotIn("blocks", os.listdir(self.store))
        beside = os.listdir(os.path.join(self.store, "kv"))
        self.assertFalse([name for name in beside if name.endswith(".sst") or name.startswith("MANIFEST")])
        for path in (self.store, os.path.join(self.store, "kv")):
            for name in os.listdir(path):
                self.assertEqual(os.stat(os.path.join(path, name)).st_mode & 0o077, 0, name)
        names = {entry["name"]: entry for entry in self.ok_json("volume", "ls", self.device, "tifs")["entries"]}
        self.assertEqual(set(names), {"blocks", "kv", "tifs.store"})
        self.assertEqual(names["blocks"]["kind"], "sparse file")
        self.assertEqual(names["blocks"]["allocated_bytes"], len(content))
        self.ok("volume", "get", self.device, "tifs/blocks", os.path.join(self.root, "copy"))
        with open(os.path.join(self.root, "copy"), "rb") as copy:
            self.assertIn(content[:65536], copy.read())
        self.mount()
        self.assertEqual(self.content("file"), content)
        self.umount()
        self.ok("fsck", self.uri, "-n")
        self.ok("volume", "check", self.device)

    def test_is_shown_with_its_volume(self):
        self.assertIn("capacity as much as the volume", self.ok("format", self.uri))
        place = {"uuid": self.uuid(), "name": "fast", "device": self.device, "root": "tifs"}
        self.assertEqual(self.ok_json("info", self.uri)["volume"], place)
        self.mount()
        self.assertEqual(self.ok_json("info", self.mnt)["volume"], place)
        self.assertIn(f"fast {self.uuid()} at {self.device}, root 'tifs'", self.ok("info", self.mnt))
        total = self.ok_json("volume", "df", self.device)["total_bytes"]
        space = os.statvfs(self.mnt)
        self.assertLess(space.f_blocks * space.f_frsize, total)
        self.assertGreater(space.f_blocks * space.f_frsize, 0.9 * total)
        self.assertIn("store volume_free_bytes", self.ok("stats", self.mnt))
        self.ok("gc", self.mnt)
        self.umount()
        other = f"rocks://{self.root}/other"
        self.ok("format", other)
        self.assertIsNone(self.ok_json("info", other)["volume"])

    def test_survives_a_kill(self):
        self.format()
        self.mount()
        self.fill("synced", b"s" * MIB)
        with open(os.path.join(self.mnt, "synced"), "rb") as file:
            os.fsync(file.fileno())
        pid = self.owner()["pid"]
        os.kill(pid, signal.SIGKILL)
        self.await_end(pid)
        subprocess.run(["umount", "-l", self.mnt], check=True)
        self.ok("fsck", self.uri, "-n")
        self.assertIn("mounted  no", re.sub(" +", "  ", self.ok("info", self.uri)))
        self.mount()
        self.assertEqual(self.content("synced"), b"s" * MIB)
        self.umount()

    def test_may_have_its_disk_under_another_name(self):
        self.format()
        moved = os.path.join(self.root, "moved.img")
        os.rename(self.device.removeprefix("file:"), moved)
        lacks = (f"{self.store}: its data lies on %s, root 'tifs', which is not there (%s); attach it, or name the "
                 "device that it is on now")
        text = self.text_of_volume(f"file:{moved}")
        missing = lacks % (text, f"{self.device}: does not exist")
        for command in (["info", self.uri], ["mount", self.uri, self.mnt]):
            self.fails(1, missing, *command)
        self.fails(8, missing, "fsck", self.uri, "-n")
        with open(self.device.removeprefix("file:"), "wb") as file:
            file.truncate(MIB)
        self.fails(1, lacks % (text, f"{self.device}: has no TiFS volume"), "info", self.uri)
        self.fails(1, lacks % (text, f"file:{self.root}: is a directory"), "info",
                   f"{self.plain_uri}?volume=file:{self.root}")
        self.ok("info", f"{self.plain_uri}?volume=file:{moved}")
        self.assertEqual(self.remembered()["device"], self.device)
        self.mount(uri=f"{self.plain_uri}?volume=file:{moved}")
        self.assertEqual(self.remembered()["device"], f"file:{moved}")
        self.umount()

    def test_needs_its_volume(self):
        self.format()
        before = self.tree(self.root)
        whole = f"{self.uri}&root=tifs"
        error = (f"{self.store}: its data lies on {self.text_of_volume()}, root 'tifs', which the URI does not name; "
                 f"write '{whole}'")
        for command in (["mount", self.plain_uri, self.mnt], ["info", self.plain_uri]):
            self.fails(1, error, *command)
        self.fails(8, error, "fsck", self.plain_uri, "-n")
        self.assertEqual(self.tree(self.root), before)
        self.mount(uri=whole)
        # Whoever has it mounted knows where it is.
        self.assertEqual(self.ok_json("info", self.plain_uri)["volume"]["root"], "tifs")
        second = os.path.join(self.root, "second")
        os.mkdir(second)
        self.fails(1, re.compile(r".*: mounted by pid \d+ at .*"), "mount", self.plain_uri, second)
        self.umount()

    def test_refuses_another_volume_and_root(self):
        self.format()
        other = self.new_volume("other.img", "")
        self.fails(1, f"{self.store}: its data lies on {self.text_of_volume()}, and {other} is the volume "
                      f"(UUID {self.uuid(other)}); name the device that has the store's volume",
                   "mount", f"{self.plain_uri}?volume={other}", self.mnt)
        self.fails(1, f"{self.store}: its data lies in the root 'tifs' of the volume, not in 'x'; write '&root=tifs', "
                      "or leave it out", "info", f"{self.uri}&root=x")
        self.assertEqual(self.roots(other), [])
        self.assertEqual(self.roots(), ["tifs"])
        self.ok("format", f"rocks://{self.root}/plain")
        self.fails(1, f"{self.root}/plain: the store lies on no volume; leave out '?volume='",
                   "info", f"rocks://{self.root}/plain?volume={self.device}")

    def test_needs_its_root(self):
        self.format()
        self.remember(store="of another format")
        error = (f"{self.store}: the root 'tifs' of {self.text_of_volume()} does not have the store's data; restore it "
                 "from a backup; see TROUBLESHOOTING")
        self.fails(1, error, "mount", self.uri, self.mnt)
        with open(os.path.join(self.store, "tifs.volume"), "w", encoding="utf-8") as file:
            file.write("{}")
        self.fails(1, f"{self.store}: the store below is damaged: the file 'tifs.volume' makes no sense; restore it "
                      "from a backup; see TROUBLESHOOTING", "info", self.uri)

    def test_volumes_are_had_by_one_process(self):
        self.format()
        second = f"rocks://{self.root}/second?volume={self.device}&root=second"
        self.ok("format", second)
        self.assertEqual(self.roots(), ["second", "tifs"])
        self.mount()
        owner = rf"the volume is in use by 'tifs mount {re.escape(self.mnt)} \(pid {self.owner()['pid']}\) on .*'"
        way_out = "end that first: one process at a time has a volume, whichever root it uses"
        self.fails(1, re.compile(rf"{re.escape(self.device)}: {owner}; {way_out}"), "info", second)
        self.ok("volume", "info", self.device)
        self.umount()
        self.ok("info", second)
        self.ok("fsck", self.uri, "-n")

    def test_may_not_lie_on_its_own_mount(self):
        self.format()
        self.fails(1, f"{self.mnt}: the store's volume would lie on the mount itself; mount at a directory outside of "
                      "it", "mount", f"{self.plain_uri}?volume=file:{self.mnt}/disk.img", self.mnt)


class VolumeIoCase(StoreVolumeCase):
    def transfers(self, volume_io):
        return {(one["instance"], one["class"]): one for one in volume_io["transfers"]}

    def test_counts_are_shown_by_class_and_instance(self):
        self.format()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.mount("-o", f"metrics=127.0.0.1:{port}")
        self.fill("file", os.urandom(2 * MIB))
        os.sync()
        stats = self.ok_json("stats", self.mnt)["volume_io"]
        self.assertEqual(stats["settings"]["scheduler"], "off")
        counted = self.transfers(stats)
        self.assertEqual(len(counted), 12)
        self.assertGreaterEqual(counted["files", "foreground"]["write_bytes"], 2 * MIB)
        self.assertRegex(self.ok("stats", self.mnt), r"volume I/O for +class .*\n(.*\n)*files +foreground +\d")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        written = re.search(r'(?m)^tifs_volume_written_bytes_total\{class="foreground",user="files"\} (\d+)$', text)
        self.assertGreaterEqual(int(written.group(1)), 2 * MIB)
        self.assertRegex(text, r'(?m)^tifs_volume_waits_total\{class="compaction"\} 0$')
        self.assertRegex(text, r"(?m)^tifs_volume_scheduler_enabled 0$")
        self.umount()
        # Tables are written from memory when it is opened again.
        self.mount()
        tables = self.transfers(self.ok_json("volume", "io", self.mnt))
        self.assertGreater(sum(one["write_bytes"] for (who, _), one in tables.items() if who == "tables"), 0)
        self.umount()

    def test_goes_by_the_profile_of_the_volume(self):
        self.format()
        self.ok("volume", "bench", self.device, "--seconds", "0.01", "--size", "16MiB", "--latency-goal", "7", "--save")
        self.mount()
        settings = self.ok_json("volume", "io", self.mnt)["settings"]
        self.assertEqual((settings["scheduler"], settings["latency_goal_ms"]), ("on", "7"))
        self.umount()

    def test_is_changed_while_it_runs(self):
        self.format()
        self.mount()
        before = self.ok_json("volume", "io", self.mnt)["settings"]
        changed = self.ok_json("volume", "io", self.uri, "compaction.max_bytes_per_s=50MiB", "flush.weight=9")
        self.assertEqual(changed["settings"], {**before, "scheduler": "on", "flush.weight": "9",
                                               "compaction.max_bytes_per_s": "52428800"})
        self.assertRegex(self.ok("volume", "io", self.mnt), r"(?m)^compaction.max_bytes_per_s +52428800 *$")
        self.fill("file", os.urandom(2 * MIB))
        for setting, why in (("flush.weight=0", "flush.weight=0 is not possible; write a number from 1 to 1000"),
                             ("flush.wait=1", re.compile(".*: there is no setting 'flush.wait'; there are .*")),
                             ("latency_goal_ms=5", re.compile(".*: latency_goal_ms takes a profile of the device.*"))):
            message = why if isinstance(why, re.Pattern) else f"{self.mnt}: {why}"
            self.fails(1, message, "volume", "io", self.mnt, "migration.weight=10", setting)
        self.fails(2, "x: this is no setting; write NAME=VALUE, as compaction.max_bytes_per_s=50MiB", "volume", "io",
                   self.mnt, "x")
        self.fails(2, "a: it is there twice; name it once", "volume", "io", self.mnt, "a=1", "a=2")
        self.assertEqual(self.ok_json("volume", "io", self.mnt)["settings"], changed["settings"])
        self.umount()
        # Until then, and no longer.
        self.mount()
        self.assertEqual(self.ok_json("volume", "io", self.mnt)["settings"], before)
        self.umount()

    def test_is_that_of_stores_on_volumes(self):
        self.ok("format", self.plain_uri)
        self.fails(1, re.compile(".*: the store is not mounted; .*"), "volume", "io", self.plain_uri)
        self.mount(uri=self.plain_uri)
        self.fails(1, f"{self.mnt}: the store lies on no volume, so that no I/O is scheduled; 'tifs info' shows what "
                      "it lies on", "volume", "io", self.mnt)
        self.assertIsNone(self.ok_json("stats", self.mnt)["volume_io"])
        self.umount()


class FormatOnAVolumeCase(StoreVolumeCase):
    def test_needs_a_volume(self):
        image = os.path.join(self.root, "empty.img")
        with open(image, "wb") as file:
            file.truncate(MIB)
        self.fails(1, f"file:{image}: has no TiFS volume; make one with 'tifs volume format file:{image}'", "format",
                   f"{self.plain_uri}?volume=file:{image}")
        self.fails(1, re.compile(".*/none.img: does not exist; make it with .*"), "format",
                   f"{self.plain_uri}?volume=file:{self.root}/none.img")

    def test_asks_before_a_store_is_lost(self):
        self.format()
        self.mount()
        self.fill("file", b"x" * MIB)
        self.umount()
        self.fails(1, re.compile(r".*: holds the file system [-0-9a-f]+ with 2 inodes and 1 MiB of data; "
                                 r"use --force to destroy it"), "format", self.uri)
        number = self.remembered()["store"]
        used = self.ok_json("volume", "df", self.device)["free_bytes"]
        result = self.run_tifs("format", self.uri, "--force", "--yes")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotEqual(self.remembered()["store"], number)
        self.assertGreaterEqual(self.ok_json("volume", "df", self.device)["free_bytes"], used + MIB)
        self.mount()
        self.assertEqual(os.listdir(self.mnt), [])
        self.umount()
        self.ok("volume", "check", self.device)

    def test_asks_before_another_stores_root_is_lost(self):
        self.format()
        other = f"rocks://{self.root}/other?volume={self.device}"
        self.fails(1, f"{self.root}/other: holds in the root 'tifs' of its volume the data of the store {self.store}; "
                      "use --force to destroy it", "format", other)
        self.ok("info", self.uri)
        # It moved, and its directory was lost: nobody can use the root any more.
        shutil.rmtree(self.store)
        self.assertEqual(self.run_tifs("format", other, "--force", "--yes").returncode, 0)
        self.ok("info", other)

    def test_leaves_the_roots_of_others_alone(self):
        source = os.path.join(self.root, "source")
        with open(source, "w", encoding="utf-8") as file:
            file.write("somebody's")
        self.ok("volume", "put", self.device, source, "tifs/kv/000001.sst")
        self.fails(1, f"{self.device}: the root 'tifs' has files of another program; choose another with '&root=NAME'",
                   "format", self.uri, "--force", "--yes")
        self.ok("format", f"{self.uri}&root=mine")
        self.assertEqual(self.roots(), ["mine", "tifs"])

    def test_moves_onto_a_volume_and_off_it(self):
        self.ok("format", self.plain_uri)
        self.fails(1, f"{self.store}: holds a file system that lies on no volume; use --force to destroy it",
                   "format", self.uri)
        self.ok("info", self.plain_uri)
        self.assertEqual(self.run_tifs("format", self.uri, "--force", "--yes").returncode, 0)
        self.assertEqual(self.remembered()["device"], self.device)
        self.fails(1, f"{self.store}: holds a file system whose data lies on {self.text_of_volume()}, root 'tifs', and "
                      "will stay there; use --force to destroy it", "format", self.plain_uri)
        self.ok("info", self.uri)
        self.assertEqual(self.run_tifs("format", self.plain_uri, "--force", "--yes").returncode, 0)
        self.assertNotIn("tifs.volume", os.listdir(self.store))
        self.ok("info", self.plain_uri)

    def test_goes_on_where_a_format_was_interrupted(self):
        self.format()
        whole = self.remembered()
        # As after a crash before the last step, and before the one before it.
        self.remember(formatted=False)
        self.fails(1, re.compile(".*: its last format did not come to its end; run 'tifs format .*"), "info", self.uri)
        self.format()
        self.ok("info", self.uri)
        self.assertNotEqual(self.remembered()["store"], whole["store"])
        # The directory is gone, the root half made.
        self.unfinish_root()
        shutil.rmtree(self.store)
        self.ok("format", f"rocks://{self.root}/other?volume={self.device}")
        # Killed at any moment.
        shutil.rmtree(self.store, ignore_errors=True)
        self.ok("format", f"{self.uri}&root=killed")
        for milliseconds in range(5, 400, 45):
            process = subprocess.Popen([self.tifs, "format", f"{self.uri}&root=killed", "--force", "--yes"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(milliseconds / 1000)
            process.kill()
            process.wait()
            if self.run_tifs("info", f"{self.uri}&root=killed").returncode:
                self.ok("format", f"{self.uri}&root=killed")
            self.ok("fsck", f"{self.uri}&root=killed", "-n")

    def unfinish_root(self):
        source = os.path.join(self.root, "source")
        self.ok("volume", "get", self.device, "tifs/tifs.store", source)
        with open(source, encoding="utf-8") as file:
            record = json.load(file)
        with open(source, "w", encoding="utf-8") as file:
            json.dump({**record, "formatted": False}, file)
        self.ok("volume", "put", self.device, source, "tifs/tifs.store", "--force")


class FullVolumeCase(StoreVolumeCase):
    size = 64 * MIB

    def test_is_enospc_and_ends_when_files_are_deleted(self):
        self.format()
        self.mount()
        files = 0
        with self.assertRaises(OSError) as full:
            for files in range(10_000):
                with open(os.path.join(self.mnt, f"file{files}"), "wb") as file:
                    file.write(os.urandom(2 * MIB))
                    os.fsync(file.fileno())
        self.assertEqual(full.exception.errno, errno.ENOSPC)
        self.assertGreater(files, 15)
        self.assertLess(os.statvfs(self.mnt).f_bavail * 4096, 4 * MIB)
        for number in range(files - 3):
            os.unlink(os.path.join(self.mnt, f"file{number}"))
        self.fill("after", b"a" * (4 * MIB))
        self.umount()
        self.mount()
        self.assertEqual(self.content("after"), b"a" * (4 * MIB))
        self.umount()
        self.ok("fsck", self.uri, "-n")
        self.ok("volume", "check", self.device)


class LoopDeviceCase(StoreVolumeCase):
    """The same on a block device: a file that the kernel shows as one."""

    def new_volume(self, name, label):
        image = os.path.join(self.root, name)
        with open(image, "wb") as file:
            file.truncate(self.size)
        attached = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
        if attached.returncode != 0:
            self.skipTest(f"no loop device: {attached.stderr.strip()}")
        self.image, device = image, attached.stdout.strip()
        # Detached already, the kernel keeps it until its last user is gone, however this process ends.
        holder = os.open(device, os.O_RDONLY)
        self.addCleanup(os.close, holder)
        subprocess.run(["losetup", "--detach", device], check=True)
        self.ok("volume", "format", device, "--name", label)
        return device

    def test_a_store_on_a_block_device(self):
        self.format()
        self.mount()
        content = os.urandom(5 * MIB)
        self.fill("file", content)
        with open(os.path.join(self.mnt, "file"), "rb") as file:
            os.fsync(file.fileno())
        pid = self.owner()["pid"]
        # By us, and by the kernel's own rule.
        self.fails(8, re.compile(rf"{self.device}: in use by 'tifs mount .* \(pid {pid}\) on .*'; end that first"),
                   "volume", "check", self.device)
        with self.assertRaises(OSError) as busy:
            os.close(os.open(self.device, os.O_RDWR | os.O_EXCL))
        self.assertEqual(busy.exception.errno, errno.EBUSY)
        os.kill(pid, signal.SIGKILL)
        self.await_end(pid)
        subprocess.run(["umount", "-l", self.mnt], check=True)
        self.ok("fsck", self.uri, "-n")
        self.mount()
        self.assertEqual(self.content("file"), content)
        os.unlink(os.path.join(self.mnt, "file"))
        self.umount()
        # What is deleted is discarded, which gives the file below its blocks back.
        self.ok("volume", "check", self.device)
        self.assertLess(os.stat(self.image).st_blocks * 512, self.size / 2)

    def test_grows_with_its_device(self):
        self.format()
        before = self.ok_json("volume", "df", self.device)["total_bytes"]
        os.truncate(self.image, 2 * self.size)
        subprocess.run(["losetup", "--set-capacity", self.device], check=True)
        self.ok("volume", "resize", self.device)
        self.assertGreater(self.ok_json("volume", "df", self.device)["total_bytes"], before + 0.9 * self.size)
        self.mount()
        self.assertGreater(os.statvfs(self.mnt).f_blocks * os.statvfs(self.mnt).f_frsize, before)
        self.umount()
        self.ok("volume", "check", self.device)

    def test_a_mounted_device_is_left_alone(self):
        self.format()
        # The kernel lets go of it a little after the process that had it.
        wait_until(lambda: subprocess.run(["mkfs.ext4", "-q", "-F", self.device], stderr=subprocess.DEVNULL,
                                          check=False).returncode == 0, 10)
        other = os.path.join(self.root, "other")
        os.mkdir(other)
        self.bed.guard("mount", other)
        subprocess.run(["mount", "-t", "ext4", self.device, other], check=True)
        self.addCleanup(subprocess.run, ["umount", other], check=True)
        used = f"{self.device}: in use: mounted, or opened by another process; wait until it is free"
        for command in (["format", self.device, "--force", "--yes"], ["bench", self.device], ["resize", self.device],
                        ["rm", self.device, "tifs", "-r", "--yes"]):
            self.fails(1, used, "volume", *command)
        self.fails(8, used, "volume", "check", self.device, "--repair")
        self.fails(1, used, "mount", self.uri, self.mnt)
        self.assertIn("lost+found", os.listdir(other))


class StoreVolumeUriCase(CliCase):
    def test_is_read_with_care(self):
        for query, why in (
            ("volume=", "'volume=' names nothing; write '?volume=/dev/DEVICE'"),
            ("volume=/dev/x&volume=/dev/y", "'volume' is there twice; name it once"),
            ("volume=/dev/x&root=", "'root=' names nothing; leave it out"),
            ("volume=/dev/x&root=a/b", "'a/b' is no name of a root; it has 1 to 64 letters, digits, '.', '_' and '-'"),
            ("root=x", "it names a root and no volume; write '?volume=/dev/DEVICE&root=NAME'"),
            ("volume=mem:64MiB", "a volume in memory would be gone with the command; name a disk or a file"),
            ("size=1", "'?size=1' is no parameter of this store; leave it out, or write a question mark of the path as "
                       "'%3F'"),
        ):
            uri = f"{self.uri}?{query}"
            self.fails(2, f"{uri}: {why}", "format", uri)
        self.fails(2, re.compile(".*: volume=disk.img: .*"), "format", f"{self.uri}?volume=disk.img")


CASES = [StoreOnAVolumeCase, VolumeIoCase, LoopDeviceCase, FormatOnAVolumeCase, FullVolumeCase]
