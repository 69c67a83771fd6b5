"""Compilers and package managers at work on the mount."""

import json
import os
import re
import shutil

from mount_fixture import Skipped
from program_cases.case import CaseSkipped, require, require_equal
from rust_tool import find_cargo

CARGO_FILES = {
    "Cargo.toml": '[package]\nname = "tree"\nversion = "0.1.0"\nedition = "2021"\n',
    "src/lib.rs": """//! A few functions to compile.
pub mod sums;

/// The sum of the squares below `n`.
pub fn squares(n: u64) -> u64 {
    sums::over(n, |x| x * x)
}

#[cfg(test)]
mod tests {
    #[test]
    fn squares_below_ten() {
        assert_eq!(super::squares(10), 285);
    }

    #[test]
    fn writes_files() {
        let path = std::env::temp_dir().join("cargo-test-file");
        std::fs::write(&path, vec![7u8; 100_000]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 100_000);
        std::fs::remove_file(&path).unwrap();
    }
}
""",
    "src/sums.rs": """pub fn over(n: u64, f: impl Fn(u64) -> u64) -> u64 {
    (0..n).map(f).sum()
}
""",
    "src/main.rs": 'fn main() {\n    println!("{}", tree::squares(100));\n}\n',
}

PACKAGE_FILES = {
    "greeting/package.json": json.dumps(
        {"name": "greeting", "version": "1.2.3", "main": "index.js", "bin": {"greet": "greet.js"}}
    ),
    "greeting/index.js": "module.exports = (who) => `hello ${who}`;\n",
    "greeting/greet.js": "#!/usr/bin/env node\nconsole.log(require('./index.js')('from bin'));\n",
    "app/package.json": json.dumps({"name": "app", "version": "1.0.0", "private": True}),
    "app/run.js": "console.log(require('greeting')('world'));\n",
}


# The tests of base and of kv with its stores; on the mount they keep their stores there, too.
PROJECT_TEST = re.compile(r"^(tifs_base|tifs_kv|tifs_kv_rocks|kv_conformance)_test: CXX_EXEC")


CHECKOUT_REST = re.compile(r"^(\.git|build.*|tifs-data|mnt)$")


def write_files(root, files):
    for name, content in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)


def cargo_build(place):
    """A crate without dependencies: build, run, test, nothing to do again, rebuild on change."""
    try:
        cargo = find_cargo((1, 56))
    except Skipped as reason:
        raise CaseSkipped(str(reason)) from None
    crate = place.on_mount("crate")
    write_files(crate, CARGO_FILES)
    # cargo finds rustc by PATH; rustup's shims find their toolchain by HOME.
    path = os.path.dirname(cargo) + os.pathsep + place.environment["PATH"]
    home = {
        "PATH": path,
        "CARGO_HOME": place.on_mount("cargo-home"),
        "HOME": os.path.expanduser("~"),
    }

    def run_cargo(*arguments):
        return place.run(cargo, *arguments, "--offline", cwd=crate, **home)

    run_cargo("build")
    require_equal(place.run(os.path.join(crate, "target/debug/tree")), "328350\n", "the program")
    said = run_cargo("test")
    require(said.count("test result: ok") >= 2, said)
    require("Fresh tree" in run_cargo("build", "-v"), "an unchanged crate is built again")
    with open(os.path.join(crate, "src/sums.rs"), "a", encoding="utf-8") as file:
        file.write("// changed\n")
    require("Compiling tree" in run_cargo("build"), "a changed crate is not built again")


def npm_install(place):
    """A package packed and installed on the mount, offline; required, and run from .bin."""
    place.need("npm")
    write_files(place.here, PACKAGE_FILES)
    app = place.on_mount("app")
    settings = {
        "npm_config_cache": place.on_mount("npm-cache"),
        "npm_config_update_notifier": "false",
    }
    flags = ["--offline", "--no-audit", "--no-fund"]
    place.run("npm", "pack", "--silent", cwd=place.on_mount("greeting"), **settings)
    package = place.on_mount("greeting/greeting-1.2.3.tgz")
    place.run("npm", "install", *flags, package, cwd=app, **settings)
    require_equal(place.run("node", "run.js", cwd=app), "hello world\n", "the package")
    binary = os.path.join(app, "node_modules/.bin/greet")
    require(os.path.islink(binary), "node_modules/.bin/greet is no link")
    require_equal(place.run(binary, cwd=app), "hello from bin\n", "its program")
    place.run("npm", "ci", *flags, cwd=app, **settings)
    require_equal(place.run("node", "run.js", cwd=app), "hello world\n", "after npm ci")
    require("greeting@1.2.3" in place.run("npm", "ls", cwd=app, **settings), "npm ls")


def project_build(place, source):
    """Part of this project, configured, built and tested on the mount, from a copy on the mount."""
    if not source:
        raise CaseSkipped("no --project SOURCE given")
    for program, package in (("cmake", None), ("ninja", "ninja-build"), ("g++", None)):
        place.need(program, package)
    copy, build = place.on_mount("source"), place.on_mount("build")

    def skipped(directory, names):
        # What a checkout collects beside its sources; ./mnt may even be a mount.
        at_top = os.path.samefile(directory, source)
        return [name for name in names if at_top and CHECKOUT_REST.match(name)]

    shutil.copytree(source, copy, symlinks=True, ignore=skipped)
    # The compiler's cache, if any, sees paths below the copy as relative, so later runs hit it.
    settings = {
        "CCACHE_BASEDIR": place.here,
        "CCACHE_NOHASHDIR": "1",
        "HOME": os.path.expanduser("~"),
    }
    if place.long:
        settings["CCACHE_DISABLE"] = "1"
    place.run("cmake", "-S", copy, "-B", build, "-G", "Ninja", "-DTIFS_BUILD_BENCH=OFF", **settings)
    targets = place.run("ninja", "-C", build, "-t", "targets", "all", **settings)
    tests = sorted(
        {line.split(":")[0] for line in targets.splitlines() if PROJECT_TEST.match(line)}
    )
    require("tifs_base_test" in tests, f"no test of base among {tests}")
    place.run("ninja", "-C", build, *tests, deadline_s=1800, **settings)
    said = place.run("ninja", "-C", build, *tests, **settings)
    require("no work to do" in said, f"building again at once: {said}")
    for test in tests:
        said = place.run(
            "ctest", "--test-dir", build, "-R", f"^{test}$", "--output-on-failure", **settings
        )
        require("100% tests passed" in said, said)


def project_case(source):
    def case(place):
        project_build(place, source)

    case.__name__ = "project_build"
    return case


CASES = [cargo_build, npm_install]
