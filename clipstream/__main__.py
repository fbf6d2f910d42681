"""`python -m clipstream` is the command line."""

from clipstream.cli import main

if __name__ == "__main__":
    main()
