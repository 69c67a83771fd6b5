"""SQLite by several processes, in each of its journal modes."""

import contextlib
import multiprocessing
import os
import signal
import time

try:
    import sqlite3
except ImportError:
    sqlite3 = None

from program_cases.case import CaseSkipped, require, require_equal

PROCESSES = 4


def connect(path, mode):
    database = sqlite3.connect(path, timeout=120, isolation_level=None)
    require_equal(database.execute(f"PRAGMA journal_mode={mode}").fetchone()[0], mode, "mode")
    database.execute("PRAGMA synchronous=FULL")
    return database


def count_up(path, mode, process, rounds, problems):
    try:
        with contextlib.closing(connect(path, mode)) as database:
            for number in range(rounds):
                database.execute("BEGIN IMMEDIATE")
                value = database.execute("SELECT value FROM counter").fetchone()[0]
                database.execute("UPDATE counter SET value = ?", (value + 1,))
                row = (process, number, os.urandom(200 + number))
                database.execute("INSERT INTO log VALUES (?, ?, ?)", row)
                database.execute("COMMIT")
    except BaseException as error:  # pylint: disable=broad-except
        problems.put(f"process {process}: {error!r}")


def require_intact(database):
    require_equal(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity")


def counter_of_four_processes(place, mode):
    path = place.on_mount(f"counter-{mode}.db")
    rounds = 400 if place.long else 60
    with contextlib.closing(connect(path, mode)) as database:
        database.execute("CREATE TABLE counter (value INTEGER)")
        database.execute("INSERT INTO counter VALUES (0)")
        database.execute("CREATE TABLE log (process, number, content, UNIQUE (process, number))")
    context = multiprocessing.get_context("fork")
    problems = context.Queue()
    processes = [
        context.Process(target=count_up, args=(path, mode, process, rounds, problems))
        for process in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
        require(not process.is_alive(), "a process hangs")
        require_equal(process.exitcode, 0, "exit of a process")
    require(problems.empty(), "a process failed" if problems.empty() else problems.get())
    with contextlib.closing(connect(path, mode)) as database:
        require_intact(database)
        value = database.execute("SELECT value FROM counter").fetchone()[0]
        require_equal(value, PROCESSES * rounds, "the counter")
        count = database.execute("SELECT count(*) FROM log").fetchone()[0]
        require_equal(count, PROCESSES * rounds, "the rows")


def bulk_and_rollback(place, mode):
    path = place.on_mount(f"bulk-{mode}.db")
    with contextlib.closing(connect(path, mode)) as database:
        database.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)")
        database.execute("BEGIN")
        rows = ((key, f"value {key * 7919 % 20011}" * 5) for key in range(20000))
        database.executemany("INSERT INTO t VALUES (?, ?)", rows)
        database.execute("COMMIT")
        database.execute("CREATE INDEX by_value ON t (v)")
        database.execute("BEGIN")
        database.execute("DELETE FROM t WHERE k % 2")
        database.execute("ROLLBACK")
        database.execute("DELETE FROM t WHERE k % 3 = 0")
        database.execute("VACUUM")
        database.execute("PRAGMA mmap_size=268435456")
        require_intact(database)
        require_equal(
            database.execute("SELECT count(*), sum(k) FROM t").fetchone(),
            (13333, sum(k for k in range(20000) if k % 3)),
            "what is left",
        )


def killed_writer(place, mode):
    """What a killed process had not committed must be gone, and all that it had must be there."""
    path = place.on_mount(f"killed-{mode}.db")
    with contextlib.closing(connect(path, mode)) as database:
        database.execute("CREATE TABLE t (n INTEGER)")
    for _ in range(3):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                database = connect(path, mode)
                for number in range(1_000_000):
                    database.execute("BEGIN IMMEDIATE")
                    database.execute("INSERT INTO t VALUES (?)", (number,))
                    database.execute("COMMIT")
                    os.write(write_end, b"c")
            os._exit(1)
        os.close(write_end)
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with os.fdopen(read_end, "rb") as pipe:
            committed = len(pipe.read())
        with contextlib.closing(connect(path, mode)) as database:
            require_intact(database)
            found = database.execute("SELECT count(*) FROM t").fetchone()[0]
            require(found in (committed, committed + 1), f"{found} rows of {committed} committed")
            database.execute("DELETE FROM t")


def in_mode(function, mode):
    def case(place):
        if sqlite3 is None:
            raise CaseSkipped("this python3 has no module sqlite3")
        function(place, mode)

    case.__name__ = f"sqlite_{function.__name__}_{mode}"
    return case


CASES = [
    in_mode(function, mode)
    for mode in ("delete", "wal", "truncate", "persist")
    for function in (counter_of_four_processes, bulk_and_rollback, killed_writer)
    if mode in ("delete", "wal") or function is counter_of_four_processes
]
