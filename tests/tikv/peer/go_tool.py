"""Test programs in Go: built once from modules in this repository, into a cache outside the checkout.

A Go that is new enough is used where there is one. Where there is only an older one, as Debian 12's, it fetches the
newer one as the Go project publishes it, as a module whose checksum is pinned here.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(REPOSITORY, "tests", "integration"))

from mount_fixture import MountFailure, Skipped  # noqa: E402
from rust_tool import cache_root  # noqa: E402

# What the modules' go.mod files use.
OLDEST_GO = (1, 24)
# The oldest that can fetch modules as large as a toolchain.
OLDEST_FETCHING_GO = (1, 18)
TOOLCHAIN = "go1.26.8"
TOOLCHAIN_SUMS = {"amd64": "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM="}
BUILD_DEADLINE_S = 1500


class Failure(MountFailure):
    """A program did not build, start or answer."""


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace",
                          check=False, **options)


def go_places():
    """Each go on this machine, with its version as (major, minor)."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    folders += ["/usr/local/go/bin", "/usr/lib/go/bin", os.path.expanduser("~/go/bin")]
    for folder in dict.fromkeys(folders):
        go = os.path.join(folder, "go")
        if not os.access(go, os.X_OK):
            continue
        # Its own version, not that of a toolchain that it would fetch.
        environment = dict(os.environ, GOTOOLCHAIN="local")
        output = run([go, "version"], stderr=subprocess.DEVNULL, env=environment).stdout
        version = re.match(r"go version go(\d+)\.(\d+)", output)
        if version:
            yield go, tuple(map(int, version.groups()))


def fetched_go(old_go, folder):
    """The toolchain's go, fetched by an older one into `folder`."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    target = os.path.join(folder, TOOLCHAIN)
    go = os.path.join(target, "bin", "go")
    if os.access(go, os.X_OK):
        return go
    module = f"golang.org/toolchain@v0.0.1-{TOOLCHAIN}.linux-{machine}"
    print(f"fetching {TOOLCHAIN} once, into {target}", flush=True)
    with tempfile.TemporaryDirectory(prefix="go-", dir=folder) as scratch:
        environment = dict(os.environ, GOFLAGS="-modcacherw", GOMODCACHE=os.path.join(scratch, "modules"))
        result = run([old_go, "mod", "download", "-json", module], cwd=scratch, env=environment,
                     stderr=subprocess.STDOUT, timeout=BUILD_DEADLINE_S)
        try:
            answer = json.loads(result.stdout)
            tree, found = answer["Dir"], answer["Sum"]
        except (ValueError, KeyError):
            raise Failure(f"{old_go} mod download {module}: exit {result.returncode}:\n{result.stdout}") from None
        expected = TOOLCHAIN_SUMS.get(machine)
        if expected and found != expected:
            raise Failure(f"{module} is {found}, not {expected}")
        # Modules hold no other modules, and no programs.
        for path in ("src", "src/cmd"):
            os.rename(os.path.join(tree, path, "_go.mod"), os.path.join(tree, path, "go.mod"))
        for path in ("bin", f"pkg/tool/linux_{machine}"):
            for name in os.listdir(os.path.join(tree, path)):
                os.chmod(os.path.join(tree, path, name), 0o755)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(tree, target)
    return go


def find_go(scratch):
    """A go of at least OLDEST_GO; Skipped names the version otherwise."""
    places = list(go_places())
    for go, version in places:
        if version >= OLDEST_GO:
            return go
    for go, version in places:
        if version >= OLDEST_FETCHING_GO:
            return fetched_go(go, cache_root() or scratch)
    seen = "; ".join(f"{go} is {version[0]}.{version[1]}" for go, version in places) or "there is none"
    raise Skipped(f"needs Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer (or Debian's package golang-go, which fetches "
                  f"it); {seen}")


class GoProgram:
    """A program of a module of ours: the package's path, and how it is built."""

    def __init__(self, name, module, package, flags=()):
        self.name = name
        self.module = module
        self.package = package
        self.flags = list(flags)

    def key(self):
        """Changes with whatever the program is made of."""
        digest = hashlib.sha256(repr((self.package, self.flags, platform.machine())).encode())
        for folder, folders, names in os.walk(self.module):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".go", ".mod", ".sum")):
                    path = os.path.join(folder, name)
                    with open(path, "rb") as source:
                        digest.update(os.path.relpath(path, self.module).encode() + b"\0" + source.read() + b"\0")
        return digest.hexdigest()[:16]

    def build(self, scratch):
        """The program's path: from the cache, else built, into `scratch` where there is no cache."""
        folder = os.path.join(cache_root() or scratch, "go", f"{self.name}-{self.key()}")
        program = os.path.join(folder, self.name)
        os.makedirs(folder, exist_ok=True)
        # Two tests may start at once; one of them builds.
        with open(os.path.join(folder, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.access(program, os.X_OK):
                return program
            go = find_go(scratch)
            print(f"building {self.name} once, into {folder}", flush=True)
            unfinished = program + ".unfinished"
            command = [go, "build", "-trimpath", "-buildvcs=false", *self.flags, "-o", unfinished, self.package]
            environment = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly", GOWORK="off", CGO_ENABLED="0")
            environment.pop("GOROOT", None)
            result = run(command, cwd=self.module, env=environment, stderr=subprocess.STDOUT,
                         timeout=BUILD_DEADLINE_S)
            if result.returncode or not os.path.exists(unfinished):
                tail = "\n".join(result.stdout.splitlines()[-30:])
                raise Failure(f"{' '.join(command)}: exit {result.returncode}:\n{tail}")
            os.rename(unfinished, program)
        return program
