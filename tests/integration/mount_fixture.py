"""A temporary TiFS store, mounted for a test, that leaves nothing behind.

    with TestBed.from_arguments(arguments) as bed:
        mounted = bed.new_mount(capacity="64MiB", options=["noatime"])
        ... use mounted.path ...

Leaving the block unmounts every store, runs `tifs fsck URI -n` on it, and deletes it. A file system
that fsck faults, a mount process that died, or an unmount that did not end fails the test. A test
process that is itself killed is cleaned up after by a detached reaper, because nobody else would
detach the dead mount point.

With `--volume` the tables and the data of each store lie on a volume of its own, in a sparse file
beside it. With `--tikv PROGRAM|PD` the stores are file systems in a cluster (tikv_cluster.py).

With `--dir DIR` the same suites run on an existing directory: plain mounts become subdirectories of
DIR, and mounts that need an option, a capacity or a subdirectory become tmpfs, which honours the
same ones. A case that fails there as well accuses the test, not TiFS.
"""

import argparse
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

from tikv_cluster import TikvCluster

SKIP_EXIT_CODE = 77
MOUNT_DEADLINE_S = 60
UNMOUNT_DEADLINE_S = 120
FSCK_DEADLINE_S = 600
VOLUME_BYTES = 16 << 30


class Skipped(Exception):
    """The machine lacks what this test needs; the text says what."""


class MountFailure(Exception):
    """TiFS did not mount, unmount or pass fsck."""


def add_arguments(parser):
    parser.add_argument("--tifs", metavar="BINARY", help="the tifs binary to test")
    parser.add_argument(
        "--dir", metavar="DIR", help="run on this directory instead of a fresh mount"
    )
    parser.add_argument("--volume", action="store_true", help="put the stores on volumes")
    parser.add_argument("--tikv", metavar="PROGRAM|PD", help="put the stores into a cluster")
    parser.add_argument("--long", action="store_true", help="full length")


def parse_arguments(description, configure=None, argv=None):
    parser = argparse.ArgumentParser(description=description)
    add_arguments(parser)
    if configure:
        configure(parser)
    arguments = parser.parse_args(argv)
    if arguments.dir and (arguments.volume or arguments.tikv):
        parser.error("--volume and --tikv need --tifs")
    if arguments.volume and arguments.tikv:
        parser.error("give either --volume or --tikv")
    if bool(arguments.tifs) == bool(arguments.dir):
        parser.error("give either --tifs BINARY or --dir DIR")
    return arguments


def run_main(main):
    """Runs `main()`; turns Skipped into exit code 77, said aloud."""
    # A terminated test must unwind, so that its mounts go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Skipped as reason:
        print(f"SKIPPED: {reason}", flush=True)
        sys.exit(SKIP_EXIT_CODE)
    except MountFailure as failure:
        print(f"FAILED: {failure}", flush=True)
        sys.exit(1)


def require_fuse_and_root():
    if os.geteuid() != 0:
        raise Skipped("mount tests need root (they mount, and act as several users)")
    try:
        mode = os.stat("/dev/fuse").st_mode
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        raise Skipped(f"/dev/fuse cannot be opened: {error.strerror}") from None
    if not stat.S_ISCHR(mode):
        raise Skipped("/dev/fuse is not a device")


def mount_entry(path):
    """The last /proc/self/mountinfo entry at `path` as a dict, or None."""
    found = None
    with open("/proc/self/mountinfo", "rb") as mountinfo:
        for line in mountinfo:
            left, right = line.rstrip(b"\n").split(b" - ", 1)
            fields, tail = left.split(b" "), right.split(b" ")
            where = fields[4].decode("unicode_escape").encode("latin-1")
            if where == os.fsencode(path):
                found = {
                    "options": fields[5].decode().split(","),
                    "type": tail[0].decode(),
                    "source": tail[1].decode("unicode_escape"),
                    "super_options": tail[2].decode().split(","),
                }
    return found


def wait_until(condition, deadline_s, interval_s=0.02):
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(interval_s)


