"""The TiKV cluster that mounts of a test use: our test store in a process of its own, or one that
is there already.
"""

import subprocess

STOP_DEADLINE_S = 30
# So many file systems get a region for each scope of their keys.
SPLIT_FILE_SYSTEMS = 16


class TikvCluster:
    """`pd`: the addresses to put into a tikv:// URI."""

    def __init__(self, program_or_pd):
        self._process = None
        if "/" not in program_or_pd:
            self.pd = program_or_pd
            return
        # It ends when the pipe to it is closed, so with this process, however that ends; and not
        # before, by a signal to the test's group: the mounts need it to be unmounted.
        self._process = subprocess.Popen(
            [program_or_pd, "--split", str(SPLIT_FILE_SYSTEMS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        line = self._process.stdout.readline().decode()
        if not line.startswith("ready "):
            raise RuntimeError(f"{program_or_pd} did not start: {line!r}")
        self.pd = line.split()[1]

    def stop(self):
        if self._process:
            self._process.stdin.close()
            self._process.wait(STOP_DEADLINE_S)
