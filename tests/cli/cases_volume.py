"""`tifs volume`: what its commands do to a file as a disk, and what they refuse without changing anything."""

import fcntl
import hashlib
import json
import os
import re
import struct
import subprocess

from cli_case import CliCase, REPOSITORY

MIB = 1 << 20
VOLUME_COMMANDS = ["format", "info", "df", "ls", "cat", "get", "put", "rm", "check", "resize", "bench"]
# That takes a mount in place of a device.
MOUNT_COMMANDS = ["io"]


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class VolumeCase(CliCase):
    """A case has an image in its directory; `device` names it."""

    def setUp(self):
        super().setUp()
        self.image = os.path.join(self.root, "disk.img")
        self.device = f"file:{self.image}"
        self.resize_image(16 * MIB)

    def resize_image(self, size):
        with open(self.image, "ab") as file:
            file.truncate(size)

    def digest(self, path=None):
        with open(path or self.image, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def volume(self, *arguments, **more):
        return self.ok("volume", *arguments, **more)

    def volume_json(self, *arguments):
        return json.loads(self.volume(*arguments, "--json"))

    def refused(self, code, message, *arguments):
        """As `fails`, and the image stays as it was to the byte."""
        before = self.digest()
        error = self.fails(code, message, "volume", *arguments)
        self.assertEqual(self.digest(), before, arguments)
        return error

    def local(self, name, content=None):
        path = os.path.join(self.root, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path

    def put(self, path, content=b"content"):
        self.volume("put", self.device, self.local("source", content), path)

    def overwrite(self, offset, content):
        with open(self.image, "r+b") as file:
            file.seek(offset)
            file.write(content)


class VolumeUsageCase(VolumeCase):
    def test_help_man_page_and_completions_know_every_command_and_option(self):
        texts = {}
        for name in ("docs/man/tifs-volume.1", "packaging/completion/tifs.bash", "packaging/completion/_tifs"):
            with open(os.path.join(REPOSITORY, name), encoding="utf-8") as file:
                texts[name] = file.read().replace("\\-", "-")
        overview = self.volume("--help")
        for command in VOLUME_COMMANDS + MOUNT_COMMANDS:
            self.assertIn(f"  {command} ", overview)
            for option in set(re.findall(r"--[a-z][a-z-]+", self.volume(command, "--help"))) - {"--help"}:
                for name, text in texts.items():
                    self.assertIn(command, text, name)
                    self.assertIn(option, text, name)

    def test_wrong_usage(self):
        self.fails(2, "volume: A subcommand is required; run 'tifs volume --help'", "volume")
        self.fails(2, "fromat: there is no such command; did you mean 'tifs volume format'?", "volume", "fromat")
        self.fails(2, "xyzzyq: there is no such command; run 'tifs volume --help'", "volume", "xyzzyq")
        self.fails(2, "volume put: there is no option '--forse', did you mean '--force'?; run 'tifs volume put --help'",
                   "volume", "put", "--forse")
        for command in VOLUME_COMMANDS:
            usage = re.compile(rf".+; run 'tifs volume {command} --help'")
            self.fails(16 if command == "check" else 2, usage, "volume", command)
        self.fails(16, re.compile(".+; run 'tifs volume check --help'"), "volume", "check", self.device,
                   "--cut-damaged-journal")

    def test_what_is_no_device(self):
        others = {"cat": ["r/f"], "get": ["r/f", "out"], "put": ["in", "r/f"], "rm": ["r/f"]}
        for command in VOLUME_COMMANDS:
            code = 16 if command == "check" else 2
            more = others.get(command, [])
            self.fails(code, f"{self.image}: not below /dev; if it is a file as a disk, write file:{self.image}",
                       "volume", command, self.image, *more)
            self.fails(code, re.compile("x: not a device; write .+"), "volume", command, "x", *more)
        self.fails(1, f"file:{self.root}: is a directory; name a file as a disk, or a device", "volume", "info",
                   f"file:{self.root}")
        self.fails(1, f"{self.device}x: does not exist; make it with 'truncate -s 10G {self.image}x'", "volume",
                   "format", f"{self.device}x")
        self.assertFalse(os.path.exists(f"{self.image}x"))
        self.fails(1, "/dev/none-such: does not exist; 'lsblk' lists the devices", "volume", "info", "/dev/none-such")

    def test_what_holds_no_volume(self):
        self.local("in", b"x")
        message = f"{self.device}: has no TiFS volume; make one with 'tifs volume format {self.device}'"
        for arguments in (["info"], ["df"], ["ls"], ["resize"], ["bench"], ["check"]):
            self.refused(8 if arguments == ["check"] else 1, message, *arguments, self.device)
        for arguments in (["cat", self.device, "r/f"], ["get", self.device, "r/f", "out"],
                          ["put", self.device, "in", "r/f"], ["rm", self.device, "r/f", "--yes"]):
            self.refused(1, message, *arguments)
        self.assertFalse(os.path.exists(self.local("out")))

    def test_a_volume_of_a_newer_version_is_left_alone(self):
        self.volume("format", self.device)
        self.put("r/f")
        # docs/volume_format.md: the version is at 12, incompatible features at 64, the CRC of all that follows at 8.
        for at, value in ((12, 2), (64, 1 << 63)):
            with open(self.image, "r+b") as file:
                whole = file.read()
                copies = [0, struct.unpack_from("<Q", whole, 144)[0]]
                for copy in copies:
                    block = bytearray(whole[copy:copy + 4096])
                    struct.pack_into("<I" if at == 12 else "<Q", block, at, value)
                    struct.pack_into("<I", block, 8, crc32c(block[12:]))
                    file.seek(copy)
                    file.write(block)
            message = re.compile(rf"{self.device}: written by a newer version \(.+\); use that version or a later one")
            for arguments in (["info"], ["df"], ["ls"], ["resize"], ["bench"], ["check"], ["check", "--repair"]):
                self.refused(8 if "check" in arguments else 1, message, *arguments, self.device)
            self.refused(1, message, "cat", self.device, "r/f")
            self.refused(1, message, "rm", self.device, "r/f", "--yes")
            self.refused(1, message, "put", self.device, self.local("source"), "r/g")
            before = self.digest()
            self.fails(1, message, "format", f"rocks://{self.store}?volume={self.device}")
            self.assertEqual(self.digest(), before)
            self.refused(1, re.compile(f"{self.device}: holds .*; use --force to destroy it"), "format", self.device)
            with open(self.image, "wb") as file:
                file.write(whole)

    def test_paths_that_are_none(self):
        self.volume("format", self.device)
        for path in ("a/../b", "..", "", "//", "r\n/x", "r r/x", "x" * 65 + "/y", "r/" + "x" * 256):
            for arguments in (["cat", self.device, path], ["rm", self.device, path, "--yes"]):
                self.refused(2, re.compile(".+: .+; write ROOT or ROOT/PATH, as 'tifs volume ls' shows"), *arguments)
        for command in (["cat", self.device, "r"], ["get", self.device, "r", "out"], ["put", self.device, "in", "r/"]):
            self.refused(2, "r: names a root, not a file in it; write ROOT/PATH", *command)

    def test_hostile_arguments_are_escaped(self):
        # run_tifs checks for control characters.
        self.volume("format", self.device)
        for hostile in ("\x1b[2J", "a\nb: c", "\x7f", "\udcff"):
            self.run_tifs("volume", hostile)
            for command in VOLUME_COMMANDS:
                self.run_tifs("volume", command, hostile, hostile, hostile)
                self.run_tifs("volume", command, f"file:/{hostile}", f"r/{hostile}", hostile)
                self.run_tifs("volume", command, self.device, f"r/{hostile}", f"r/{hostile}")


class VolumeFormatCase(VolumeCase):
    def test_makes_a_volume(self):
        out = self.volume("format", self.device, "--name", "kv", "--extent-unit", "16KiB")
        info = self.volume_json("info", self.device)
        self.assertEqual(out, f"formatted {self.device}: UUID {info['uuid']}, 16 MiB in extent units of 16 KiB\n")
        self.assertEqual((info["device"], info["name"], info["extent_unit_bytes"], info["device_bytes"]),
                         (self.device, "kv", 16 << 10, 16 * MIB))
        self.assertEqual((info["closed"], info["files"], info["roots"], info["warnings"]), (True, 0, [], []))
        made = json.loads(self.run_tifs("volume", "format", self.device, "--force", "--yes", "--json").stdout)
        info = self.volume_json("info", self.device)
        self.assertEqual(made, {name: info[name] for name in ("device", "uuid", "name", "device_bytes",
                                                              "extent_unit_bytes")})

    def test_bad_options_change_nothing(self):
        for option, value in (("--extent-unit", "3KiB"), ("--extent-unit", "1KiB"), ("--extent-unit", "32MiB"),
                              ("--extent-unit", "many"), ("--name", "x" * 65), ("--name", "a\nb")):
            with self.subTest(option=option, value=value):
                self.refused(2, re.compile(".+: .+; run 'tifs volume format --help'"), "format", self.device, option,
                             value)

    def test_a_device_too_small(self):
        with open(self.image, "r+b") as file:
            file.truncate(512 << 10)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.refused(1, f"{self.device}: 512 KiB are too small for a volume; give it 1 MiB or more, or a smaller "
                        "--extent-unit", "format", self.device, "--force", "--yes")

    def test_a_file_system_is_kept(self):
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "home", self.image], check=True)
        holds = f"{self.device}: holds a file system 'home' (ext4); use --force to destroy it"
        self.refused(1, holds, "format", self.device)
        self.refused(1, holds, "format", self.device, "--yes")
        before = self.digest()
        asked = self.run_tifs("volume", "format", self.device, "--force")
        self.assertEqual(asked.returncode, 1)
        self.assertIn("this destroys a file system 'home' (ext4)", asked.stderr)
        self.assertIn("nobody was asked whether that may be destroyed; add --yes if it may", asked.stderr)
        returned, said = self.answer("no", "volume", "format", self.device, "--force")
        self.assertEqual((returned, self.digest()), (1, before), said)
        self.assertIn("Destroy it? [yes/no]", said)
        returned, said = self.answer("yes", "volume", "format", self.device, "--force")
        self.assertEqual(returned, 0, said)
        self.volume("check", self.device)

    def test_nothing_is_left_of_what_was_there(self):
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        # This mark lies where a format writes nothing.
        self.overwrite(32768, b"\x01CD001\x01")
        result = self.run_tifs("volume", "format", self.device, "--force", "--yes")
        self.assertEqual(result.returncode, 0)
        self.assertIn("(ext4)", result.stderr)
        self.assertIn("(iso9660)", result.stderr)
        found = subprocess.run(["blkid", "-p", self.image], capture_output=True, text=True, check=False)
        self.assertEqual((found.returncode, found.stdout), (2, ""))
        self.volume("check", self.device)

    def test_a_volume_is_kept(self):
        self.volume("format", self.device, "--name", "kv")
        uuid = self.volume_json("info", self.device)["uuid"]
        self.refused(1, f"{self.device}: holds the TiFS volume 'kv' {uuid}; use --force to destroy it", "format",
                     self.device)
        self.assertEqual(self.run_tifs("volume", "format", self.device, "--force", "--yes").returncode, 0)
        self.assertNotEqual(self.volume_json("info", self.device)["uuid"], uuid)

    def test_memory(self):
        self.assertIn("formatted mem:16MiB: UUID ", self.volume("format", "mem:16MiB"))