def processes_using(path):
    """{pid: command} of the processes with a file, a mapping or their cwd below `path`."""
    below = os.fspath(path) + "/"
    users = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        links = [f"/proc/{pid}/cwd", f"/proc/{pid}/exe"]
        with contextlib.suppress(OSError):
            links += [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
        for link in links:
            with contextlib.suppress(OSError):
                if (os.readlink(link) + "/").startswith(below):
                    with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                        command = cmdline.read().replace(b"\0", b" ").decode(errors="replace")
                    users[int(pid)] = command.strip()
    return users


def processes_naming(path):
    """The processes with `path` somewhere in their command line."""
    pids = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                if os.fsencode(path) in cmdline.read() and int(pid) != os.getpid():
                    pids.append(int(pid))
    return pids


def kill_all(pids):
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def tail_of(path, lines=40):
    with contextlib.suppress(OSError):
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    return ""


class Reaper:
    """A detached process that removes what its owner left, should the owner be killed."""

    def __init__(self):
        read_end, self._pipe = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                # The second fork takes the reaper out of reach of who kills the owner's process
                # tree.
                if os.fork() == 0:
                    self._serve(read_end)
            os._exit(0)
        os.waitpid(child, 0)
        os.close(read_end)

    def tell(self, action, what):
        os.write(self._pipe, f"{action} {what}\n".encode())

    def dismiss(self):
        with contextlib.suppress(OSError):
            self.tell("end", "")
            os.close(self._pipe)

    @staticmethod
    def _serve(read_end):
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.dup2(read_end, 3)
        os.closerange(4, 65536)
        os.chdir("/")
        mounts, trees = [], []
        with open(3, encoding="utf-8") as orders:
            for order in orders:
                action, what = order.rstrip("\n").split(" ", 1)
                if action == "end":
                    return
                {"mount": mounts, "tree": trees}[action].append(what)
        # The names of the trees are random, so whoever names one belongs to the test.
        for tree in trees:
            kill_all(processes_naming(tree))
        for mount in reversed(mounts):
            while mount_entry(mount):
                if subprocess.run(["umount", "-l", mount], check=False).returncode:
                    break
        for tree in trees:
            if not any(mount_entry(mount) for mount in mounts):
                shutil.rmtree(tree, ignore_errors=True)


class TestBed:
    """Owns everything that a test puts on the machine: one temporary directory, its stores and its
    mounts.
    """

    __test__ = False

    def __init__(self, tifs=None, directory=None, long=False, volume=False, tikv=None):
        self.tifs = os.path.abspath(tifs) if tifs else None
        self.directory = os.path.abspath(directory) if directory else None
        self.is_reference = directory is not None
        self.long = long
        self.volume = volume
        self.tikv = tikv
        self.pd = None
        self._cluster = None
        self.root = None
        self._mounts = []
        self._reaper = None
        self._count = 0

    @classmethod
    def from_arguments(cls, arguments):
        return cls(arguments.tifs, arguments.dir, arguments.long, arguments.volume, arguments.tikv)

    def __enter__(self):
        if self.is_reference:
            if os.geteuid() != 0:
                raise Skipped("these tests need root (they act as several users)")
        else:
            require_fuse_and_root()
            if not os.access(self.tifs, os.X_OK):
                raise MountFailure(f"{self.tifs}: no such program")
        self._reaper = Reaper()
        self.root = self._new_tree(None)
        if self.is_reference:
            self.reference_root = self._new_tree(self.directory)
        if self.tikv:
            self._cluster = TikvCluster(self.tikv, self.root)
            self.pd = self._cluster.pd
        return self


    def __exit__(self, kind, error, traceback):
        failures = []
        for mounted in reversed(self._mounts):
            try:
                mounted.close()
            except MountFailure as failure:
                failures.append(str(failure))
        self._mounts.clear()
        if self._cluster:
            self._cluster.stop()
        if not wait_until(lambda: not processes_naming(self.root), UNMOUNT_DEADLINE_S):
            left = processes_naming(self.root)
            kill_all(left)
            failures.append(f"processes were left running: {left}")
        shutil.rmtree(self.root, ignore_errors=True)
        if self.is_reference:
            shutil.rmtree(self.reference_root, ignore_errors=True)
        self._reaper.dismiss()
        if failures and kind is None:
            raise MountFailure("\n".join(failures))
        for failure in failures:
            print(f"FAILED while cleaning up: {failure}", flush=True)

    def _new_tree(self, parent):
        tree = tempfile.mkdtemp(prefix="tifs-test-", dir=parent)
        self._reaper.tell("tree", tree)
        # The users that tests act as must be able to walk to the mount point.
        os.chmod(tree, 0o755)
        return tree

    def new_path(self, name):
        """A path of its own on the machine's file system, which does not exist yet."""
        self._count += 1
        return os.path.join(self.root, f"{name}{self._count}")

    def new_directory(self, name="dir"):
        path = self.new_path(name)
        os.mkdir(path)
        return path

    def new_mount(self, **arguments):
        """Formats and mounts a store; see Mounted and Reference for the arguments."""
        mounted = (Reference if self.is_reference else Mounted)(self, **arguments)
        self._mounts.append(mounted)
        try:
            mounted.mount()
        except BaseException:
            self.discard(mounted)
            raise
        return mounted

    def discard(self, mounted):
        if mounted in self._mounts:
            self._mounts.remove(mounted)
            mounted.close()

    def guard(self, action, what):
        """Tells the reaper of a mount or a tree."""
        self._reaper.tell(action, what)

    def run_tifs(self, *arguments, deadline_s=120, **more):
        return subprocess.run(
            [self.tifs, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=deadline_s,
            check=False,
            **more,
        )


class Mounted:
    """One store and its mount. `path` is the mount point, `uri` the store, `pid` the file
    system's process.
    """

    is_reference = False

    def __init__(
        self, bed, capacity=None, inodes=None, block_size=None, options=(), subdir=None, plain=True
    ):
        del plain
        self._bed = bed
        self.store = bed.new_path("store")
        self.path = bed.new_directory("mnt")
        self.log_path = bed.new_path("log")
        self.uri = f"rocks://{self.store}"
        if bed.pd:
            name = f"{os.path.basename(bed.root)}-{os.path.basename(self.store)}"
            self.uri = f"tikv://{bed.pd}/{name}"
        self.device = None
        if bed.volume:
            self._make_volume()
        self.options = list(options)
        self.pid = None
        self._process = None
        self._ever_mounted = False
        if subdir:
            self.options.append(f"subdir={subdir}")
        bed.guard("mount", self.path)
        command = ["format", self.uri]
        for flag, value in (
            ("--capacity", capacity),
            ("--inodes", inodes),
            ("--block-size", block_size),
        ):
            if value is not None:
                command += [flag, value]
        result = bed.run_tifs(*command)
        if result.returncode:
            words = " ".join(map(str, command))
            raise MountFailure(f"tifs {words}: exit {result.returncode}: {result.stdout}")

    def _make_volume(self):
        image = self.store + ".img"
        self.device = f"file:{image}"
        self.uri += f"?volume={self.device}"
        with open(image, "wb") as file:
            file.truncate(VOLUME_BYTES)
        result = self._bed.run_tifs("volume", "format", self.device)
        if result.returncode:
            raise MountFailure(f"tifs volume format {self.device}: {result.stdout}")

    def mount(self, options=None):
        """Mounts the store (again), in the foreground of a child process, and waits until it
        serves.
        """
        if options is not None:
            self.options = list(options)
        command = [self._bed.tifs, "mount", self.uri, self.path, "--foreground"]
        if self.options:
            command += ["-o", ",".join(self.options)]
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        self.pid = self._process.pid
        wait_until(
            lambda: self._is_answering() or self._process.poll() is not None, MOUNT_DEADLINE_S
        )
        if self._process.poll() is not None or not self._is_answering():
            self._kill()
            raise MountFailure(
                f"{' '.join(command)}: did not mount (exit {self._process.returncode}):\n"
                f"{tail_of(self.log_path)}"
            )
        self._ever_mounted = True

    def _is_answering(self):
        # A dead mount may still be there, which the new one must take away first.
        try:
            return mount_entry(self.path) and os.statvfs(self.path)
        except OSError:
            return False

    def unmount(self):
        """A clean unmount; the process must end well."""
        if self._process is None:
            return
        try:
            result = self._bed.run_tifs("umount", self.path, deadline_s=UNMOUNT_DEADLINE_S)
            outcome = (
                f"exit {result.returncode}: {result.stdout.strip()}" if result.returncode else None
            )
        except subprocess.TimeoutExpired:
            outcome = f"did not end within {UNMOUNT_DEADLINE_S} s"
        if outcome:
            users = {
                pid: command
                for pid, command in processes_using(self.path).items()
                if pid != os.getpid()
            }
            held = os.getpid() in processes_using(self.path)
            self._kill()
            raise MountFailure(
                f"tifs umount {self.path}: {outcome}; in use by {users or 'no other process'}"
                f"{' and the test itself' if held else ''}\n{tail_of(self.log_path)}"
            )
        try:
            code = self._process.wait(UNMOUNT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._kill()
            raise MountFailure(
                f"the mount process outlived its unmount by {UNMOUNT_DEADLINE_S} s\n"
                f"{tail_of(self.log_path)}"
            ) from None
        self._process = None
        if code:
            raise MountFailure(f"the mount process ended with {code}\n{tail_of(self.log_path)}")
        if mount_entry(self.path):
            self._kill()
            raise MountFailure(f"{self.path} is still mounted after tifs umount")

    def remount_fresh(self, options=None):
        """Unmounts and mounts again: what is read afterwards comes from the store, not from the
        kernel's caches.
        """
        self.unmount()
        self.mount(options)

    def fsck(self):
        result = self._bed.run_tifs("fsck", self.uri, "-n", deadline_s=FSCK_DEADLINE_S)
        if result.returncode:
            raise MountFailure(f"tifs fsck {self.uri} -n: {result.returncode}:\n{result.stdout}")
        if self.device is None:
            return
        result = self._bed.run_tifs("volume", "check", self.device, deadline_s=FSCK_DEADLINE_S)
        if result.returncode:
            raise MountFailure(
                f"tifs volume check {self.device}: exit {result.returncode}:\n{result.stdout}"
            )

    def close(self):
        """Unmounts, checks with fsck, deletes. Fails on whatever went wrong, but always deletes."""
        try:
            self.unmount()
            if self._ever_mounted:
                self.fsck()
        finally:
            self._kill()
            for tree in (self.store, self.path):
                shutil.rmtree(tree, ignore_errors=True)
            for file in (self.log_path, self.store + ".img"):
                with contextlib.suppress(OSError):
                    os.unlink(file)

    def is_serving(self):
        return self._process is not None and self._process.poll() is None

    def unmounted_by_others(self):
        """Takes note that the mount is gone, or its process killed, by the test's own doing."""
        self._process.wait(UNMOUNT_DEADLINE_S)
        self._process = None

    def recover(self):
        """Mounts again after the mount process died, and says how it died."""
        code = self._process.poll() if self._process else None
        print(f"the mount process had ended with {code}:\n{tail_of(self.log_path)}", flush=True)
        self._kill()
        self.mount()

    def peak_memory_bytes(self):
        """The most memory the file system's process has ever had resident, or None."""
        with contextlib.suppress(OSError):
            with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
                for line in status:
                    if line.startswith("VmHWM:"):
                        return int(line.split()[1]) * 1024
        return None

    def _kill(self):
        kill_all(set(processes_using(self.path)) - {os.getpid(), self.pid})
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
        while mount_entry(self.path):
            if subprocess.run(["umount", "-l", self.path], check=False).returncode:
                break


class Reference:
    """The same face over the machine's own file systems: a directory, or a tmpfs where a mount
    option matters.
    """

    is_reference = True
    pid = None
    uri = None

    def __init__(
        self, bed, capacity=None, inodes=None, block_size=None, options=(), subdir=None, plain=True
    ):
        del block_size
        self._bed = bed
        self.options = list(options)
        self._size = capacity
        self._inodes = inodes
        self._subdir = subdir
        self._is_tmpfs = bool(capacity or inodes or options or subdir) or not plain
        bed._count += 1
        self.path = os.path.join(
            bed.root if self._is_tmpfs else bed.reference_root, f"mnt{bed._count}"
        )
        os.mkdir(self.path)
        self._whole = None
        if self._is_tmpfs:
            self._whole = bed.new_directory("tmpfs")
            bed.guard("mount", self._whole)
            bed.guard("mount", self.path)
            limits = [f"size={self._size.replace('MiB', 'm')}"] if self._size else []
            limits += [f"nr_inodes={self._inodes + 1}"] if self._inodes else []
            flags = ",".join(["nosuid", "nodev", *limits])
            command = ["mount", "-t", "tmpfs", "-o", flags, "tifs-test", self._whole]
            subprocess.run(command, check=True)

    def mount(self, options=None):
        if options is not None:
            self.options = list(options)
            self._subdir = next((o[7:] for o in options if o.startswith("subdir=")), None)
        if self._is_tmpfs and not mount_entry(self.path):
            kept = [option for option in self.options if not option.startswith("subdir=")]
            shown = self._whole + (self._subdir or "")
            if not os.path.isdir(shown):
                raise MountFailure(f"{shown}: no such directory")
            flags = ["nosuid", "nodev", *kept]
            subprocess.run(["mount", "--bind", shown, self.path], check=True)
            subprocess.run(
                ["mount", "-o", ",".join(["remount", "bind", *flags]), self.path], check=True
            )

    def unmount(self):
        if self._is_tmpfs and mount_entry(self.path):
            subprocess.run(["umount", self.path], check=True)

    def remount_fresh(self, options=None):
        self.unmount()
        self.mount(options)

    def fsck(self):
        pass

    def is_serving(self):
        return True

    def peak_memory_bytes(self):
        return None

    def close(self):
        for path in filter(None, (self.path, self._whole)):
            if mount_entry(path):
                subprocess.run(["umount", "-l", path], check=False)
            shutil.rmtree(path, ignore_errors=True)
