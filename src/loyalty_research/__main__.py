"""`python -m loyalty_research` is the `loyalty` command."""

from loyalty_research.cli import main

if __name__ == "__main__":
    main()
