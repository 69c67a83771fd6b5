#!/usr/bin/env python3
"""Compiles rocksfs and the RocksDB plugin, without run-time type information, against the headers of
a newer RocksDB: those of a source tree, or of the Rust crate librocksdb-sys, fetched by cargo.

    plugin_headers.py [--rocksdb DIR] [--crate-version 0.17] [--compiler c++]

Syntax only: nothing is linked. Exit status 77: there is no cargo, or it could not fetch.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

TREE = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
MANIFEST = """[package]
name = "headers"
version = "0.0.0"
edition = "2021"
[dependencies]
librocksdb-sys = {{ version = "{version}", default-features = false }}
"""


def crate_tree(version):
    """The RocksDB that the crate brings, or nothing."""
    if shutil.which("cargo") is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        package = pathlib.Path(directory)
        (package / "src").mkdir()
        (package / "src/lib.rs").touch()
        (package / "Cargo.toml").write_text(MANIFEST.format(version=version))
        fetched = subprocess.run(["cargo", "metadata", "--format-version=1"], cwd=package,
                                 capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        print(fetched.stderr, file=sys.stderr)
        return None
    for found in json.loads(fetched.stdout)["packages"]:
        if found["name"] == "librocksdb-sys":
            print(f"librocksdb-sys {found['version']}")
            return pathlib.Path(found["manifest_path"]).parent / "rocksdb"
    return None


def sources():
    for path in sorted((TREE / "src/rocksfs").glob("*.cc")):
        if not path.stem.endswith(("_test", "_fuzz", "_main")):
            yield path
    yield from sorted((TREE / "packaging/rocksdb-plugin/tifs").glob("*.cc"))


def compile_one(compiler, rocksdb, path):
    command = [compiler, "-std=c++23", "-fno-rtti", "-fsyntax-only", "-Wall", "-Werror",
               "-Wno-maybe-uninitialized", "-D_FILE_OFFSET_BITS=64", "-DSPDLOG_COMPILED_LIB",
               "-DSPDLOG_FMT_EXTERNAL", f"-isystem{rocksdb / 'include'}", f"-I{TREE / 'src'}",
               str(path)]
    good = subprocess.run(command, check=False).returncode == 0
    print(f"{'ok  ' if good else 'FAIL'} {path.relative_to(TREE)}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rocksdb", type=pathlib.Path, help="a source tree of RocksDB")
    parser.add_argument("--crate-version", default="0.17")
    parser.add_argument("--compiler", default="c++")
    options = parser.parse_args()
    rocksdb = options.rocksdb or crate_tree(options.crate_version)
    if rocksdb is None or not (rocksdb / "include/rocksdb/file_system.h").exists():
        print("SKIPPED: no headers of a newer RocksDB")
        return SKIPPED
    # All of them, so that one run shows all that differs.
    results = [compile_one(options.compiler, rocksdb, path) for path in sources()]
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
