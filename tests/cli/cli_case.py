"""What the tests of the command share: a temporary directory, the command run in it, and mounts that are cleaned up."""

import argparse
import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPOSITORY, "tests", "integration"))

from mount_fixture import TestBed, mount_entry, wait_until  # noqa: E402

DEADLINE_S = 60
COMMANDS = ["format", "mount", "umount", "info", "stats", "fsck", "gc", "bench", "volume"]
CONTROL_CHARACTER = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def documented_errors():
    """The headings of TROUBLESHOOTING that are errors, as patterns: words in capitals stand for anything."""
    with open(os.path.join(REPOSITORY, "docs", "TROUBLESHOOTING.md"), encoding="utf-8") as page:
        headings = re.findall(r"^### `(.+)`$", page.read(), re.MULTILINE)
    return [re.compile(re.sub(r"\b[A-Z]{3,}\b", ".+", re.escape(heading)), re.DOTALL) for heading in headings]


class CliCase(unittest.TestCase):
    """Cases run in a directory of their own; `tifs` is the binary."""

    tifs = None
    damage_program = None
    documented = documented_errors()
    bed = None  # shared by all cases; a reaper cleans up if the test is killed

    def setUp(self):
        self.root = os.path.realpath(self.bed.new_directory("case"))
        self.store = os.path.join(self.root, "store")
        self.uri = f"rocks://{self.store}"
        self.mnt = os.path.join(self.root, "mnt")
        os.mkdir(self.mnt)
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def run_tifs(self, *arguments, stdin=subprocess.DEVNULL, name=None, **more):
        """Runs tifs, or its binary under another name. Whatever it says obeys the manners."""
        command = [self.named(name) if name else self.tifs, *map(str, arguments)]
        result = subprocess.run(command, stdin=stdin, capture_output=True, text=True, errors="surrogateescape",
                                timeout=DEADLINE_S, check=False, cwd=self.root, **more)
        for line in result.stderr.splitlines():
            self.assertTrue(line.startswith("tifs: "), f"{command}: {result.stderr}")
        self.assertIsNone(CONTROL_CHARACTER.search(result.stderr), repr(result.stderr))
        return result

    def named(self, name):
        """The binary as another program, as the package installs it."""
        link = os.path.join(self.root, name)
        if not os.path.lexists(link):
            os.symlink(self.tifs, link)
        return link

    def ok(self, *arguments, **more):
        result = self.run_tifs(*arguments, **more)
        self.assertEqual((result.returncode, result.stderr), (0, ""), f"{arguments}: {result.stdout}")
        return result.stdout

    def ok_json(self, *arguments):
        return json.loads(self.ok(*arguments, "--json"))

    def fails(self, code, message, *arguments, **more):
        """The command exits with `code`, prints nothing on stdout and one error: exactly `message` if a string, or
        one that the pattern matches from end to end."""
        result = self.run_tifs(*arguments, **more)
        self.assertEqual(result.returncode, code, f"{arguments}: {result.stdout}{result.stderr}")
        self.assertEqual(result.stdout, "")
        error = result.stderr.removesuffix("\n").removeprefix("tifs: ")
        self.assertTrue(any(heading.search(error) for heading in self.documented), f"not in TROUBLESHOOTING: {error}")
        if isinstance(message, str):
            self.assertEqual(error, message)
        else:
            self.assertRegex(error, re.compile(rf"\A(?:{message.pattern})\Z", re.DOTALL))
        return error

    def answer(self, text, *arguments):
        """Runs tifs on a terminal and types `text`; returns the exit code and all that was shown."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(self.tifs, [self.tifs, *arguments])
        shown = b""
        typed = False
        while select.select([terminal], [], [], 60)[0]:
            try:
                chunk = os.read(terminal, 4096)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
            if b"[yes/no]" in shown and not typed:
                typed = True
                os.write(terminal, text.encode() + b"\n")
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")

    def format(self, *arguments):
        self.ok("format", self.uri, *arguments)

    def tree(self, top):
        """What a directory holds, to compare."""
        return sorted((os.path.join(folder, name), os.stat(os.path.join(folder, name)).st_size)
                      for folder, _, names in os.walk(top) for name in names)


class MountCase(CliCase):
    """Cases that mount."""

    def setUp(self):
        super().setUp()
        self.bed.guard("mount", self.mnt)
        # Before the directory goes.
        self.addCleanup(self.unmount_all)

    def unmount_all(self):
        for point in sorted((entry for entry in self.mounts_below(self.root)), reverse=True):
            pid = self.pid_of_mount(point)
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
            if pid:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
                self.await_end(pid)

    @staticmethod
    def mounts_below(top):
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            points = [line.split(" ")[4].encode("utf-8", "surrogateescape").decode("unicode_escape") for line in table]
        return [point for point in points if point.startswith(top + "/")]

    def owner(self, store=None):
        with contextlib.suppress(OSError, ValueError):
            with open(os.path.join(store or self.store, "tifs.owner"), encoding="utf-8") as record:
                return json.load(record)
        return None

    def pid_of_mount(self, point):
        entry = mount_entry(point)
        if not entry or entry["type"] != "fuse.tifs":
            return None
        owner = self.owner(entry["source"].removeprefix("rocks://").partition("?")[0])
        return owner["pid"] if owner else None

    def mount(self, *arguments, mnt=None, uri=None):
        self.ok("mount", uri or self.uri, mnt or self.mnt, *arguments)
        self.assertIsNotNone(mount_entry(mnt or self.mnt), "mount returned before it mounted")
        pid = self.pid_of_mount(mnt or self.mnt)
        return pid

    def umount(self, mnt=None):
        self.ok("umount", mnt or self.mnt)

    def foreground(self, *arguments, log=None, **more):
        """A mount in a child process that this one waits for; returns once it serves."""
        process = subprocess.Popen([self.tifs, "mount", self.uri, self.mnt, "--foreground", *arguments],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=log or subprocess.DEVNULL, cwd="/", **more)
        self.addCleanup(self.end, process)
        self.assertTrue(wait_until(lambda: mount_entry(self.mnt) or process.poll() is not None, DEADLINE_S))
        self.assertIsNone(process.poll(), "the mount ended")
        os.statvfs(self.mnt)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()

    def await_end(self, pid):
        gone = wait_until(lambda: not os.path.exists(f"/proc/{pid}") or self.is_zombie(pid), DEADLINE_S)
        self.assertTrue(gone, f"process {pid} did not end")

    @staticmethod
    def is_zombie(pid):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat", encoding="utf-8") as status:
                return status.read().rpartition(")")[2].split()[0] == "Z"
        return True

    def write(self, name, text):
        with open(os.path.join(self.mnt, name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        with open(os.path.join(self.mnt, name), encoding="utf-8") as file:
            return file.read()


def run(cases, require=None):
    """The main program of a file of cases. `require` raises Skipped where they cannot run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tifs", metavar="BINARY", required=True)
    parser.add_argument("--damage", metavar="PROGRAM", help="damage_store, for the cases that need it")
    parser.add_argument("-k", metavar="PATTERN", action="append", help="only the cases that match")
    arguments = parser.parse_args()
    if require:
        require()
    CliCase.tifs = os.path.abspath(arguments.tifs)
    CliCase.damage_program = arguments.damage
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{pattern}*" for pattern in arguments.k] if arguments.k else None
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases)
    started = time.monotonic()
    with TestBed(CliCase.tifs) if require else PlainBed() as bed:
        CliCase.bed = bed
        result = unittest.TextTestRunner(verbosity=2).run(suite)
    for case, reason in result.skipped:
        print(f"SKIPPED: {case}: {reason}")
    print(f"{result.testsRun} cases in {time.monotonic() - started:.0f} s")
    return 0 if result.wasSuccessful() else 1


class PlainBed(TestBed):
    """For cases that mount nothing."""

    def __init__(self):
        super().__init__(tifs="-")

    def __enter__(self):
        import tempfile
        self.root = tempfile.mkdtemp(prefix="tifs-test-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def guard(self, action, what):
        pass
