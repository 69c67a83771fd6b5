"""Listing a directory while it changes."""

import errno
import os
import random
import stat
import threading

from posix_case import DirectoryStream, PosixCase, names_in


def make_files(directory, names):
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
    finally:
        os.close(fd)


def some_names(count, seed, prefix):
    """Names of mixed lengths, in no order."""
    rng = random.Random(seed)
    names = [f"{prefix}{i:05}{'x' * rng.choice((0, 3, 40, 200))}".encode() for i in range(count)]
    rng.shuffle(names)
    return names


class Churn:
    """Creates, removes and renames entries of its own in a directory."""

    def __init__(self, directory, seed):
        self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._rng = random.Random(seed)
        self._live = []
        self._count = 0

    def step(self):
        choice = self._rng.random()
        if choice < 0.45 or len(self._live) < 20:
            self._count += 1
            name = f"churn{self._rng.randrange(1 << 40):x}-{self._count}"
            os.close(os.open(name, os.O_CREAT | os.O_EXCL, 0o644, dir_fd=self._fd))
            self._live.append(name)
            return
        at = self._rng.randrange(len(self._live))
        self._live[at], self._live[-1] = self._live[-1], self._live[at]
        name = self._live.pop()
        if choice < 0.75:
            os.unlink(name, dir_fd=self._fd)
        else:
            self._count += 1
            renamed = f"moved{self._rng.randrange(1 << 40):x}-{self._count}"
            os.rename(name, renamed, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            self._live.append(renamed)

    def close(self):
        os.close(self._fd)


class ReaddirTest(PosixCase):
    def assert_each_once(self, listed, expected):
        counts = {}
        for name in listed:
            counts[name] = counts.get(name, 0) + 1
        missing = [name for name in expected if name not in counts]
        twice = [name for name in expected if counts.get(name, 0) > 1]
        self.assertFalse(missing, f"{len(missing)} missing, as {missing[:3]}")
        self.assertFalse(twice, f"{len(twice)} seen twice, as {twice[:3]}")

    def test_entries_present_throughout_appear_once_while_others_come_and_go(self):
        for seed, buffer_bytes in ((1, 600), (2, 4096), (3, 32768)):
            with self.subTest(seed=seed, buffer_bytes=buffer_bytes):
                directory = self.path(f"d{seed}")
                os.mkdir(directory)
                churn = Churn(directory, seed)
                names = some_names(2500, seed, "stay")
                for at in range(0, len(names), 100):
                    make_files(directory, names[at : at + 100])
                    for _ in range(20):
                        churn.step()
                listed = []
                with DirectoryStream(directory, buffer_bytes) as stream:
                    for batch in stream.batches():
                        listed += [entry[0] for entry in batch]
                        for _ in range(30):
                            churn.step()
                churn.close()
                self.assert_each_once(listed, names)

    def test_listings_stay_right_beside_a_thread_that_changes_the_directory(self):
        names = some_names(1500, 7, "stay")
        make_files(self.dir, names)
        stop = threading.Event()

        def change():
            churn = Churn(self.dir, 8)
            while not stop.is_set():
                churn.step()
            churn.close()

        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(15):
                self.assert_each_once(names_in(self.dir, 2048), names)
        finally:
            stop.set()
            thread.join()

    def test_seekdir_returns_to_every_position(self):
        make_files(self.dir, some_names(700, 3, "n"))
        with DirectoryStream(self.dir, 512) as stream:
            entries = stream.rest()
            self.assertEqual(len(entries), 702)
            for at in random.Random(4).sample(range(len(entries)), 60):
                stream.seek(entries[at][3])
                rest = [entry[0] for entry in stream.rest()]
                self.assertEqual(rest, [entry[0] for entry in entries[at + 1 :]])

    def test_a_position_holds_while_the_directory_changes(self):
        names = some_names(1200, 5, "n")
        make_files(self.dir, names)
        with DirectoryStream(self.dir, 700) as stream:
            seen = []
            while len(seen) < 600:
                batch = stream.next_batch()
                seen += [entry[0] for entry in batch]
                position = batch[-1][3]
            for name in seen[::2]:
                if name not in (b".", b".."):
                    os.unlink(os.path.join(os.fsencode(self.dir), name))
            make_files(self.dir, some_names(300, 6, "late"))
            stream.seek(position)
            rest = [entry[0] for entry in stream.rest()]
        self.assert_each_once(rest, set(names) - set(seen))
        self.assertFalse(set(rest) & set(seen), "entries before the position came again")

    def test_rewinddir_sees_what_was_made_since(self):
        make_files(self.dir, [b"first"])
        with DirectoryStream(self.dir) as stream:
            stream.rest()
            make_files(self.dir, [b"second"])
            os.unlink(self.path("first"))
            stream.seek(0)
            self.assertEqual(sorted(entry[0] for entry in stream.rest()), [b".", b"..", b"second"])

    def test_removing_each_entry_as_it_is_listed_leaves_none(self):
        make_files(self.dir, some_names(3000, 9, "n"))
        parent = os.fsencode(self.dir)
        with DirectoryStream(self.dir, 1000) as stream:
            for batch in stream.batches():
                for name, *_ in batch:
                    if name not in (b".", b".."):
                        os.unlink(os.path.join(parent, name))
        self.assertEqual(names_in(self.dir), [])
        os.rmdir(self.dir)

    def test_two_streams_do_not_disturb_each_other(self):
        names = some_names(400, 10, "n")
        make_files(self.dir, names)
        with DirectoryStream(self.dir, 600) as one, DirectoryStream(self.dir, 900) as two:
            listed = ([], [])
            running = [(one, listed[0]), (two, listed[1])]
            while running:
                for pair in list(running):
                    batch = pair[0].next_batch()
                    pair[1].extend(entry[0] for entry in batch)
                    if not batch:
                        running.remove(pair)
        self.assert_each_once(listed[0], names)
        self.assertEqual(listed[0], listed[1])

    def test_dot_entries_types_and_inode_numbers_are_right(self):
        make_files(self.dir, [b"file"])
        os.mkdir(self.path("dir"))
        os.symlink("nowhere", self.path("link"))
        os.mkfifo(self.path("fifo"))
        os.mknod(self.path("null"), stat.S_IFCHR | 0o644, os.makedev(1, 3))
        os.mknod(self.path("socket"), stat.S_IFSOCK | 0o644)
        inner = self.path("dir")
        for directory in (self.dir, inner):
            with DirectoryStream(directory) as stream:
                entries = stream.rest()
            names = [entry[0] for entry in entries]
            self.assertEqual(names.count(b"."), 1)
            self.assertEqual(names.count(b".."), 1)
            for name, inode, kind, _ in entries:
                status = os.lstat(os.path.join(os.fsencode(directory), name))
                self.assertEqual(inode, status.st_ino, name)
                self.assertEqual(kind, stat.S_IFMT(status.st_mode) >> 12, name)

    def test_dot_dot_follows_a_directory_that_moves(self):
        for name in ("a", "b", "a/child"):
            os.mkdir(self.path(name))
        os.rename(self.path("a/child"), self.path("b/child"))
        self.assertEqual(os.stat(self.path("b/child/..")).st_ino, os.stat(self.path("b")).st_ino)
        with DirectoryStream(self.path("b/child")) as stream:
            parent = next(entry[1] for entry in stream.rest() if entry[0] == b"..")
        self.assertEqual(parent, os.stat(self.path("b")).st_ino)

    def test_a_removed_directory_lists_nothing_and_takes_nothing(self):
        os.mkdir(self.path("gone"))
        with DirectoryStream(self.path("gone")) as stream:
            os.rmdir(self.path("gone"))
            try:
                left = [entry[0] for entry in stream.rest()]
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOENT)
                left = []
            self.assertFalse(set(left) - {b".", b".."})
            self.assert_errno(
                errno.ENOENT, os.open, "new", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=stream.fd
            )
            self.assert_errno(errno.ENOENT, os.mkdir, "new", dir_fd=stream.fd)

    def test_nlink_of_a_directory_counts_its_subdirectories(self):
        self.assertEqual(os.stat(self.dir).st_nlink, 2)
        for index in range(5):
            os.mkdir(self.path(f"d{index}"))
        make_files(self.dir, [b"file"])
        self.assertEqual(os.stat(self.dir).st_nlink, 7)
        os.rmdir(self.path("d0"))
        os.mkdir(self.path("d1/inner"))
        os.rename(self.path("d1/inner"), self.path("inner"))
        self.assertEqual(os.stat(self.dir).st_nlink, 7)
        self.assertEqual(os.stat(self.path("d1")).st_nlink, 2)

    def test_adding_and_removing_entries_moves_the_times_of_the_directory(self):
        actions = {
            "create": lambda: make_files(self.dir, [b"f"]),
            "link": lambda: os.link(self.path("f"), self.path("g")),
            "rename": lambda: os.rename(self.path("g"), self.path("h")),
            "unlink": lambda: os.unlink(self.path("h")),
            "symlink": lambda: os.symlink("x", self.path("s")),
            "mkdir": lambda: os.mkdir(self.path("d")),
            "rmdir": lambda: os.rmdir(self.path("d")),
        }
        for name, action in actions.items():
            os.utime(self.dir, ns=(10**18, 10**18))
            before = os.stat(self.dir)
            action()
            after = os.stat(self.dir)
            self.assertGreater(after.st_mtime_ns, before.st_mtime_ns, name)
            self.assertGreaterEqual(after.st_ctime_ns, before.st_ctime_ns, name)