class VolumeFilesCase(VolumeCase):
    def setUp(self):
        super().setUp()
        self.volume("format", self.device)

    def test_put_get_and_cat_round_trip(self):
        out = self.local("out")
        for size in (0, 1, 4096, 65537, 3 * MIB + 5):
            content = os.urandom(size)
            path = f"kv/db/{size}"
            self.put(path, content)
            self.volume("get", self.device, path, out)
            self.assertEqual(self.digest(out), hashlib.sha256(content).hexdigest(), size)
            self.assertEqual(os.stat(out).st_mode & 0o777, 0o600)
            os.unlink(out)
            raw = subprocess.run([self.tifs, "volume", "cat", self.device, path], capture_output=True, check=True)
            self.assertEqual((raw.stdout, raw.stderr), (content, b""), size)
        self.assertEqual(self.volume("check", self.device).splitlines()[-1].rpartition("; ")[2], "clean")
        self.assertEqual(sorted(os.listdir(self.root)), ["disk.img", "mnt", "source"])
        names = [entry["name"] for entry in self.volume_json("ls", self.device, "kv/db")["entries"]]
        self.assertEqual(names, sorted(["0", "1", "4096", "65537", str(3 * MIB + 5)]))

    def test_files_are_replaced_only_by_force(self):
        self.put("kv/a", b"old")
        new = self.local("new", b"new")
        self.refused(1, "kv/a: exists on the volume; use --force to replace it", "put", self.device, new, "kv/a")
        self.volume("put", self.device, new, "kv/a", "--force")
        self.assertEqual(self.volume("cat", self.device, "kv/a"), "new")
        out = self.local("out", b"mine")
        self.fails(1, f"{out}: File exists; use --force to replace it", "volume", "get", self.device, "kv/a", out)
        self.assertEqual(self.digest(out), hashlib.sha256(b"mine").hexdigest())
        self.volume("get", self.device, "kv/a", out, "--force")
        self.assertEqual(self.digest(out), self.digest(new))

    def test_what_put_and_get_refuse(self):
        self.put("kv/a")
        source = self.local("source")
        self.refused(1, re.compile(rf"{self.root}/none: No such file or directory"), "put", self.device,
                     f"{self.root}/none", "new/x")
        self.refused(1, f"{self.root}: Is a directory; name a file", "put", self.device, self.root, "new/x")
        self.refused(1, re.compile("kv/a/b: a part of the path is a file, not a directory; .+"), "put", self.device,
                     source, "kv/a/b")
        with open(self.local("large"), "wb") as file:
            file.truncate(64 * MIB)
        self.refused(1, f"new/x: the volume is full; 'tifs volume df {self.device}' shows how full", "put", self.device,
                     self.local("large"), "new/x")
        self.refused(1, re.compile("kv/none: there is no such file on the volume; .+"), "get", self.device, "kv/none",
                     self.local("out"))
        self.refused(1, re.compile("none: there is no such root; .+"), "cat", self.device, "none/x")
        self.refused(1, f"{self.root}: Is a directory; name a file", "get", self.device, "kv/a", self.root)
        self.refused(1, re.compile(r"/dev/null: is not a regular file; .+"), "get", self.device, "kv/a", "/dev/null",
                     "--force")
        self.refused(1, re.compile(rf"{self.root}/none/x: No such file or directory; .+"), "get", self.device, "kv/a",
                     f"{self.root}/none/x")
        self.put("kv/d/e")
        self.refused(1, re.compile("kv/d: is a directory of the volume; .+"), "cat", self.device, "kv/d")
        self.refused(1, re.compile("kv/d: is a directory of the volume; .+"), "put", self.device, source, "kv/d",
                     "--force")
        self.assertFalse(os.path.exists(self.local("out")))

    def test_ls_df_and_info(self):
        self.put("kv/d/one", b"x" * 100000)
        self.put("kv/two", b"yy")
        self.put("raft/three", b"z")
        roots = self.volume_json("ls", self.device)
        self.assertEqual([(e["name"], e["kind"]) for e in roots["entries"]],
                         [("kv", "directory"), ("raft", "directory")])
        listed = self.volume_json("ls", self.device, "kv")
        self.assertEqual(listed["path"], "kv")
        self.assertEqual([(e["name"], e["kind"], e["size_bytes"], e["allocated_bytes"]) for e in listed["entries"]],
                         [("d", "directory", 0, 0), ("two", "file", 2, 65536)])
        one, = self.volume_json("ls", self.device, "kv/d/one")["entries"]
        self.assertEqual((one["name"], one["size_bytes"], one["allocated_bytes"], one["links"]),
                         ("one", 100000, 131072, 1))
        self.assertRegex(self.volume("ls", self.device, "kv"),
                         r"(?m)^ *SIZE  MODIFIED +NAME\n +- .+Z  d/\n +2 B .+  two$")
        usage = self.volume_json("df", self.device)
        self.assertEqual(usage["used_bytes"], 4 * 65536)
        self.assertEqual(usage["total_bytes"], usage["used_bytes"] + usage["free_bytes"])
        self.assertEqual(usage["roots"], [
            {"name": "kv", "files": 2, "directories": 1, "size_bytes": 100002, "allocated_bytes": 196608},
            {"name": "raft", "files": 1, "directories": 0, "size_bytes": 1, "allocated_bytes": 65536}])
        self.assertRegex(self.volume("df", self.device),
                         r"(?s)SIZE +USED +FREE.+256 KiB.+ROOT +FILES.+\nraft +1 +1 B +64")
        info = self.volume_json("info", self.device)
        self.assertEqual((info["files"], info["directories"], info["roots"]), (3, 3, ["kv", "raft"]))
        for expected in (self.device, info["uuid"], "kv raft", "closed"):
            self.assertIn(expected, self.volume("info", self.device))
        self.refused(1, f"none: there is no such root; 'tifs volume ls {self.device}' lists them", "ls", self.device,
                     "none")

    def test_rm_asks(self):
        self.put("kv/d/a")
        asked = "nobody was asked whether that may be deleted; add --yes if it may"
        self.refused(1, f"kv/d/a: {asked}", "rm", self.device, "kv/d/a")
        before = self.digest()
        returned, said = self.answer("no", "volume", "rm", self.device, "kv/d/a")
        self.assertEqual((returned, self.digest()), (1, before), said)
        self.assertIn(f"Delete the file kv/d/a (7 B) from {self.device}? [yes/no]", said)
        not_empty = "is not empty; add --recursive if all that is in it may go"
        self.refused(1, f"kv/d: the directory {not_empty}", "rm", self.device, "kv/d", "--yes")
        self.refused(1, f"kv: the root {not_empty}", "rm", self.device, "kv", "--yes")
        self.assertEqual(self.answer("yes", "volume", "rm", self.device, "kv/d/a")[0], 0)
        self.refused(1, re.compile("kv/d/a: there is no such file on the volume; .+"), "rm", self.device, "kv/d/a",
                     "--yes")
        self.volume("rm", self.device, "kv/d", "--yes")
        self.volume("rm", self.device, "kv", "-y")
        self.assertEqual(self.volume_json("info", self.device)["roots"], [])
        self.assertEqual(self.volume_json("df", self.device)["used_bytes"], 0)

    def test_rm_takes_whole_trees_if_told_to(self):
        for path in ("kv/d/e/a", "kv/d/b", "kv/c", "raft/a"):
            self.put(path, b"x" * 1000)
        self.volume("rm", self.device, "kv/c", "-r", "--yes")
        before = self.digest()
        returned, said = self.answer("no", "volume", "rm", "-r", self.device, "kv/d")
        self.assertEqual((returned, self.digest()), (1, before), said)
        self.assertIn("Delete the directory kv/d and all that is in it (files: 2, 2 KiB) from", said)
        self.volume("rm", self.device, "kv/d/e", "--recursive", "--yes")
        self.assertEqual([entry["name"] for entry in self.volume_json("ls", self.device, "kv/d")["entries"]], ["b"])
        returned, said = self.answer("yes", "volume", "rm", "-r", self.device, "kv")
        self.assertEqual(returned, 0, said)
        self.assertIn("Delete the root kv and all that is in it (files: 1, 1000 B) from", said)
        self.assertEqual(self.volume_json("info", self.device)["roots"], ["raft"])
        self.assertEqual(self.volume("cat", self.device, "raft/a"), "x" * 1000)
        self.volume("check", self.device)

    def test_hostile_names_are_escaped(self):
        self.put("kv/\x1b[2J\nx\\")
        text = self.volume("ls", self.device, "kv")
        self.assertIn(r"\x1b[2J\nx\\", text)
        self.assertNotIn("\x1b", text)
        entry, = self.volume_json("ls", self.device, "kv")["entries"]
        self.assertEqual(entry["name"], r"\x1b[2J\nx\\")

    def test_resize(self):
        self.put("kv/a")
        before = self.digest()
        self.assertEqual(self.volume("resize", self.device), f"{self.device}: uses all 16 MiB already\n")
        self.assertEqual(self.digest(), before)
        free = self.volume_json("df", self.device)["free_bytes"]
        self.resize_image(32 * MIB)
        self.assertEqual(self.volume("resize", self.device), f"{self.device}: grew from 16 MiB to 32 MiB\n")
        self.assertGreater(self.volume_json("df", self.device)["free_bytes"], free + 15 * MIB)
        size = self.volume_json("info", self.device)["device_bytes"]
        self.assertEqual(self.volume_json("resize", self.device),
                         {"device": self.device, "before_bytes": size, "device_bytes": size})
        self.assertEqual(self.volume("cat", self.device, "kv/a"), "content")
        self.volume("check", self.device)
        with open(self.image, "r+b") as file:
            file.truncate(8 * MIB)
        self.refused(1, re.compile(rf"{self.device}: .*but the volume has .+"), "resize", self.device)


