"""`python -m mcpwrap`, the same as the console script."""

from mcpwrap.cli.main import main

if __name__ == "__main__":
    main()
