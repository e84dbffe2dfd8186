"""What a night needs, looked at one thing at a time: each finding says whether it is there, and else what to do."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from infra.lake import open_lake
from infra.platforms import Platform, check_connection, load_platforms
from infra.settings import Settings
from infra.warehouse import DBT_PROJECT, connect


@dataclass(frozen=True)
class Finding:
    subject: str
    healthy: bool
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, in the order in which a night would come to need them."""
    yield _try("installation", _installation)
    yield _try("settings", lambda: _settings(settings))
    for platform in load_platforms(DBT_PROJECT / "models" / "staging"):
        yield _try(f"platform {platform.name}", partial(_platform, platform, settings))
    yield _try(f"lake {settings.lake_uri}", lambda: _lake(settings))
    yield _try(f"warehouse {settings.warehouse_path}", lambda: _warehouse(settings))
    yield _try(f"MLflow {settings.mlflow_name}", lambda: _mlflow(settings))


def _try(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, check())
    except Exception as error:  # whatever is wrong is reported, and the next thing is looked at
        remedy = "" if "Remedy:" in str(error) else f" Remedy: {REMEDIES[subject.split()[0]]}"
        return Finding(subject, False, f"{error}{remedy}")


REMEDIES = {
    "installation": "run `make setup`",
    "settings": "see docs/settings.md",
    "platform": "see docs/add-a-platform.md",
    "lake": "set CROSSREC_LAKE to a folder or bucket that can be written, and check the AWS credentials",
    "warehouse": "let the night that writes it finish; if the file is damaged, delete it: the next night builds it again from the lake",
    "MLflow": "check CROSSREC_MLFLOW_TRACKING_URI; run `mlflow db upgrade` on an SQLite file of another MLflow version",
}


def _installation() -> str:
    for package in ("airflow", "dbt.cli", "duckdb", "great_expectations", "mlflow", "tensorflow"):
        importlib.import_module(package)
    return f"Python {sys.version.split()[0]}, every package imports"


def _settings(settings: Settings) -> str:
    if settings.uses_demo_token_key:
        return "defaults; tokens are made with the demo's key: set CROSSREC_TOKEN_KEY before real data comes in"
    return "tokens are made with your own key"


def _platform(platform: Platform, settings: Settings) -> str:
    seen = check_connection(platform, settings)
    return "\n    ".join([f"{len(platform.tables)} tables can be read", *seen])


def _lake(settings: Settings) -> str:
    key, lake = "doctor/probe", open_lake(settings)
    lake.put(key, b"probe")
    lake.delete(key)
    return "can be written"


def _warehouse(settings: Settings) -> str:
    if not settings.warehouse_path.exists():
        return "not built yet; the first night builds it"
    with connect(settings, wait=0) as warehouse:
        [(tables,)] = warehouse.execute("select count(*) from duckdb_tables()").fetchall()
    return f"{tables} tables"


def _mlflow(settings: Settings) -> str:
    from infra.mlflow.registry import Registry

    champion = Registry(settings).champion()
    return f"champion is version {champion.version}" if champion else "no champion yet; the first night makes one"
