"""`python -m headcirc.cli`: the same as the command `headcirc`."""

import sys

from headcirc.cli import main

if __name__ == "__main__":
    sys.exit(main())
