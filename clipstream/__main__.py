"""`python -m clipstream` is the command line."""

import sys

from clipstream.cli import main

if __name__ == "__main__":
    sys.exit(main())
