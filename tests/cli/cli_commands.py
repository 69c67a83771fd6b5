"""Commands on stores that are not mounted: what they do, what they refuse, with which words and exit codes."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import unittest

from cli_case import COMMANDS, CliCase, REPOSITORY, run
from cases_store_volume import StoreVolumeUriCase

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class CommandLineCase(CliCase):
    def test_version_names_ours_rocksdb_libfuse_and_the_formats(self):
        self.assertRegex(self.ok("--version"),
                         r"\Atifs \d+\.\d+\.\d+\nRocksDB \d+\.\d+\.\d+\nlibfuse \d+\.\d+\.\d+\nformats read: 1\n\Z")

    def test_version_as_json(self):
        versions = json.loads(self.ok("--version", "--json"))
        self.assertEqual(set(versions), {"tifs", "rocksdb", "libfuse", "format_version"})
        text = self.ok("--version")
        for part in (f"tifs {versions['tifs']}\n", f"RocksDB {versions['rocksdb']}\n",
                     f"libfuse {versions['libfuse']}\n", f"formats read: {versions['format_version']}\n"):
            self.assertIn(part, text)

    def test_usage_lines_can_be_copied(self):
        for command in COMMANDS:
            self.assertIn(f"Usage: tifs {command} ", self.ok(command, "--help"))
        self.assertIn("Usage: tifs volume df ", self.ok("volume", "df", "--help"))
        self.assertIn("Usage: tifs [", self.ok("--help"))

    def test_help_of_every_command(self):
        overview = self.ok("--help")
        for command in COMMANDS:
            self.assertIn(f"  {command} ", overview)
            self.assertIn(command, self.ok(command, "--help"))
            self.assertEqual(self.ok(command, "--help"), self.ok(command, "-h"))

    def test_wrong_usage_exits_with_2(self):
        usage = re.compile(r".*; run 'tifs.*--help'")
        self.fails(2, usage)
        self.fails(2, usage, "--frobnicate")
        for command in COMMANDS:
            code = 16 if command == "fsck" else 2
            self.fails(code, usage, command)
            self.fails(code, usage, command, "--frobnicate", self.uri)
            self.fails(code, usage, command, self.uri, self.mnt, "one-too-many")

    def test_a_misspelt_command_or_option_is_suggested(self):
        self.fails(2, "fromat: there is no such command; did you mean 'tifs format'?", "fromat", self.uri)
        self.fails(2, "xyzzy: there is no such command; run 'tifs --help' for those there are", "xyzzy")
        self.fails(2, "format: there is no option '--capacty', did you mean '--capacity'?; run 'tifs format --help'",
                   "format", self.uri, "--capacty", "1GiB")

    def test_hostile_arguments_are_escaped(self):
        # run_tifs checks for control characters.
        for hostile in ("\x1b[2J", "a\nb: c", "\x7f", "\udcff"):
            for command in COMMANDS:
                self.run_tifs(command, hostile)
                self.run_tifs(command, f"rocks:///x{hostile}/y", f"z{hostile}")
            self.run_tifs(hostile)
            self.run_tifs("mount", self.uri, self.mnt, "-o", f"x{hostile}=1")
            self.run_tifs("format", self.uri, "--block-size", hostile, "--name", hostile)

    def test_a_full_standard_output_is_an_error(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([self.tifs, "--version"], stdout=full, stderr=subprocess.PIPE, text=True,
                                    timeout=60, check=False)
        self.assertEqual((result.returncode, result.stderr), (1, "tifs: standard output: No space left on device\n"))

    def test_it_is_said_once(self):
        self.format()
        for command in (["info", self.uri], ["info", self.uri, "--json"], ["gc", self.uri], ["gc", self.uri, "--json"],
                        ["format", f"{self.uri}2"], ["format", f"{self.uri}3", "--json"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                result = subprocess.run([self.tifs, *command], stdout=full, stderr=subprocess.PIPE, text=True,
                                        timeout=60, check=False)
            self.assertEqual((result.returncode, result.stderr),
                             (1, "tifs: standard output: No space left on device\n"), command)

    def test_a_reader_that_has_seen_enough_is_no_error(self):
        self.format()
        for command in (["--version"], ["info", self.uri], ["info", self.uri, "--json"], ["fsck", "-n", self.uri],
                        ["gc", self.uri]):
            reading, writing = os.pipe()
            os.close(reading)
            result = subprocess.run([self.tifs, *command], stdout=writing, stderr=subprocess.PIPE, text=True,
                                    timeout=60, check=False)
            os.close(writing)
            self.assertEqual(result.stderr, "", command)
            self.assertNotEqual(result.returncode, 0, command)

    def test_man_pages_and_completions_know_every_option(self):
        with open(os.path.join(REPOSITORY, "packaging", "completion", "tifs.bash"), encoding="utf-8") as file:
            bash = file.read()
        with open(os.path.join(REPOSITORY, "packaging", "completion", "_tifs"), encoding="utf-8") as file:
            zsh = file.read()
        for command in COMMANDS:
            with open(os.path.join(REPOSITORY, "docs", "man", f"tifs-{command}.1"), encoding="utf-8") as file:
                manual = file.read().replace("\\-", "-")
            self.assertIn(command, bash)
            self.assertIn(command, zsh)
            options = set(re.findall(r"--[a-z][a-z-]+", self.ok(command, "--help")))
            self.assertIn("--help", options)
            for option in options - {"--help"}:
                self.assertIn(option, manual, f"man tifs-{command}")
                self.assertIn(option, bash, f"bash completion of {command}")
                self.assertIn(option, zsh, f"zsh completion of {command}")

    def test_man_pages_are_well_formed(self):
        folder = os.path.join(REPOSITORY, "docs", "man")
        for name in sorted(os.listdir(folder)):
            result = subprocess.run(["man", "--warnings", "-l", os.path.join(folder, name)], text=True, timeout=60,
                                    check=False, capture_output=True, env={**os.environ, "MANWIDTH": "80"})
            self.assertEqual((result.returncode, result.stderr), (0, ""), name)

    def test_completions_are_valid_scripts(self):
        folder = os.path.join(REPOSITORY, "packaging", "completion")
        subprocess.run(["bash", "-n", os.path.join(folder, "tifs.bash")], check=True)
        self.assertEqual(self.complete("tifs", "for"), ["format"])
        self.assertIn("--block-size", self.complete("tifs", "format", "--"))
        self.assertIn("noatime", self.complete("tifs", "mount", "rocks:///x", "/mnt", "-o", "no"))
        self.assertIn("ro,noatime", self.complete("tifs", "mount", "-o", "ro,noat"))

    def test_uris_of_stores_on_volumes_are_completed(self):
        store = os.path.join(self.root, "store")
        os.makedirs(store)
        with open(os.path.join(self.root, "disk.img"), "wb"):
            pass
        uri = f"rocks://{store}"
        image = f"{self.root}/disk.img"
        # As readline parts it, with a quote before it, and not.
        for command in ("format", "mount", "info", "fsck", "gc"):
            self.assertEqual(self.complete("tifs", command, f"'rocks://{self.root}/sto"), [uri])
            self.assertIn(f"{uri}?volume=", self.complete("tifs", command, f"'{uri}"))
            self.assertEqual(self.complete("tifs", command, f"'{uri}?vol"), [f"{uri}?volume="])
            self.assertEqual(self.complete("tifs", command, f"'{uri}?volume="),
                             [f"{uri}?volume=/dev/", f"{uri}?volume=file:/"])
            self.assertEqual(self.complete("tifs", command, f"'{uri}?volume=file:{self.root}/di"),
                             [f"{uri}?volume=file:{image}"])
            self.assertEqual(self.complete("tifs", command, f"'{uri}?volume=file:{image}&r"),
                             [f"{uri}?volume=file:{image}&root="])
        line = f"tifs mount {uri}?volume=file:{self.root}/di"
        self.assertEqual(self.complete("tifs", "mount", "rocks", ":", f"//{store}?volume", "=", "file", ":",
                                       f"{self.root}/di", line=line), [image])
        self.assertEqual(self.complete("tifs", "mount", "rocks", ":", f"//{store}?volume", "=",
                                       line=f"tifs mount {uri}?volume="), ["/dev/", "file:/"])
        self.assertEqual(self.complete("tifs", "info", "ro"), ["rocks:///"])

    def test_zsh_completion_is_a_valid_script(self):
        zsh = shutil.which("zsh")
        if zsh is None:
            self.skipTest("no zsh")
        subprocess.run([zsh, "-n", os.path.join(REPOSITORY, "packaging", "completion", "_tifs")], check=True)

    def complete(self, *words, line=None):
        script = os.path.join(REPOSITORY, "packaging", "completion", "tifs.bash")
        program = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE=${TIFS_TEST_LINE-$*}; '
                   'COMP_POINT=${#COMP_LINE}; _tifs; printf "%s\\n" "${COMPREPLY[@]}"')
        environment = {**os.environ, **({"TIFS_TEST_LINE": line} if line else {})}
        result = subprocess.run(["bash", "-c", program, "bash", script, *words], capture_output=True, text=True,
                                timeout=60, check=True, env=environment)
        return [word.strip() for word in result.stdout.split("\n") if word.strip()]


class FormatCase(CliCase):
    def test_a_new_directory_is_private(self):
        out = self.ok("format", self.uri, "--name", "home", "--capacity", "1GiB", "--inodes", "1M",
                      "--block-size", "128KiB")
        self.assertRegex(out, rf"\Aformatted {self.uri}: UUID {UUID.pattern}, blocks of 128 KiB, capacity 1 GiB\n\Z")
        self.check_private()
        info = self.ok_json("info", self.uri)
        self.assertEqual((info["name"], info["capacity_bytes"], info["max_inodes"], info["block_size_bytes"]),
                         ("home", 1 << 30, 1000000, 128 << 10))

    def check_private(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.store).st_mode), 0o700)
        for folder, folders, files in os.walk(self.store):
            for name in folders + files:
                path = os.path.join(folder, name)
                expected = 0o700 if name in folders else 0o600
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), expected, path)

    def test_an_empty_directory_is_taken_and_made_private(self):
        os.mkdir(self.store, 0o755)
        os.mkdir(os.path.join(self.store, "lost+found"))
        self.format()
        self.assertEqual(stat.S_IMODE(os.stat(self.store).st_mode), 0o700)

    def test_json_is_that_of_info(self):
        made = self.ok_json("format", self.uri)
        info = self.ok_json("info", self.uri)
        self.assertEqual(set(info) - set(made), {"mounted"})
        self.assertEqual(made["uuid"], info["uuid"])

    def test_a_directory_that_is_not_ours_is_never_touched(self):
        os.mkdir(self.store)
        with open(os.path.join(self.store, "precious"), "w", encoding="utf-8") as file:
            file.write("data")
        before = self.tree(self.store)
        message = f"{self.store}: the directory is not empty and no TiFS store; choose an empty or new directory"
        self.fails(1, message, "format", self.uri)
        self.fails(1, message, "format", self.uri, "--force", "--yes")
        self.assertEqual(self.tree(self.store), before)
        self.assertEqual(stat.S_IMODE(os.stat(self.store).st_mode) & 0o055, 0o055)

    def test_a_file_is_refused(self):
        with open(self.store, "w", encoding="utf-8"):
            pass
        self.fails(1, re.compile(rf"{self.store}: .*Not a directory; name a directory"), "format", self.uri)

    def test_the_parent_must_be_there(self):
        self.fails(1, f"{self.root}/no/d: its parent directory {self.root}/no does not exist; "
                      f"create it with 'mkdir -p {self.root}/no'", "format", f"rocks://{self.root}/no/d")
        self.assertFalse(os.path.exists(os.path.join(self.root, "no")))

    def test_bad_options_change_nothing(self):
        for option, value in (("--block-size", "3KiB"), ("--block-size", "2MiB"), ("--block-size", "60000"),
                              ("--block-size", "2KiB"), ("--block-size", "0"), ("--block-size", "-1"),
                              ("--block-size", "64XiB"), ("--capacity", "0"), ("--capacity", "many"),
                              ("--capacity", "4KiB"), ("--capacity", "99999999999EiB"), ("--capacity", "15EiB"),
                              ("--inodes", "0"), ("--inodes", "lots"), ("--name", "x" * 65), ("--name", "a\nb"),
                              ("--name", "\u202e"), ("--name", "\udcff")):
            with self.subTest(option=option, value=value):
                self.fails(2, re.compile(r".+: .+; run 'tifs format --help'"), "format", self.uri, option, value)
                self.assertFalse(os.path.exists(self.store))

    def test_a_name_is_utf_8(self):
        name = "größe €"
        self.format("--name", name)
        self.assertEqual(self.ok_json("info", self.uri)["name"], name)
        self.assertIn(name, self.ok("info", self.uri))

    def test_bad_uris(self):
        self.fails(2, f"{self.store}: is a path, not a store's URI; write 'rocks://{self.store}'",
                   "format", self.store)
        for uri in ("rocks://relative/dir", "rocks:store", "rocks:///", "rocks:///a?volume=x",
                    "tikv:///x", "tikv://pd:2379", "tikv://pd:0/x", "tikv://pd/x/y", "tikv://pd/x?gc=on"):
            self.fails(2, re.compile(r".+: .+; .+"), "format", uri)

    def test_what_is_no_cluster_has_no_names_and_sessions(self):
        self.format()
        self.fails(2, f"{self.uri}: is no TiKV cluster; write 'tikv://HOST:2379'", "list", self.uri)
        self.fails(2, re.compile("tikv://pd/x: is a file system in a cluster, not a cluster; .+"), "list",
                   "tikv://pd/x")
        self.fails(1, f"{self.uri}: an embedded store has one mount, and no sessions; see 'tifs info'", "sessions",
                   self.uri)
        self.fails(2, re.compile(f"{self.uri}: is a directory, not a file system in a cluster; .+"), "destroy",
                   self.uri)
        self.assertEqual(self.ok_json("info", self.uri)["used_inodes"], 1)

    def test_a_file_system_that_is_there_is_kept(self):
        self.format("--name", "home")
        uuid = self.ok_json("info", self.uri)["uuid"]
        self.fails(1, re.compile(rf"{self.store}: holds the file system 'home' {uuid} with 1 inodes and .+ of data; "
                                 "use --force to destroy it"), "format", self.uri)
        error = self.fails(1, re.compile(".*"), "format", self.uri, "--force")
        self.assertIn(f"this destroys the file system 'home' {uuid}", error)
        self.assertIn("nobody was asked whether that may be destroyed; add --yes if it may", error)
        self.assertEqual(self.ok_json("info", self.uri)["uuid"], uuid)

    def test_force_and_yes_destroy(self):
        self.format()
        uuid = self.ok_json("info", self.uri)["uuid"]
        result = self.run_tifs("format", self.uri, "--force", "--yes", "--name", "second")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"this destroys the file system {uuid}", result.stderr)
        info = self.ok_json("info", self.uri)
        self.assertNotEqual(info["uuid"], uuid)
        self.assertEqual(info["name"], "second")

    def test_force_asks_on_a_terminal(self):
        self.format()
        uuid = self.ok_json("info", self.uri)["uuid"]
        for answer, code in (("no", 1), ("", 1), ("maybe", 1)):
            returned, said = self.answer(answer, "format", self.uri, "--force")
            self.assertEqual(returned, code, said)
            self.assertIn("Destroy it? [yes/no]", said)
            self.assertEqual(self.ok_json("info", self.uri)["uuid"], uuid)
        returned, said = self.answer("yes", "format", self.uri, "--force")
        self.assertEqual(returned, 0, said)
        self.assertNotEqual(self.ok_json("info", self.uri)["uuid"], uuid)

    def test_a_damaged_store_can_be_formatted_over(self):
        self.format()
        with open(os.path.join(self.store, "kv", "CURRENT"), "w", encoding="utf-8") as file:
            file.write("garbage")
        self.fails(1, re.compile(rf"{self.store}: holds a file system that cannot be read; use --force to destroy it"),
                   "format", self.uri)
        self.assertEqual(self.run_tifs("format", self.uri, "--force", "--yes").returncode, 0)
        self.ok("fsck", self.uri, "-n")

    def test_a_store_of_a_newer_version_is_left_alone(self):
        self.format()
        with open(os.path.join(self.store, "tifs.store"), "w", encoding="utf-8") as file:
            file.write("TiFS embedded store, layout 99\n")
        message = f"{self.store}: the store was made by a newer version; use that version or a later one"
        self.fails(1, message, "format", self.uri, "--force", "--yes")
        self.fails(1, message, "info", self.uri)
        self.fails(1, message, "gc", self.uri)
        self.fails(1, message, "mount", self.uri, self.mnt)
        self.fails(8, message, "fsck", self.uri)

    def test_mkfs(self):
        self.ok("-V", "--capacity", "1GiB", self.uri, name="mkfs.tifs")
        self.assertEqual(self.ok_json("info", self.uri)["capacity_bytes"], 1 << 30)
        self.fails(1, re.compile(".+; use --force to destroy it"), self.uri, name="mkfs.tifs")
        self.fails(1, re.compile(".+; run 'mkfs.tifs --help'"), "--bogus", self.uri, name="mkfs.tifs")


class UnmountedStoreCase(CliCase):
    def test_what_is_not_formatted(self):
        formatted = f"run 'tifs format {self.uri}' first"
        absent = f"{self.store}: no such directory; {formatted}"
        self.fails(1, absent, "info", self.uri)
        self.fails(1, absent, "gc", self.uri)
        self.fails(1, absent, "mount", self.uri, self.mnt)
        self.fails(8, absent, "fsck", self.uri)
        self.assertFalse(os.path.exists(self.store))
        os.mkdir(self.store)
        empty = f"{self.store}: the store is not formatted; {formatted}"
        self.fails(1, empty, "info", self.uri)
        self.fails(1, empty, "mount", self.uri, self.mnt)
        self.fails(8, empty, "fsck", self.uri, "-n")
        self.assertEqual(os.listdir(self.store), [])
        with open(os.path.join(self.store, "x"), "w", encoding="utf-8"):
            pass
        foreign = f"{self.store}: not a TiFS store; check the URI"
        self.fails(1, foreign, "info", self.uri)
        self.fails(1, foreign, "mount", self.uri, self.mnt)
        self.fails(8, foreign, "fsck", self.uri, "-y")
        self.assertEqual(os.listdir(self.store), ["x"])

    def test_an_interrupted_format_is_not_formatted(self):
        self.format()
        subprocess.run(["rm", "-rf", os.path.join(self.store, "kv")], check=True)
        self.fails(1, f"{self.store}: the store is not formatted; run 'tifs format {self.uri}' first",
                   "mount", self.uri, self.mnt)
        self.format()
        self.ok("fsck", self.uri, "-n")

    def test_info(self):
        self.format("--name", "home", "--capacity", "10MiB", "--inodes", "1000")
        text = self.ok("info", self.uri)
        for expected in (self.uri, "home", "10 MiB", "1,000", "mounted"):
            self.assertIn(expected, text)
        info = self.ok_json("info", self.uri)
        self.assertEqual(info["uri"], self.uri)
        self.assertEqual(info["format_version"], 1)
        self.assertRegex(info["uuid"], rf"\A{UUID.pattern}\Z")
        self.assertEqual((info["capacity_bytes"], info["max_inodes"]), (10 << 20, 1000))
        self.assertIsNone(info["mounted"])
        self.assertEqual(info["read_only_reason"], "")

    def test_info_of_no_mount(self):
        self.fails(1, f"{self.mnt}: no TiFS is mounted there; name a mount point, or a store as 'rocks://{self.mnt}'",
                   "info", self.mnt)
        self.fails(1, re.compile(rf"{self.root}/no: .+; name a mount point or a store's URI"), "info",
                   f"{self.root}/no")

    def test_stats_needs_a_mount(self):
        self.format()
        self.fails(1, f"{self.uri}: the store is not mounted; mount it first with 'tifs mount {self.uri} DIR'",
                   "stats", self.uri)

    def test_umount_of_no_mount(self):
        self.fails(1, f"{self.mnt}: nothing is mounted there", "umount", self.mnt)
        self.fails(1, re.compile(rf"{self.root}/no: .*No such file or directory.*"), "umount", f"{self.root}/no")
        self.fails(1, re.compile(r"/proc: what is mounted there is no TiFS but proc; run 'umount /proc'"), "umount",
                   "/proc")

    def test_gc(self):
        self.format()
        self.assertEqual(self.ok("gc", self.uri), "nothing to reclaim\n")
        self.assertEqual(self.ok_json("gc", self.uri), {"steps": 0})

    def test_fsck_of_a_clean_store(self):
        self.format()
        for options in ([], ["-n"], ["-y"]):
            self.assertTrue(self.ok("fsck", self.uri, *options).endswith("; clean\n"))
        report = self.ok_json("fsck", self.uri, "-n")
        self.assertEqual((report["inodes"], report["finding_count"], report["unrepaired"]), (1, 0, 0))
        self.fails(16, re.compile(".+; run 'tifs fsck --help'"), "fsck", "-n", "-y", self.uri)
        self.fails(16, re.compile(".+"), "fsck", "nonsense://x")

    def test_fsck_n_changes_nothing(self):
        self.format()
        before = self.tree(self.store)
        self.ok("fsck", self.uri, "-n")
        self.ok("info", self.uri)
        self.assertEqual(self.tree(self.store), before)

    def test_fsck_as_fsck_8_calls_it(self):
        self.format()
        for options in (["-a"], ["-p"], ["-y", "-f"], ["-n", "-C", "0"], ["-C0", "-v"], ["-fy"]):
            self.ok(*options, self.uri, name="fsck.tifs")
        self.fails(16, re.compile(".+; usage: fsck.tifs .+"), name="fsck.tifs")
        self.fails(16, re.compile(".+; usage: fsck.tifs .+"), "-q", self.uri, name="fsck.tifs")
        self.fails(8, re.compile(".+"), f"{self.uri}x", name="fsck.tifs")

    def test_a_damaged_store(self):
        self.format()
        with open(os.path.join(self.store, "kv", "CURRENT"), "w", encoding="utf-8") as file:
            file.write("garbage")
        damaged = re.compile(rf"{self.store}: .+")
        self.fails(1, damaged, "info", self.uri)
        self.fails(1, damaged, "mount", self.uri, self.mnt)
        self.fails(8, damaged, "fsck", self.uri)

    def test_the_store_is_private_again(self):
        self.format()
        os.chmod(self.store, 0o755)
        self.run_tifs("gc", self.uri)
        self.assertEqual(stat.S_IMODE(os.stat(self.store).st_mode), 0o700)


class BenchCase(CliCase):
    def test_measures_and_leaves_nothing(self):
        text = self.ok("bench", self.mnt, "--files", "20", "--size", "1MiB")
        self.assertEqual(os.listdir(self.mnt), [])
        for work in ("create", "unlink", "sequential write", "random read"):
            self.assertIn(work, text)
        self.assertRegex(text, r"[KMG]iB/s")
        report = self.ok_json("bench", self.mnt, "--files", "20", "--size", "1MiB")
        works = {work["name"]: work for work in report["works"]}
        self.assertEqual(works["create"]["operations"], 20)
        self.assertEqual(works["sequential_write"]["bytes"], 1 << 20)
        self.assertEqual(os.listdir(self.mnt), [])

    def test_an_interrupt_leaves_nothing(self):
        with subprocess.Popen([self.tifs, "bench", self.mnt, "--files", "5000000"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True) as process:
            while not os.listdir(self.mnt):
                self.assertIsNone(process.poll())
            process.terminate()
            error = process.stderr.read()
            self.assertEqual(process.wait(60), 1)
        self.assertTrue(error.startswith("tifs: "), error)
        self.assertEqual(os.listdir(self.mnt), [])

    def test_refuses_what_it_cannot_measure(self):
        self.fails(1, re.compile(rf"{self.root}/no: .*No such file or directory"), "bench", f"{self.root}/no")
        self.fails(1, re.compile(rf"{self.mnt}: the bench needs .+, only .+ are free; use a smaller --size"), "bench",
                   self.mnt, "--size", "1EiB")
        self.fails(2, re.compile(".+; give at least 1MiB"), "bench", self.mnt, "--size", "1KiB")


if __name__ == "__main__":
    sys.exit(run([CommandLineCase, FormatCase, UnmountedStoreCase, BenchCase, StoreVolumeUriCase]))
