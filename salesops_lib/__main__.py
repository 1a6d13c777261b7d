"""``python -m salesops_lib`` is the command line."""

from salesops_lib.cli import main

if __name__ == "__main__":
    main()
