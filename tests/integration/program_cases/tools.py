"""vim and fio."""

import os
import stat

from program_cases.case import require, require_equal

FIO_JOBS = """
[global]
directory={here}
size={size}
bs=4k-64k
bsrange=4k-64k
blockalign=4k
verify=crc32c
verify_fatal=1
do_verify=1
randseed=20240229
group_reporting=1

[random-buffered]
rw=randwrite
ioengine=psync
fsync=64

[random-direct]
stonewall
rw=randwrite
ioengine=libaio
iodepth=16
direct=1

[mixed-direct]
rw=randrw
ioengine=psync
direct=1

[sequential]
stonewall
rw=write
ioengine=sync
end_fsync=1

[mapped]
rw=randwrite
ioengine=mmap

[vectors-synced]
stonewall
rw=randwrite
ioengine=pvsync
sync=1
size=4m
"""


def vim_writes(place):
    """Every way in which vim replaces a file: in place, by rename, with a backup and a swap
    file.
    """
    place.need("vim")
    for number, copy in enumerate(("yes", "no", "auto")):
        directory = place.on_mount(f"vim{number}")
        os.mkdir(directory)
        path = os.path.join(directory, "text")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"line {n}\n" for n in range(20000))
        os.chmod(path, 0o754)
        os.chown(path, 1, 2)
        link = os.path.join(directory, "hard")
        os.link(path, link)
        settings = f"set nocompatible backup writebackup swapfile backupcopy={copy} directory=. "
        settings += "backupdir=. undofile undodir=. backupskip="
        edits = ["%s/line/edited/", "$put ='the end'", "w", "1delete", "wq"]
        commands = [word for edit in (settings, *edits) for word in ("-c", edit)]
        place.run("vim", "-es", "-u", "NONE", "-i", "NONE", *commands, path, cwd=directory)
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        require_equal(lines, [f"edited {n}" for n in range(1, 20000)] + ["the end"], "the text")
        status = os.stat(path)
        require_equal(stat.S_IMODE(status.st_mode), 0o754, f"mode with backupcopy={copy}")
        require_equal((status.st_uid, status.st_gid), (1, 2), f"owner with backupcopy={copy}")
        left = sorted(os.listdir(directory))
        require_equal(left, [".text.un~", "hard", "text", "text~"], f"files with {copy}")
        kept = os.path.samefile(path, link)
        require(kept or copy == "no", f"backupcopy={copy} broke the hard link")


def fio_verify(place):
    """Buffered, direct, mapped and synchronous writers; each block is read back by its checksum."""
    place.need("fio")
    jobs = place.off_mount("jobs.fio")
    with open(jobs, "w", encoding="utf-8") as file:
        file.write(FIO_JOBS.format(here=place.here, size="256m" if place.long else "24m"))
    place.run("fio", "--aux-path=" + place.outside, jobs, deadline_s=1800)


CASES = [vim_writes, fio_verify]
