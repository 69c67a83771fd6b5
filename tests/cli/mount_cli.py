"""The command on mounted stores: mounting, unmounting, asking a mount, and what they refuse."""

import cli_case
from cases_damage import DamageCase, MakeRunCase, NewerStoreCase
from cases_mount import FailingDiskCase, FullDiskCase, MountedStoreCase, MountOptionsCase, MountPointCase
from cases_process import HelperCase, ProcessCase, RemountCase, SignalsCase, UmountCase, UserMountCase
from mount_fixture import require_fuse_and_root, run_main

CASES = [MountPointCase, MountedStoreCase, MountOptionsCase, FailingDiskCase, FullDiskCase, ProcessCase, UmountCase,
         SignalsCase, RemountCase, HelperCase, UserMountCase, DamageCase, NewerStoreCase, MakeRunCase]

if __name__ == "__main__":
    run_main(lambda: cli_case.run(CASES, require_fuse_and_root))
