"""`python -m webntpd`."""

import sys

from webntpd.cli import main

if __name__ == "__main__":
    sys.exit(main())
