"""The TiKV cluster that mounts of a test use: our test store in a process of its own, PD and a store
by others (tools/peer), or one that is there already.
"""

import os
import re
import subprocess

STOP_DEADLINE_S = 30
# So many file systems get a region for each scope of their keys.
SPLIT_FILE_SYSTEMS = 16


class TikvCluster:
    """`pd`: the addresses to put into a tikv:// URI."""

    def __init__(self, program_or_pd, directory):
        """`directory`: for what the cluster keeps on disk."""
        self._process = None
        if "/" not in program_or_pd:
            self.pd = program_or_pd
            return
        # It ends when the pipe to it is closed, so with this process, however that ends; and not
        # before, by a signal to the test's group: the mounts need it to be unmounted.
        arguments = ["--split", str(SPLIT_FILE_SYSTEMS)]
        if os.path.basename(program_or_pd) == "peer":
            arguments = ["--dir", os.path.join(directory, "peers"), "run"]
        self._process = subprocess.Popen(
            [program_or_pd, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        line = self._process.stdout.readline().decode()
        started = re.match(r"ready (\S+)|PD is at (\S+),", line)
        if not started:
            raise RuntimeError(f"{program_or_pd} did not start: {line!r}")
        self.pd = started[1] or started[2]

    def stop(self):
        if self._process:
            self._process.stdin.close()
            self._process.wait(STOP_DEADLINE_S)
