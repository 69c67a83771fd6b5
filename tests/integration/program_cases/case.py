"""What the cases of mount.programs share."""

import os
import shutil
import subprocess


class CaseSkipped(Exception):
    """The machine lacks the program; the text says which package has it."""


class CaseFailed(Exception):
    """The program, or what it left, is not as it should be."""


def require(condition, what):
    if not condition:
        raise CaseFailed(what)


def require_equal(actual, expected, what):
    if actual != expected:
        raise CaseFailed(f"{what}: {actual!r}, should be {expected!r}")


class Place:
    """Where a case works: `here` on the mount, `outside` on the machine's own disk."""

    def __init__(self, here, outside, long):
        self.here = here
        self.outside = outside
        self.long = long
        home = os.path.join(outside, "home")
        os.mkdir(home)
        kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        for name in ("RUSTUP_HOME", "CARGO_HOME", "CCACHE_DIR"):
            if name in os.environ:
                kept[name] = os.environ[name]
        # Nobody's settings, so that every machine runs the same.
        self.environment = {**kept, "HOME": home, "TMPDIR": here, "USER": "root"}

    def on_mount(self, name):
        return os.path.join(self.here, name)

    def off_mount(self, name):
        return os.path.join(self.outside, name)

    def need(self, program, package=None):
        found = shutil.which(program)
        if not found:
            raise CaseSkipped(f"no program {program} (Debian package {package or program})")
        return found

    def run(self, *command, cwd=None, deadline_s=600, check=True, **environment):
        """Its output, both streams; a failure raises with it."""
        result = subprocess.run(
            [os.fspath(word) for word in command],
            cwd=cwd or self.here,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=deadline_s,
            check=False,
        )
        if check and result.returncode:
            tail = "\n".join(result.stdout.splitlines()[-40:])
            raise CaseFailed(f"{' '.join(map(str, command))}: exit {result.returncode}:\n{tail}")
        return result.stdout
