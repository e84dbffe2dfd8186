"""The `crossrec` command: the night and its tools by hand. `crossrec --help` reads like documentation."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import typer
from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from dags.cli.identity import app as identity_app
from infra.deploy.embedded import LOGGERS, QUIET, airflow_environment
from infra.deploy.servers import prepare_airflow, serve
from infra.settings import PROJECT_ROOT, Settings

os.environ |= {name: value for name, value in QUIET.items() if name not in os.environ}

app = typer.Typer(
    name="crossrec",
    help="Nightly recommendations over several platforms: merge, link, gate, rank, write back.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(identity_app, name="identity")
console = Console(highlight=False, emoji=False)  # messages name accounts, such as shop:a
DEMO_DATES = {"full": "2000-12-15", "small": "1998-03-15"}


def main() -> None:
    """Run the command; our own errors are written for people, all others keep their traceback."""
    try:
        app()
    except (RuntimeError, ValueError) as error:
        if type(error).__module__.partition(".")[0] not in ("dags", "infra", "ml"):
            raise
        console.print(f"[red]✗[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)


def _fail(message: str) -> None:
    console.print(f"[red]✗[/red] {message}", soft_wrap=True)
    raise typer.Exit(1)


@app.command()
def demo(
    size: Annotated[
        Literal["full", "small"], typer.Option(help="`full`: MovieLens-1M; `small`: MovieLens-100k.")
    ] = "full",
) -> None:
    """Build the three demo platforms from real data: a video site (DuckDB), a shop (SQLite), a forum (JSON lines).

    Does nothing where they are built already. The truth about them is written beside them, in `truth/`.
    """
    from infra.demo import build_demo

    settings = Settings()
    build_demo(settings.demo_path, size, progress=lambda text: console.print(f"  {text}"))
    console.print(f"demo platforms: {settings.demo_path}")


@app.command()
def nightly(
    as_of: Annotated[
        str,
        typer.Option("--date", metavar="YYYY-MM-DD", help="The night's cut: everything known before its 00:00 UTC."),
    ] = "",
    demo_size: Annotated[
        Literal["full", "small"], typer.Option(help="Demo to build where no platform is connected.")
    ] = "full",
) -> None:
    """Run one whole night with the real Airflow, show its progress, and end with a summary.

    Without any setting this builds the demo platforms first. The same date again changes nothing.
    """
    settings = Settings()
    night_date = _parse_date(as_of or DEMO_DATES[demo_size])
    with _alone(settings):
        _run_night(settings, night_date, demo_size)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One `nightly` or `up` at a time in one home: both run nights, on the same warehouse and the same Airflow."""
    settings.home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.home / "night.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        _fail(
            f"another night or `crossrec up` is running in {settings.home}. Received: {lock.lock_file} is locked. "
            "Remedy: wait until it is done or stop it, or set CROSSREC_HOME to another folder."
        )
    try:
        yield
    finally:
        lock.release()


def _parse_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"expected a date as YYYY-MM-DD. Received: {text!r}", param_hint="--date") from None


def _run_night(settings: Settings, as_of: date, demo_size: Literal["full", "small"]) -> None:
    from dags.steps.night import Night

    started = time.monotonic()
    night = Night(as_of, settings=settings)
    if all(platform.connection not in os.environ for platform in night.platforms.values()):
        # in a process of its own: what building takes in memory would be kept all night
        built = subprocess.run([sys.executable, "-m", "dags.cli", "demo", "--size", demo_size], check=False)
        if built.returncode:
            raise typer.Exit(built.returncode)
    environment = airflow_environment(settings)
    with console.status("preparing Airflow's database"):
        prepare_airflow(environment)
    logs = settings.home / "logs"
    logs.mkdir(exist_ok=True)
    log_file, progress_file = logs / f"nightly-{as_of}.log", logs / f"nightly-{as_of}.progress"
    progress_file.write_text("")
    console.print(f"the night of [bold]{as_of}[/bold]; Airflow's own log: {log_file}", soft_wrap=True)
    with log_file.open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "dags.cli.run", as_of.isoformat(), str(progress_file)],
            env=environment,
            cwd=PROJECT_ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            red = _show_progress(progress_file, child)
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            _fail("interrupted. What was published before stays up; the same command picks the night up again.")
    if child.returncode:
        where = f"task '{red}'" if red else "Airflow"
        _fail(f"the night of {as_of} is red at {where}; what was published before stays up. Log: {log_file}")

    from infra.report.night import NightSummary
    from infra.report.terminal import print_summary

    print_summary(night.read(NightSummary), console)
    console.print(f"done in {time.monotonic() - started:.0f} s")


