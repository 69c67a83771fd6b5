"""What a tree of files is, so that two copies of it can be compared."""

import hashlib
import os
import random
import stat


def describe_tree(root, with_identity=False):
    """{relative path: fields} of everything below `root` and of it.

    `with_identity` adds inode numbers and ctime, which only the same tree keeps.
    """
    tree = {}
    hard_links = {}
    for directory, directories, files in os.walk(os.fsencode(root)):
        directories.sort()  # also the order of the walk
        for name in [b".", *directories, *sorted(files)]:
            path = os.path.join(directory, name)
            relative = os.path.normpath(os.path.relpath(path, os.fsencode(root)))
            if name == b"." or relative not in tree:
                tree[relative] = _describe(path, relative, hard_links, with_identity)
    return tree


def _describe(path, relative, hard_links, with_identity):
    status = os.lstat(path)
    fields = {
        "mode": oct(status.st_mode),
        "owner": (status.st_uid, status.st_gid),
        "device": status.st_rdev,
        "mtime": status.st_mtime_ns,
        "xattrs": {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(os.listxattr(path, follow_symlinks=False))
        },
    }
    if not stat.S_ISDIR(status.st_mode):
        fields["size"] = status.st_size
        fields["links"] = status.st_nlink
        fields["same file as"] = hard_links.setdefault(status.st_ino, relative)
    if stat.S_ISLNK(status.st_mode):
        fields["target"] = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            fields["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    if with_identity:
        fields["identity"] = (status.st_ino, status.st_ctime_ns)
    return fields


def difference(first, second, limit=10):
    """The first differences of two descriptions as text; empty if there are none."""
    lines = []
    for path in sorted(first.keys() | second.keys()):
        if first.get(path) == second.get(path):
            continue
        if path not in first or path not in second:
            lines.append(f"{path!r} is only in the {'first' if path in first else 'second'}")
        else:
            changed = [key for key in first[path] if first[path][key] != second[path].get(key)]
            shown = ", ".join(f"{k}: {first[path][k]} / {second[path].get(k)}" for k in changed)
            lines.append(f"{path!r}: {shown}")
    if len(lines) > limit:
        lines[limit:] = [f"... and {len(lines) - limit} more"]
    return "\n".join(lines)


def make_tree(root, seed, files=300):
    """A tree with all that an archive has to carry, the same for each seed but for the clock."""
    rng = random.Random(seed)
    os.makedirs(root)
    directories = [root]
    for index in range(files // 12):
        directory = os.path.join(rng.choice(directories), f"dir{index}")
        os.mkdir(directory)
        directories.append(directory)
    plain = []
    for index in range(files):
        ending = rng.choice(("", ".txt", " with spaces", "-ü€😀", "\\back", "'\"$"))
        name = f"file{index}{ending}"
        path = os.path.join(rng.choice(directories), name)
        size = rng.choice((0, 1, 100, 4095, 4096, 5000, 65536, 70001, 300000))
        with open(path, "wb") as file:
            file.write(rng.randbytes(size))
        plain.append(path)
    for index, path in enumerate(rng.sample(plain, 30)):
        os.link(path, os.path.join(rng.choice(directories), f"hard{index}"))
        os.symlink(rng.choice((path, "../dangling", "x" * 1000)), path + ".link")
    with open(os.path.join(root, "sparse"), "wb") as file:
        for offset in (0, 10 << 20, 33 << 20):
            file.seek(offset)
            file.write(b"island")
        file.truncate(50 << 20)
    os.mkfifo(os.path.join(root, "fifo"))
    os.close(os.open(os.path.join(os.fsencode(root), b"\xff\xfe bytes"), os.O_CREAT, 0o600))
    os.close(os.open(os.path.join(root, "n" * 255), os.O_CREAT, 0o600))
    for path in rng.sample(plain, 60):
        os.chown(path, rng.choice((0, 1, 2, 65534)), rng.choice((0, 1, 2, 65534)))
        os.chmod(path, rng.choice((0o600, 0o644, 0o755, 0o4755, 0o2755, 0o000, 0o1777)))
    for path in rng.sample(plain, 20):
        os.setxattr(path, "user.note", rng.randbytes(rng.randrange(1, 500)))
    for path in plain + directories[::-1]:
        os.utime(path, ns=(10**18, rng.randrange(10**18, 15 * 10**17)))
