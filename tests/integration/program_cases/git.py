"""git: a history made twice, on the mount and on the disk, must come out the same to the bit."""

import os
import random
import shutil

from program_cases.case import require, require_equal

WORDS = "inode block extent journal lease snapshot commit prewrite region stripe hole".split()


class Repository:
    """Runs git with fixed names and a clock that ticks a second a command."""

    def __init__(self, place, path):
        self._place = place
        self.path = path
        self._now = 1_700_000_000

    def git(self, *arguments, cwd=None):
        self._now += 1
        who = {}
        for role in ("AUTHOR", "COMMITTER"):
            who[f"GIT_{role}_NAME"] = "Nobody"
            who[f"GIT_{role}_EMAIL"] = "nobody@example.invalid"
            who[f"GIT_{role}_DATE"] = f"{self._now} +0000"
        return self._place.run(
            "git", *arguments, cwd=cwd or self.path, GIT_CONFIG_NOSYSTEM="1", **who
        )

    def write(self, name, rng, lines):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            for _ in range(lines):
                file.write(" ".join(rng.choices(WORDS, k=8)) + "\n")

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)


def make_history(repository, rng, commits):
    os.mkdir(repository.path)
    repository.git("init", "-q", "-b", "main")
    repository.git("config", "gc.auto", "0")
    names = [f"src/part{n % 17}/file{n}.txt" for n in range(250)]
    for name in names:
        repository.write(name, rng, rng.randrange(5, 120))
    repository.commit("first")
    for number in range(commits):
        for name in rng.sample(names, 3):
            repository.write(name, rng, rng.randrange(5, 120))
        repository.commit(f"change {number}")
        if number % 10 == 5:
            repository.git("branch", f"at{number}")
            repository.git("tag", "-a", "-m", "tag", f"v{number}")


def branch_and_rewrite(repository, rng):
    git = repository.git
    git("checkout", "-q", "-b", "topic", "HEAD~5")
    for number in range(6):
        repository.write(f"topic/new{number}.txt", rng, 40)
        repository.commit(f"topic {number}")
    picked = git("rev-parse", "HEAD~2").strip()
    git("rebase", "-q", "main")
    git("checkout", "-q", "main")
    git("cherry-pick", picked)
    git("checkout", "-q", "-b", "side", "HEAD~8")
    repository.write("side/only.txt", rng, 40)
    repository.commit("side")
    git("checkout", "-q", "main")
    git("merge", "-q", "--no-ff", "-m", "merge", "side")
    git("revert", "--no-edit", "HEAD^1")
    git("mv", "src/part3", "src/moved")
    repository.commit("move")
    repository.write("src/moved/file3.txt", rng, 10)
    git("stash", "-q")
    git("stash", "pop", "-q")
    git("checkout", "-q", ".")
    git("worktree", "add", "-q", "--detach", repository.path + ".worktree", "topic")
    git("checkout", "-q", "topic")
    git("checkout", "-q", "main")


def check_repository(repository, what):
    status = repository.git("status", "--porcelain")
    require_equal(status, "", f"{what}: git status")
    said = repository.git("fsck", "--full", "--strict", "--no-dangling")
    require("error" not in said and "missing" not in said, f"{what}: git fsck: {said}")


def clone_and_collect(place, repository):
    clone = repository.path + ".clone"
    repository.git("clone", "-q", repository.path, clone)
    require_equal(repository.git("status", "--porcelain", cwd=clone), "", "status of a clone")
    bare = repository.path + ".git"
    repository.git("clone", "-q", "--bare", "--no-local", f"file://{repository.path}", bare)
    with open(os.path.join(clone, "pushed.txt"), "w", encoding="utf-8") as file:
        file.write("pushed\n")
    repository.git("add", "-A", cwd=clone)
    repository.git("commit", "-q", "-m", "to push", cwd=clone)
    repository.git("push", "-q", bare, "HEAD:refs/heads/pushed", cwd=clone)
    pushed = repository.git("rev-parse", "pushed", cwd=bare)
    require_equal(pushed, repository.git("rev-parse", "HEAD", cwd=clone), "what was pushed")
    repository.git("fetch", "-q", bare, "pushed")
    repository.git("merge", "-q", "--ff-only", "FETCH_HEAD")
    repository.git("gc", "-q", "--prune=now")
    repository.git("repack", "-q", "-a", "-d", "-f")
    for tree in (clone, bare, repository.path + ".worktree"):
        place.run("git", "fsck", "--full", cwd=tree)


def make_and_describe(place, path, commits):
    """All references and the index of a repository made at `path`."""
    repository = Repository(place, path)
    rng = random.Random(17)
    make_history(repository, rng, commits)
    check_repository(repository, "after the commits")
    branch_and_rewrite(repository, rng)
    clone_and_collect(place, repository)
    check_repository(repository, "after gc")
    references = repository.git("for-each-ref", "--format=%(objectname) %(refname)")
    return references, repository.git("ls-files", "-s"), repository.git("rev-list", "--all")


def git_history(place):
    """Commits, branches, rebase, cherry-pick, merge, worktree, clone, push, gc, fsck."""
    place.need("git")
    commits = 200 if place.long else 40
    on_mount = make_and_describe(place, place.on_mount("repository"), commits)
    on_disk = make_and_describe(place, place.off_mount("repository"), commits)
    for one, other, what in zip(on_mount, on_disk, ("references", "index", "commits")):
        require(one == other, f"the {what} differ from those of the same history on the disk")
    shutil.rmtree(place.on_mount("repository.clone"))
    require(not os.path.exists(place.on_mount("repository.clone")), "rm -r left something")


CASES = [git_history]
