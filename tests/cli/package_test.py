"""What `cmake --install`, and so the Debian package, puts where; and that it does nothing else."""

import argparse
import gzip
import os
import re
import stat
import subprocess
import tempfile
import unittest

EXPECTED_LINKS = ["mount.tifs", "mount.fuse.tifs", "umount.fuse.tifs", "fsck.tifs", "mkfs.tifs"]


class PackageTest(unittest.TestCase):
    build_dir = None

    @classmethod
    def setUpClass(cls):
        cls.tree = tempfile.TemporaryDirectory(prefix="tifs-test-")
        cls.addClassCleanup(cls.tree.cleanup)
        subprocess.run(["cmake", "--install", cls.build_dir, "--prefix", "/usr"], check=True,
                       stdout=subprocess.DEVNULL, umask=0o022, env={**os.environ, "DESTDIR": cls.tree.name})
        with open(os.path.join(cls.build_dir, "CPackConfig.cmake"), encoding="utf-8") as config:
            cls.config = config.read()

    def path(self, name):
        return os.path.join(self.tree.name, name)

    def test_the_binary_and_its_names(self):
        out = subprocess.run([self.path("usr/bin/tifs"), "--version"], check=True, capture_output=True, text=True)
        self.assertTrue(out.stdout.startswith("tifs "))
        binary = os.path.realpath(self.path("usr/bin/tifs"))
        for link in EXPECTED_LINKS:
            self.assertEqual(os.path.realpath(self.path(f"usr/sbin/{link}")), binary)
        helped = subprocess.run([self.path("usr/sbin/mount.tifs"), "--help"], check=True, capture_output=True,
                                text=True)
        self.assertTrue(helped.stdout.startswith("usage: mount.tifs "))

    def test_pages_completions_and_the_unit(self):
        for command in ("", "-format", "-mount", "-umount", "-info", "-stats", "-fsck", "-gc", "-bench", "-list",
                        "-sessions", "-destroy", "-volume"):
            with gzip.open(self.path(f"usr/share/man/man1/tifs{command}.1.gz"), "rt", encoding="utf-8") as page:
                self.assertTrue(page.readline().startswith(f".TH TIFS{command.upper()} 1 "))
        for name in ("mount", "fsck", "mkfs"):
            self.assertTrue(os.path.isfile(self.path(f"usr/share/man/man8/{name}.tifs.8.gz")))
        for name in ("usr/share/bash-completion/completions/tifs", "usr/share/zsh/vendor-completions/_tifs",
                     "usr/lib/systemd/system/tifs@.service", "usr/share/doc/tifs/copyright",
                     "usr/share/doc/tifs/OPERATIONS.md"):
            self.assertTrue(os.path.isfile(self.path(name)), name)
        self.assertTrue(os.path.isdir(self.path("etc/tifs")))

    def test_nothing_is_set_user_id_or_writable_by_others(self):
        for folder, folders, files in os.walk(self.tree.name):
            for name in folders + files:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o6022, 0, path)

    def test_no_scripts_run_at_install_or_removal(self):
        self.assertNotIn("CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA", self.config)
        self.assertRegex(self.config, r'CPACK_DEBIAN_PACKAGE_MAINTAINER "The TiFS Authors <tifs@example.invalid>"')
        self.assertRegex(self.config, re.compile(r'^set\(CPACK_GENERATOR "DEB"\)$', re.MULTILINE))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build-dir", required=True)
    PackageTest.build_dir = parser.parse_args().build_dir
    unittest.main(argv=["package_test"], verbosity=2)
