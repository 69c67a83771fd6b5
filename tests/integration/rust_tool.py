"""Test programs that are Rust crates: installed once, at a pinned version, outside the checkout."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile

from mount_fixture import MountFailure, Skipped

INSTALL_DEADLINE_S = 1200


def cache_root():
    """${TIFS_CACHE:-$HOME/.cache/tifs}, or None where it cannot be written."""
    root = os.environ.get("TIFS_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "tifs")
    try:
        os.makedirs(root, exist_ok=True)
    except OSError:
        return None
    return root if os.access(root, os.W_OK) else None


def find_cargo(oldest=(0, 0)):
    """The path of a cargo that is at least `oldest`; Skipped names the version otherwise."""
    wanted = ".".join(map(str, oldest))
    seen = []
    places = os.environ.get("PATH", "").split(os.pathsep)
    places += ["/usr/bin", os.path.expanduser("~/.cargo/bin"), "/root/.cargo/bin"]
    for place in dict.fromkeys(places):
        cargo = os.path.join(place, "cargo")
        if not os.access(cargo, os.X_OK):
            continue
        result = subprocess.run(
            [cargo, "--version"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        version = re.match(r"cargo (\d+)\.(\d+)", result.stdout)
        if version and tuple(map(int, version.groups())) >= oldest:
            return cargo
        seen.append(f"{cargo} is {version.group(0) if version else 'broken'}")
    raise Skipped(
        f"needs cargo {wanted} or newer (Debian's package cargo-web, or rustup); "
        f"{'; '.join(seen) or 'there is none'}"
    )


def install_crate(crate, version, oldest_cargo, scratch):
    """The path of the crate's program: from the cache, else built, into `scratch` where there is no
    cache.
    """
    root = cache_root()
    target = os.path.join(root or scratch, "crates", f"{crate}-{version}")
    program = os.path.join(target, "bin", crate)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    # Two tests may start at once; one of them builds.
    with open(target + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.access(program, os.X_OK):
            return program
        cargo = find_cargo(oldest_cargo)
        build = tempfile.mkdtemp(prefix="cargo-", dir=scratch)
        environment = dict(os.environ, CARGO_TARGET_DIR=build)
        # cargo finds rustc on PATH.
        environment["PATH"] = os.path.dirname(cargo) + os.pathsep + environment.get("PATH", "")
        command = [cargo, "install", crate, "--version", version, "--locked", "--root", target]
        print(f"building {crate} {version} once, into {target}", flush=True)
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            timeout=INSTALL_DEADLINE_S,
            check=False,
        )
        shutil.rmtree(build, ignore_errors=True)
        if result.returncode or not os.access(program, os.X_OK):
            tail = "\n".join(result.stdout.splitlines()[-30:])
            raise MountFailure(f"{' '.join(command)}: exit {result.returncode}:\n{tail}")
    return program
