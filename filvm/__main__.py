"""`python -m filvm`."""

import sys

from filvm.cli import main

if __name__ == "__main__":  # not in the processes that it starts
    sys.exit(main())
