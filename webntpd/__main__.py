"""`python -m webntpd`."""

import sys

from webntpd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
