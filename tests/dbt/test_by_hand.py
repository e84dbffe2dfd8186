"""Plain dbt in the folder of the project, as somebody types it who knows dbt and not crossrec."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dbt_common.context import get_invocation_context, set_invocation_context
from jinja2 import Environment

from infra.dbt_environment import Declarations
from infra.lake import open_lake
from infra.settings import PROJECT_ROOT, Settings
from infra.warehouse import DBT_PROJECT, connect, run_dbt
from tests.dbt.conftest import NIGHTS, Warehouse

Dbt = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What dbt parsed once is there for the next test."""
    return tmp_path_factory.mktemp("target")


@pytest.fixture
def dbt(target: Path) -> Dbt:
    """Runs `dbt` in the folder of the project, with nothing but the settings in the environment."""

    def dbt(settings: Settings, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            **settings.environment(),
            "PYTHONPATH": str(PROJECT_ROOT),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(settings.home / "logs"),
            **variables,
        }
        program = str(Path(sys.executable).parent / "dbt")
        return subprocess.run([program, *arguments], cwd=DBT_PROJECT, env=environment, capture_output=True, text=True)

    return dbt


def test_dbt_builds_and_tests_the_last_nights_models_and_describes_them(
    dbt: Dbt, target: Path, backfilled: Warehouse, copy_of: Callable[[Warehouse], Warehouse]
) -> None:
    copy = copy_of(backfilled)
    before = copy.content()
    with connect(copy.settings, read_only=False) as warehouse:
        for rows in ("staging.stg_shop__accounts", "marts.persons", "marts.snapshots where role != 'scoring'"):
            warehouse.execute(f"delete from {rows}")

    selected = ["stg_shop__accounts", "int_accounts", "snapshots", "persons", "objective_labels"]
    done = dbt(copy.settings, "build", "--select", *selected)

    assert done.returncode == 0, done.stdout
    assert "shop_customers_become_accounts" in done.stdout, "unit tests run too"
    assert copy.content() == before

    done = dbt(copy.settings, "docs", "generate")
    assert done.returncode == 0, done.stdout
    manifest = json.loads((target / "manifest.json").read_text())
    catalog = json.loads((target / "catalog.json").read_text())
    assert {"person_id", "platform"} <= {*catalog["nodes"]["model.crossrec.person_accounts"]["columns"]}
    exposed = {exposure["name"]: exposure["type"] for exposure in manifest["exposures"].values()}
    assert exposed == {"recommendation_lists": "application", "nightly_report": "dashboard", "ranker": "ml"}


def test_where_there_is_no_night_dbt_says_so_once(dbt: Dbt, tmp_path: Path) -> None:
    done = dbt(Settings(home=tmp_path), "build", "--select", "stg_shop__accounts", "persons")
    assert done.returncode == 2, "nothing was tried"
    said = "dbt knows no night yet: run `crossrec nightly` first, or set CROSSREC_DBT_AS_OF=YYYY-MM-DD"
    assert done.stdout.count(said) == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_a_date_that_is_none_is_told(dbt: Dbt, tmp_path: Path) -> None:
    done = dbt(Settings(home=tmp_path), "build", "--select", "persons", CROSSREC_DBT_AS_OF="yesterday")
    assert "CROSSREC_DBT_AS_OF is no date. Received: 'yesterday'. Remedy: write it as YYYY-MM-DD." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_run_by_command_leaves_the_environment_as_it_was(
    backfilled: Warehouse, copy_of: Callable[[Warehouse], Warehouse], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_of(backfilled)
    monkeypatch.setenv("CROSSREC_HOME", "/nowhere")
    monkeypatch.setenv("CROSSREC_DBT_AS_OF", "1999-01-01")
    before = {name: value for name, value in os.environ.items() if name.startswith("CROSSREC_")}
    run_dbt(copy.settings, ["run", "--select", "snapshots"], NIGHTS[2])
    assert {name: value for name, value in os.environ.items() if name.startswith("CROSSREC_")} == before
    assert copy.rows("select as_of from marts.snapshots where role = 'scoring'") == [(NIGHTS[2],)]


def test_another_project_in_the_same_environment_gets_nothing_of_ours() -> None:
    set_invocation_context({"HOME": "/home/somebody"})
    Declarations("jaffle_shop")
    assert get_invocation_context().env == {"HOME": "/home/somebody"}


# --- tools that read the project without starting dbt have the defaults that stand in it


@pytest.mark.parametrize("name", ["HORIZON_DAYS", "SNAPSHOT_EVERY_DAYS", "TRAINING_SNAPSHOTS", "MAX_EVENTS_PER_DAY"])
def test_the_defaults_of_macros_are_those_of_the_settings(name: str) -> None:
    macros = (DBT_PROJECT / "macros" / "night.sql").read_text()
    assert re.findall(rf"setting\('{name}', '(\d+)'\)", macros) == [str(Settings.model_fields[name.lower()].default)]


def test_the_default_of_platforms_names_no_folder_that_is_gone() -> None:
    [names] = re.findall(r"'CROSSREC_DBT_PLATFORMS', '(.*?)'", (DBT_PROJECT / "macros" / "platforms.sql").read_text())
    gone = [name for name in names.split(",") if not (DBT_PROJECT / "models" / "staging" / name).is_dir()]
    assert not gone, "leave them out in dbt_project/macros/platforms.sql"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"CROSSREC_HOME": "/data"},
        {"CROSSREC_HOME": "/data", "CROSSREC_WAREHOUSE": "/fast/marts.duckdb"},
    ],
)
def test_the_profile_finds_the_warehouse_of_the_settings(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    [path] = re.findall(r'path: "(.*)"', (DBT_PROJECT / "profiles.yml").read_text())
    rendered = Environment().from_string(path).render(env_var=lambda name, default: variables.get(name, default))
    assert (DBT_PROJECT / rendered).resolve() == Settings().warehouse_path


def test_dbt_reads_a_lake_on_s3(
    dbt: Dbt, s3_server: str, s3_bucket: str, backfilled: Warehouse, tmp_path: Path
) -> None:
    there = Settings(home=tmp_path, lake=f"s3://{s3_bucket}/crossrec", s3_endpoint=s3_server)
    lake, local = open_lake(there), open_lake(backfilled.settings)
    for key in local.list("raw/platform=forum/table=members/"):
        lake.put(key, local.read(key)[0])

    done = dbt(there, "run", "--select", "event_types", "stg_forum__accounts", CROSSREC_DBT_AS_OF=str(NIGHTS[-1]))

    assert done.returncode == 0, done.stdout
    assert Warehouse(there).rows("from staging.stg_forum__accounts") == backfilled.rows(
        "from staging.stg_forum__accounts"
    )