class VolumeBenchCase(VolumeCase):
    SHORT = ["--size", "16MiB", "--seconds", "0.02"]
    FIGURES = ["read_iops", "read_bytes_per_s", "write_iops", "write_bytes_per_s", "latency_goal_ns"]

    def setUp(self):
        super().setUp()
        self.resize_image(64 * MIB)
        self.volume("format", self.device)
        self.put("kv/a", b"kept")

    def test_measures_and_leaves_nothing(self):
        before = self.volume_json("df", self.device)
        result = self.volume_json("bench", self.device, *self.SHORT)
        self.assertEqual((result["device"], result["size_bytes"], result["saved"]), (self.device, 16 * MIB, False))
        kinds = {(m["name"], m["depth"], m["bytes"]) for m in result["measurements"]}
        self.assertLessEqual({("read", 1, 4096), ("read", 64, 4096), ("read", 4, MIB), ("append", 1, MIB),
                              ("append", 4, MIB), ("write", 1, 4096), ("sync", 1, 4096)}, kinds)
        for one in result["measurements"]:
            self.assertGreater(one["ops_per_s"], 0)
            self.assertLessEqual(one["p50_ns"], one["p999_ns"])
        self.assertEqual(list(result["profile"]), self.FIGURES)
        text = self.volume("bench", self.device, *self.SHORT)
        self.assertRegex(text, r"\AWORK +DEPTH +OPS/S +BYTES/S +P50 +P99 +P99\.9\n")
        self.assertRegex(text, r"\nread 4 KiB +16 .*\n")
        self.assertRegex(text, r"\nreads .+; latency goal [0-9.]+ ms\n\Z")
        self.assertEqual(self.volume_json("df", self.device), before)
        self.assertEqual([e["name"] for e in self.volume_json("ls", self.device)["entries"]], ["kv"])
        self.assertEqual(self.volume("cat", self.device, "kv/a"), "kept")
        self.volume("check", self.device)

    def test_saves_a_profile(self):
        result = self.volume_json("bench", self.device, "--save", "--latency-goal", "2.5", *self.SHORT)
        self.assertTrue(result["saved"])
        self.assertEqual(result["profile"]["latency_goal_ns"], 2_500_000)
        lines = self.volume("cat", self.device, ".tifs/device-profile").splitlines()
        self.assertEqual(lines, ["tifs-device-profile 1"] + [f"{name} {result['profile'][name]}"
                                                             for name in self.FIGURES])
        self.assertRegex(self.volume("bench", self.device, "--save", *self.SHORT), "; saved on the volume\n\\Z")
        self.assertNotEqual(self.volume("cat", self.device, ".tifs/device-profile").splitlines(), lines)
        names = [e["name"] for e in self.volume_json("ls", self.device, ".tifs")["entries"]]
        self.assertEqual(names, ["device-profile"])
        self.volume("check", self.device)

    def test_what_it_refuses(self):
        for option, value, message in (
                ("--size", "15MiB", "--size: at least 16 MiB, in whole MiB; run 'tifs volume bench --help'"),
                ("--size", "much", re.compile("--size: .+; run 'tifs volume bench --help'")),
                ("--seconds", "0", re.compile(".*--seconds.*; run 'tifs volume bench --help'")),
                ("--latency-goal", "-1", re.compile(".*--latency-goal.*; run 'tifs volume bench --help'"))):
            self.refused(2, message, "bench", self.device, option, value)
        self.put("kv/full", b"x" * (40 * MIB))
        self.fails(1, f"{self.device}: less than 32 MiB are free; 'tifs volume df {self.device}' shows how full it is",
                   "volume", "bench", self.device, *self.SHORT)
        self.assertEqual([e["name"] for e in self.volume_json("ls", self.device)["entries"]], ["kv"])

    def under_way(self):
        """A bench that has written something that a kill would leave."""
        process = subprocess.Popen([self.tifs, "volume", "bench", self.device, "--size", "16MiB", "--seconds", "60"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while ".tifs" not in [e["name"] for e in self.volume_json("ls", self.device)["entries"]]:
            self.assertIsNone(process.poll(), "the bench ended")
        return process

    def test_an_interrupt_leaves_nothing(self):
        process = self.under_way()
        process.terminate()
        self.assertNotEqual(process.wait(60), 0)
        self.assertEqual([e["name"] for e in self.volume_json("ls", self.device)["entries"]], ["kv"])
        self.assertTrue(self.volume_json("info", self.device)["closed"])

    def test_what_a_kill_left_is_removed_by_the_next(self):
        process = self.under_way()
        process.kill()
        process.wait()
        self.volume("check", self.device)
        self.volume("bench", self.device, *self.SHORT)
        left = [e["name"] for e in self.volume_json("ls", self.device, ".tifs")["entries"]]
        self.assertEqual(left, [])


class VolumeInUseCase(VolumeCase):
    def setUp(self):
        super().setUp()
        self.volume("format", self.device)
        self.put("kv/a", b"seen")

    def hold(self):
        """A put that reads from a pipe that nobody closes: it has the volume until then."""
        pipe = self.local("pipe")
        os.mkfifo(pipe)
        process = subprocess.Popen([self.tifs, "volume", "put", self.device, pipe, "kv/slow"], stderr=subprocess.PIPE,
                                   text=True)
        self.addCleanup(self.end, process)
        writer = open(pipe, "wb", buffering=0)
        self.addCleanup(writer.close)
        # Once the pipe was emptied it is in the middle of the copying.
        writer.write(b"x" * 65536)
        waiting = bytearray(4)
        while fcntl.ioctl(writer, 0x541B, waiting) == 0 and int.from_bytes(waiting, "little") > 0:
            self.assertIsNone(process.poll(), "the put ended")
        return process, writer

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()

    def test_others_look_but_do_not_touch(self):
        process, writer = self.hold()
        self.assertEqual([e["name"] for e in self.volume_json("ls", self.device, "kv")["entries"]], ["a"])
        self.assertEqual(self.volume_json("df", self.device)["roots"][0]["files"], 1)
        info = self.volume_json("info", self.device)
        self.assertFalse(info["closed"])
        self.assertRegex(info["owner"], rf"\Atifs volume put \(pid {process.pid}\) on .+\Z")
        busy = re.compile(rf"{self.device}: in use by 'tifs volume put \(pid {process.pid}\) on .+'; end that first")
        source = self.local("source")
        out = self.local("out")
        for arguments in (["format", self.device, "--force", "--yes"], ["cat", self.device, "kv/a"],
                          ["get", self.device, "kv/a", out], ["put", self.device, source, "kv/b"],
                          ["rm", self.device, "kv/a", "--yes"], ["resize", self.device],
                          ["bench", self.device]):
            self.refused(1, busy, *arguments)
        self.refused(8, busy, "check", self.device)
        self.refused(8, busy, "check", self.device, "--repair")
        self.assertFalse(os.path.exists(out))
        writer.close()
        self.assertEqual(process.wait(60), 0)
        self.assertEqual([(e["name"], e["size_bytes"]) for e in self.volume_json("ls", self.device, "kv")["entries"]],
                         [("a", 4), ("slow", 65536)])

    def test_an_interrupt_leaves_nothing(self):
        process, _ = self.hold()
        process.terminate()
        self.assertNotEqual(process.wait(60), 0)
        self.assertEqual([e["name"] for e in self.volume_json("ls", self.device, "kv")["entries"]], ["a"])
        self.assertTrue(self.volume_json("info", self.device)["closed"])

    def test_death_frees_it(self):
        process, _ = self.hold()
        process.kill()
        process.wait()
        self.volume("check", self.device)
        self.assertEqual(self.volume("cat", self.device, "kv/a"), "seen")
        self.put("kv/b")


class VolumeCheckCase(VolumeCase):
    def setUp(self):
        super().setUp()
        self.volume("format", self.device)
        self.put("kv/a")

    def check(self, code, *options):
        result = self.run_tifs("volume", "check", self.device, *options)
        self.assertEqual((result.returncode, result.stderr), (code, ""), result.stdout)
        return result.stdout

    def test_a_sound_volume(self):
        before = self.digest()
        text = self.check(0)
        self.assertRegex(text, rf"\A{self.device}: 1 files, .+ used, .+ free; clean\n\Z")
        self.assertEqual(self.check(0, "--repair"), text)
        report = self.volume_json("check", self.device)
        self.assertEqual((report["files"], report["finding_count"], report["unrepaired"], report["findings"]),
                         (1, 0, 0, []))
        self.assertEqual(self.digest(), before)

    def test_a_bad_superblock_is_repaired(self):
        self.overwrite(200, b"\xff")
        before = self.digest()
        self.assertRegex(self.check(4), r"\Awarning: superblock copy 0: .+\n.+; not repaired\n\Z")
        self.assertEqual(self.digest(), before)
        self.assertIn("superblock copy 0", self.volume_json("info", self.device)["warnings"][0])
        report = json.loads(self.check(4, "--json"))
        self.assertEqual((report["unrepaired"], report["findings"][0]["severity"]), (1, "warning"))
        self.assertRegex(self.check(1, "--repair"), r"(?s)\(repaired\)\n.+; repaired\n\Z")
        self.check(0)
        self.assertEqual(self.volume("cat", self.device, "kv/a"), "content")

    def test_what_is_beyond_repair(self):
        with open(self.image, "r+b") as file:
            # All but the superblocks.
            for offset in range(4096, 16 * MIB - 65536, 4096):
                file.seek(offset)
                file.write(bytes(4096))
        before = self.digest()
        for options in ([], ["--repair"]):
            self.assertRegex(self.check(4, *options), r"\Aerror: .+\n.+; not repaired\n\Z")
        self.refused(1, re.compile(rf"{self.device}: the volume is damaged .+; run 'tifs volume check {self.device}'"),
                     "ls", self.device)
        self.assertEqual(self.digest(), before)

    def test_both_superblocks_bad(self):
        self.overwrite(200, b"\xff")
        self.overwrite(16 * MIB - 65536 + 200, b"\xff")
        self.assertRegex(self.check(4, "--repair"), r"\Aerror: .+superblock.+\n")
        self.refused(1, f"{self.device}: holds a TiFS volume that cannot be read; use --force to destroy it",
                     "format", self.device)


CASES = [VolumeUsageCase, VolumeFormatCase, VolumeFilesCase, VolumeBenchCase, VolumeInUseCase, VolumeCheckCase]
