"""The ranker by hand: `crossrec tune`."""

from typing import Annotated

import typer

from dags.cli.terminal import logs_shown, parse_date
from infra.settings import Settings

app = typer.Typer()


@app.command()
def tune(
    as_of: Annotated[
        str,
        typer.Option(
            "--date",
            "--as-of",
            metavar="YYYY-MM-DD",
            help="The night whose examples the search uses; without it, the one the warehouse holds.",
        ),
    ] = "",
    trials: Annotated[
        int, typer.Option(min=1, help="Sets of parameters to try; the first is the one that serves.")
    ] = 30,
    minutes: Annotated[float, typer.Option(min=0, help="No further trial starts after this time.")] = 60,
) -> None:
    """Search for better hyper-parameters of the ranker (Optuna), keep every trial in MLflow, and print the setting to use.

    Nothing changes by itself. The search never sees the held-out snapshot, by which the promotion gate decides.
    """
    from dags.steps.learn.tune import newest_built, tune
    from dags.steps.night import Night

    settings = Settings()
    with logs_shown():
        night = Night(parse_date(as_of) if as_of else newest_built(settings), settings=settings)
        tune(night, trials, minutes)
