"""`python -m filvm`."""

import sys

from filvm.cli import main

sys.exit(main())
