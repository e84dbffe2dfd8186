"""The command line as a person meets it first."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dags.cli import app
from infra.deploy.embedded import HomeInUseError, home_alone
from infra.settings import Settings

COMMANDS = [
    "demo",
    "simulate",
    "nightly",
    "rollback",
    "publications",
    "tune",
    "doctor",
    "dbt",
    "up",
    "identity",
    "loads",
]


def test_help_lists_every_command_and_no_other() -> None:
    done = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert done.exit_code == 0
    lines = done.output.partition("Commands")[2].splitlines()
    assert [line.split()[1] for line in lines if len(line.split()) > 2] == COMMANDS


@pytest.mark.parametrize("arguments", [("nightly", "--date", "tomorrow"), ("identity", "accept", "person", "tomorrow")])
def test_a_date_that_is_none_is_named_with_the_form_it_needs(arguments: tuple[str, ...]) -> None:
    more = ["--why", "tried", "--who", "ada"] if arguments[0] == "identity" else []
    done = CliRunner().invoke(app, [*arguments, *more], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert done.exit_code == 2
    assert "expected a date as YYYY-MM-DD. Received: 'tomorrow'" in done.output


def test_one_process_at_a_time_runs_nights_in_a_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    refused = pytest.raises(HomeInUseError, match=r"\(crossrec up\) since .*Remedy: wait until it is done")
    with home_alone(settings, "crossrec up"), refused, home_alone(settings, "crossrec nightly"):
        pass
    with home_alone(settings, "crossrec nightly"):
        pass


def test_a_demo_of_another_size_stays_and_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "demo" / "truth" / "built.json"
    marker.parent.mkdir(parents=True)
    marker.write_text('{"size": "full"}')
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["demo", "--size", "small"], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert "holds the full demo" in done.output
    assert "--demo-size full" in done.output
    assert marker.read_text() == '{"size": "full"}'


def test_a_rollback_without_a_reason_is_refused_where_nobody_can_be_asked() -> None:
    done = CliRunner().invoke(app, ["rollback", "--apply"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert done.exit_code == 2
    assert "needs a reason, such as --why" in done.output