def _show_progress(progress_file: Path, child: "subprocess.Popen[bytes]") -> str:
    """Show the child's lines until it ends; returns the task that failed, if any."""
    failed, running = "", ""
    with progress_file.open() as lines, console.status("starting Airflow") as status:
        while True:
            ended = child.poll() is not None
            for line in lines:
                kind, _, text = line.rstrip("\n").partition("\t")
                text = escape(text)
                if kind == "task":
                    running = text
                    status.update(running)
                elif kind == "tick":
                    status.update(f"{running}: {text}")
                elif kind == "fact":
                    console.print(f"      [dim]{text}[/dim]", soft_wrap=True)
                elif kind == "warning":
                    console.print(f"    [yellow]! {text}[/yellow]", soft_wrap=True)
                elif kind == "done":
                    console.print(f"  [green]✓[/green] {text}")
                elif kind == "failed":
                    failed = failed or text
                    console.print(f"  [red]✗ {text}[/red]")
                elif kind == "error":
                    console.print(f"      {text}", soft_wrap=True)
            if ended:
                return failed
            time.sleep(0.2)


@app.command()
def rollback(
    to: Annotated[
        str, typer.Option(metavar="PUBLICATION", help="Publication to serve; without it, the one before.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run/--apply", help="Only say what would happen, or do it.")] = True,
) -> None:
    """Serve an earlier publication again, in the lake and in every platform's warehouse.

    Says what it would do; `--apply` does it. Nothing is deleted: rolling forward is a rollback to the newer one.
    """
    from dags.steps.serve.roll_back import roll_back

    for line in roll_back(Settings(), to, apply=not dry_run):
        console.print(line, soft_wrap=True)


@app.command()
def tune(
    as_of: Annotated[
        str,
        typer.Option(
            "--date",
            "--as-of",
            metavar="YYYY-MM-DD",
            help="The night whose examples teach; without it, the one the warehouse holds.",
        ),
    ] = "",
    trials: Annotated[int, typer.Option(min=1, help="Sets of parameters to try; the first is what serves.")] = 30,
    minutes: Annotated[float, typer.Option(min=0, help="No further trial starts after this.")] = 60,
) -> None:
    """Search for better hyper-parameters of the ranker (Optuna), keep every trial in MLflow, and print the setting to use.

    Nothing changes by itself. The held-out snapshot, by which promotion goes, has no part in it.
    """
    from dags.steps.learn.tune import newest_built, tune
    from dags.steps.night import Night

    settings = Settings()
    night = Night(_parse_date(as_of) if as_of else newest_built(settings), settings=settings)
    with _saying():
        tune(night, trials, minutes)


@contextmanager
def _saying() -> Iterator[None]:
    """What steps say of themselves goes to the terminal."""

    class Terminal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.print(escape(record.getMessage()), soft_wrap=True)

    terminal = Terminal(logging.INFO)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(terminal)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(terminal)


@app.command()
def doctor() -> None:
    """Check the installation, every platform's connection, the lake, the warehouse and MLflow; say what to do about each red line."""
    from infra.deploy.doctor import examine

    red = 0
    for finding in examine(Settings()):
        red += not finding.healthy
        mark = "[green]✓[/green]" if finding.healthy else "[red]✗[/red]"
        console.print(f"{mark} {finding.subject}: {finding.text}", soft_wrap=True)
    if red:
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dbt(
    context: typer.Context,
    as_of: Annotated[
        str,
        typer.Option(
            "--date", metavar="YYYY-MM-DD", help="The night whose variables dbt gets; without it, the newest."
        ),
    ] = "",
) -> None:
    """Run dbt with the night's variables and the declared platforms, e.g. `crossrec dbt build --select candidates`."""
    from dags.steps.learn.exclude_sources import apply_again
    from dags.steps.night import Night
    from infra.warehouse import run_dbt

    settings = Settings()
    night = Night(_parse_date(as_of) if as_of else Night.newest(settings), settings=settings)
    built: list[str] = []
    run_dbt(settings, context.args, night.as_of, lambda name, *_: built.append(name), log_level="info")
    apply_again(night, built)


@app.command()
def up(port: Annotated[int, typer.Option(help="Port of Airflow's UI; MLflow's is one above.")] = 8080) -> None:
    """Run Airflow's scheduler, DAG processor and UI, and MLflow's UI, until Ctrl-C stops all of them."""
    settings = Settings()
    with _alone(settings):
        serve(settings, port, lambda line: console.print(line, soft_wrap=True))


@app.command("settings", hidden=True)
def settings_page() -> None:
    """Print docs/settings.md, generated from infra/settings.py."""
    from infra.settings import settings_page

    typer.echo(settings_page(), nl=False)
