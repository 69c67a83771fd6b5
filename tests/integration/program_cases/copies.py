"""tar, rsync, cp and mv: what arrives is what was sent, in every field."""

import os
import random
import shutil

from program_cases.case import require, require_equal
from tree_manifest import describe_tree, difference, make_tree


def require_same(first, second, what):
    said = difference(describe_tree(first), describe_tree(second))
    require(not said, f"{what}:\n{said}")


def tar_there_and_back(place):
    """Extracted onto the mount, compared, archived from there, extracted on the disk."""
    place.need("tar")
    original = place.off_mount("original")
    make_tree(original, 1)
    options = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--sparse"]
    archive = place.off_mount("there.tar")
    place.run("tar", *options, "--format=posix", "-C", original, "-cf", archive, ".")
    here = place.on_mount("extracted")
    os.mkdir(here)
    place.run("tar", *options, "-C", here, "-xpf", archive)
    require_same(original, here, "extracted onto the mount")
    place.run("tar", *options, "-C", here, "--compare", "-f", archive)
    back = place.on_mount("back.tar")
    place.run("tar", *options, "--format=posix", "-C", here, "-cf", back, ".")
    again = place.off_mount("again")
    os.mkdir(again)
    place.run("tar", *options, "-C", again, "-xpf", back)
    require_same(original, again, "archived on the mount")
    shutil.rmtree(here)


def rsync_and_again(place):
    """A full copy, then changes with --delete and --inplace, each by checksum."""
    place.need("rsync")
    original, copy = place.off_mount("original"), place.on_mount("copy")
    make_tree(original, 2)
    # Without the window rsync takes times of the same second for equal.
    sync = ["rsync", "-aHAXS", "--numeric-ids", "--checksum", "--modify-window=-1"]
    place.run(*sync, original + "/", copy + "/")
    require_same(original, copy, "the first copy")
    rng = random.Random(3)
    files = [name for name in os.listdir(original) if name.startswith("file")]
    for name in files[::3]:
        os.unlink(os.path.join(original, name))
    for name in files[1::3]:
        with open(os.path.join(original, name), "ab") as file:
            file.write(rng.randbytes(70000))
    place.run(*sync, "--delete", original + "/", copy + "/")
    require_same(original, copy, "after --delete")
    for name in files[2::3]:
        with open(os.path.join(original, name), "r+b") as file:
            file.seek(os.path.getsize(file.name) // 2)
            file.write(b"changed in the middle")
    inplace = [word for word in sync if word != "-aHAXS"] + [
        "-aHAX",
        "--inplace",
        "--no-whole-file",
    ]
    place.run(*inplace, original + "/", copy + "/")
    require_same(original, copy, "after --inplace")
    said = place.run(*sync, "--dry-run", "--itemize-changes", original + "/", copy + "/")
    require_equal(said, "", "what rsync would still change")
    second = place.on_mount("second")
    place.run(*sync, copy + "/", second + "/")
    require_same(original, second, "from the mount to the mount")


def cp_and_mv(place):
    """cp -a onto, within and off the mount; mv across file systems and within."""
    original, copy = place.off_mount("original"), place.on_mount("copy")
    make_tree(original, 4, files=150)
    place.run("cp", "-a", original, copy)
    require_same(original, copy, "cp -a onto the mount")
    place.run("cp", "-a", "--reflink=auto", "--sparse=always", copy, place.on_mount("second"))
    require_same(original, place.on_mount("second"), "cp -a within the mount")
    os.mkdir(place.on_mount("d"))
    place.run("mv", place.on_mount("second"), place.on_mount("d/third"))
    place.run("mv", place.on_mount("d/third"), place.off_mount("fourth"))
    require_same(original, place.off_mount("fourth"), "mv off the mount")
    place.run("diff", "-r", "--no-dereference", "--exclude=fifo", original, copy)
    place.run("rm", "-r", copy)
    require_equal(os.listdir(place.here), ["d"], "what rm -r left")


CASES = [tar_there_and_back, rsync_and_again, cp_and_mv]
