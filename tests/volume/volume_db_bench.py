"""Debian's own db_bench, ldb and sst_dump on a volume, by the preloaded object.

Exits with 77 where they are not installed (package rocksdb-tools).
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DISK_BYTES = 256 << 20
TIMEOUT_S = 120


class PreloadTest(unittest.TestCase):
    library = None
    format_volume = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tifs-db-bench-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.base = os.path.join(self.folder, "base")
        os.mkdir(self.base)
        self.disk = os.path.join(self.folder, "disk")
        subprocess.run([self.format_volume, self.disk, str(DISK_BYTES)], check=True)
        self.uri = f"tifs-volume://file:{self.disk}?root=kv&base={self.base}"

    def start(self, *command, preload=True):
        # The object needs nothing of the machine's but what RocksDB's tools have.
        environment = {**os.environ, **({"LD_PRELOAD": self.library} if preload else {})}
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace")

    def run_tool(self, *command, exit_status=0, preload=True):
        process = self.start(*command, preload=preload)
        output = process.communicate(timeout=TIMEOUT_S)[0]
        self.assertEqual(process.returncode, exit_status, f"{command}:\n{output}")
        return output

    def bench(self, works, *more, **options):
        return self.run_tool("db_bench", f"--fs_uri={self.uri}", "--db=/bench", f"--benchmarks={works}",
                             "--num=20000", "--value_size=400", "--write_buffer_size=1048576", *more, **options)

    def on_base(self):
        return sorted(os.listdir(os.path.join(self.base, "bench")))

    def test_db_bench_fills_and_reads(self):
        works = ["fillseq", "overwrite", "compact", "readrandom", "multireadrandom", "seekrandom",
                 "readwhilewriting"]
        output = self.bench(",".join(works), "--multiread_batched", "--reads=5000")
        for work in works:
            self.assertRegex(output, rf"(?m)^{work} *:.*micros/op", output)
        self.bench("fillsync", "--num=200")
        self.assertFalse([name for name in self.on_base() if re.search(r"\.sst$|^MANIFEST", name)])
        self.assertIn("CURRENT", self.on_base())

    def test_db_bench_reads_directly(self):
        self.bench("fillrandom,compact", "--use_direct_io_for_flush_and_compaction")
        found = self.bench("readrandom", "--use_existing_db", "--use_direct_reads", "--seed=1", "--reads=2000")
        counts = re.search(r"\((\d+) of (\d+) found\)", found)
        self.assertGreater(int(counts.group(1)), 1000)

    def test_ldb_and_sst_dump_look_into_it(self):
        self.bench("fillseq,compact")
        place = [f"--fs_uri={self.uri}", "--db=/bench"]
        scanned = self.run_tool("ldb", *place, "scan", "--max_keys=3", "--hex")
        self.assertEqual(len(re.findall(r"(?m)^0x0+.* : 0x", scanned)), 3, scanned)
        self.run_tool("ldb", *place, "checkconsistency")
        self.assertIn("next_file_number", self.run_tool("ldb", *place, "manifest_dump"))
        self.run_tool("ldb", *place, "put", "a", "b")
        self.assertIn("b", self.run_tool("ldb", *place, "get", "a"))
        dumped = self.run_tool("sst_dump", f"--fs_uri={self.uri}", "--file=/bench", "--command=verify")
        self.assertIn("The file is ok", dumped)

    def test_without_the_volume_the_database_does_not_open(self):
        self.bench("fillseq")
        before = self.on_base()
        output = self.run_tool("ldb", f"--db={self.base}/bench", "scan", exit_status=1, preload=False)
        self.assertIn("MANIFEST", output)
        self.assertEqual([name for name in before if name.endswith(".log")],
                         [name for name in self.on_base() if name.endswith(".log")])

    def test_a_second_process_is_told_who_has_the_volume(self):
        first = self.start("db_bench", f"--fs_uri={self.uri}", "--db=/bench", "--benchmarks=fillseq,readrandom",
                           "--num=100000000", "--duration=60")
        try:
            deadline = time.monotonic() + 30
            while not os.path.exists(os.path.join(self.base, "bench", "CURRENT")):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)
            output = self.run_tool("ldb", f"--fs_uri={self.uri}", "--db=/other", "scan", exit_status=1)
            self.assertIn(f"in use by db_bench (pid {first.pid})", output)
        finally:
            first.send_signal(signal.SIGKILL)
            first.communicate()
        # Death frees it, and what was synced is there.
        self.run_tool("ldb", f"--fs_uri={self.uri}", "--db=/bench", "checkconsistency")

    def test_a_wrong_uri_is_an_error(self):
        for uri, why in ((self.uri.replace("root=kv", "root=a/b"), "a root's name"),
                         (self.uri.replace("root=", "rot="), "unknown parameter"),
                         (self.uri.replace("disk?", "missing?"), "No such file")):
            output = self.run_tool("ldb", f"--fs_uri={uri}", "--db=/bench", "scan", exit_status=1)
            self.assertIn(why, output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--format-volume", required=True)
    arguments, rest = parser.parse_known_args()
    missing = [tool for tool in ("db_bench", "ldb", "sst_dump") if not shutil.which(tool)]
    if missing:
        print(f"SKIPPED: no {', '.join(missing)}: install rocksdb-tools")
        sys.exit(77)
    PreloadTest.library = arguments.library
    PreloadTest.format_volume = arguments.format_volume
    unittest.main(argv=["volume_db_bench", *rest], verbosity=2)
