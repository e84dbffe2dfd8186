"""`python -m dags.cli`."""

from dags.cli import main

if __name__ == "__main__":
    main()
