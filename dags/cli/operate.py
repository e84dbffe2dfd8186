"""The installation: `crossrec doctor`, `up`, `dbt` and `settings`."""

from typing import Annotated

import typer

from dags.cli.terminal import NightDate, console, parse_date
from infra.deploy.embedded import home_alone
from infra.deploy.servers import serve
from infra.settings import Settings

app = typer.Typer()


@app.command()
def doctor() -> None:
    """Check the installation, every platform's connection, the lake, the warehouse and MLflow; print what to do about each red line."""
    from infra.deploy.doctor import examine

    red = 0
    for finding in examine(Settings()):
        red += not finding.healthy
        mark = "[green]✓[/green]" if finding.healthy else "[red]✗[/red]"
        console.print(f"{mark} {finding.subject}: {finding.text}", soft_wrap=True)
    if red:
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dbt(context: typer.Context, as_of: NightDate = "") -> None:
    """Run dbt with the night's variables and the declared platforms, e.g. `crossrec dbt build --select candidates`."""
    from dags.steps.learn.exclude_sources import apply_again
    from dags.steps.night import Night
    from infra.warehouse import run_dbt

    settings = Settings()
    night = Night(parse_date(as_of) if as_of else Night.newest(settings), settings=settings)
    apply_again(night, run_dbt(settings, context.args, night.as_of, log_level="info"))


@app.command()
def up(port: Annotated[int, typer.Option(help="Port of Airflow's UI; MLflow's is one above.")] = 8080) -> None:
    """Run Airflow's scheduler, DAG processor and UI, and MLflow's UI, until Ctrl-C stops all of them."""
    settings = Settings()
    with home_alone(settings, "crossrec up") as lock:
        serve(settings, port, lambda line: console.print(line, soft_wrap=True), lock)


@app.command("settings", hidden=True)
def settings_page() -> None:
    """Print docs/settings.md, generated from infra/settings.py."""
    from infra.settings import settings_page

    typer.echo(settings_page(), nl=False)
