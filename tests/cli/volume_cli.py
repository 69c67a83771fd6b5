"""The commands of `tifs volume` on a file as a disk."""

import sys

from cases_volume import CASES
from cli_case import run

if __name__ == "__main__":
    sys.exit(run(CASES))
