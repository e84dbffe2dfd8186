"""`python -m tests.bench.movielens`: the ranker on MovieLens-1M by itself, in two studies known from papers.

`movielens_lists`: which films does a user rate next? `movielens_clicks`: does a user like a film?
"""

from argparse import ArgumentParser

from rich import print

from infra.demo.sources import load_movielens
from tests.bench import movielens_clicks, movielens_lists
from tests.bench.measured import save


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "--choosing", action="store_true", help="judge by the parts that parameters were chosen by, and save nothing"
    )
    data = load_movielens("full")
    if parser.parse_args().choosing:
        print(
            *movielens_lists.study(data, movielens_lists.EARLIER),
            *movielens_clicks.study(data, choosing=True),
            sep="\n",
        )
    else:
        save("bench-movielens", [*movielens_lists.study(data), *movielens_clicks.study(data)])


if __name__ == "__main__":
    main()
