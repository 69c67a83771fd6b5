"""The command on mounted stores: mounting, unmounting, asking a mount, and what they refuse."""

import cli_case
from cases_damage import DamageCase, MakeRunCase, NewerStoreCase
from cases_mount import FailingDiskCase, FullDiskCase, MountedStoreCase, MountOptionsCase, MountPointCase
from cases_process import HelperCase, ProcessCase, RemountCase, SignalsCase, UmountCase, UserMountCase
from cases_store_volume import CASES as STORE_VOLUME_CASES
from mount_fixture import require_fuse_and_root, run_main

CASES = [MountPointCase, MountedStoreCase, MountOptionsCase, FailingDiskCase, FullDiskCase, ProcessCase, UmountCase,
         SignalsCase, RemountCase, HelperCase, UserMountCase, DamageCase, NewerStoreCase, MakeRunCase,
         *STORE_VOLUME_CASES]

if __name__ == "__main__":
    run_main(lambda: cli_case.run(CASES, require_fuse_and_root))
