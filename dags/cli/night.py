"""Whole nights: `crossrec demo`, `crossrec simulate` and `crossrec nightly`."""

import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.progress import Progress

from dags.cli.progress import show_progress
from dags.cli.terminal import console, fail, parse_date
from infra.deploy.embedded import airflow_environment, home_alone
from infra.deploy.servers import prepare_airflow
from infra.settings import PROJECT_ROOT, Settings

app = typer.Typer()

Size = Literal["full", "small"]
DEMO_DATES = {"full": "2000-12-15", "small": "1998-03-15"}


@app.command()
def demo(
    size: Annotated[Size, typer.Option(help="`full`: MovieLens-1M; `small`: MovieLens-100k.")] = "full",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a demo of another size that is there.")] = False,
) -> None:
    """Build the three demo platforms from real data: a video site (DuckDB), a shop (SQLite), a forum (JSON lines).

    Does nothing where they are built already. The truth about them is written beside them, in `truth/`.
    """
    from infra.demo import build_demo

    settings = Settings()
    try:
        build_demo(settings.demo_path, size, progress=lambda text: console.print(f"  {text}"), replace=replace)
    except (FileExistsError, FileNotFoundError) as error:
        fail(escape(str(error)))
    console.print(f"demo platforms: {settings.demo_path}")


@app.command()
def simulate(
    target: Annotated[Path, typer.Argument(help="An empty folder for the platforms.")],
    persons: int = 20_000,
    events: Annotated[int, typer.Option(help="Of all platforms and days together, about.")] = 1_000_000,
    platforms: Annotated[int, typer.Option(help="At most eight.")] = 4,
    items: Annotated[int, typer.Option(help="Products; each is on half of the platforms, about.")] = 4_000,
    days: Annotated[int, typer.Option(help="Days of events before the night of `--ends`.")] = 90,
    ends: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="The first night that knows everything.")
    ] = "2001-01-01",
    seed: int = 1,
) -> None:
    """Generate platforms of any size: people with tastes and profiles, catalogues, events day by day, and the truth beside them.

    The same parameters give the same bytes. Read `environment.sh` in your shell, and `crossrec nightly` runs on them.
    """
    from infra.simulate import World
    from infra.simulate import simulate as written

    started, done = time.monotonic(), 0
    try:
        world = World(persons, events, platforms, items, days, seed, parse_date(ends))
        with Progress(console=console) as progress:
            bars = {name: progress.add_task(name, total=world.days) for name in world.names}
            for platform, rows in written(target, world):
                done += rows
                progress.advance(bars[platform])
    except (FileExistsError, ValueError) as error:
        fail(escape(str(error)))
    console.print(f"{done:,} events in {time.monotonic() - started:.0f} s: {target}")
    console.print(f"next: [bold]. {target}/environment.sh && crossrec nightly --date {ends}[/bold]")


@app.command()
def nightly(
    as_of: Annotated[
        str,
        typer.Option(
            "--date", metavar="YYYY-MM-DD", help="The night's as_of: it knows everything before 00:00 UTC of that date."
        ),
    ] = "",
    demo_size: Annotated[Size, typer.Option(help="Demo to build where no platform is connected.")] = "full",
) -> None:
    """Run one whole night with the real Airflow, show its progress, and end with a summary.

    Without any setting this builds the demo platforms first. The same date again changes nothing.
    """
    settings = Settings()
    night_date = parse_date(as_of or DEMO_DATES[demo_size])
    with home_alone(settings, f"crossrec nightly --date {night_date}") as lock:
        _run_night(settings, night_date, demo_size, lock)


def _run_night(settings: Settings, as_of: date, demo_size: Size, lock: int) -> None:
    from dags.steps.night import Night

    started = time.monotonic()
    night = Night(as_of, settings=settings)
    if all(platform.connection not in os.environ for platform in night.platforms.values()):
        _build_demo_apart(demo_size, lock)
    environment = airflow_environment(settings)
    with console.status("preparing Airflow's database"):
        prepare_airflow(environment)
    log_file = settings.home / "logs" / f"nightly-{as_of}.log"
    log_file.parent.mkdir(exist_ok=True)
    console.print(f"the night of [bold]{as_of}[/bold]; Airflow's own log: {log_file}", soft_wrap=True)
    _run_dag(as_of, environment, log_file, lock)

    from infra.report.night import NightSummary
    from infra.report.terminal import print_summary

    print_summary(night.read(NightSummary), console)
    console.print(f"done in {time.monotonic() - started:.0f} s")


def _build_demo_apart(size: Size, lock: int) -> None:
    """Build the demo in a process of its own: in this one, the memory that building needs would stay in use all night."""
    built = subprocess.run([sys.executable, "-m", "dags.cli", "demo", "--size", size], check=False, pass_fds=[lock])
    if built.returncode:
        raise typer.Exit(built.returncode)


def _run_dag(as_of: date, environment: dict[str, str], log_file: Path, lock: int) -> None:
    """Run the night in a process of its own, whose output is the log, and show its progress. A red night ends the command.

    That process holds the home's lock too. Where this command is killed, it goes on, and no other night begins beside it.
    """
    progress_file = log_file.with_suffix(".progress")
    progress_file.write_text("")
    with log_file.open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "dags.cli.run", as_of.isoformat(), str(progress_file), str(lock)],
            env=environment,
            cwd=PROJECT_ROOT,
            pass_fds=[lock],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            red = show_progress(progress_file, child, console)
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            fail("interrupted. What was published before stays up; the same command continues the night.")
    if child.returncode:
        where = f"task '{red}'" if red else "Airflow"
        fail(f"the night of {as_of} is red at {where}; what was published before stays up. Log: {log_file}")
