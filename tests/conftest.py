"""What every test can rely on: markers from folders, and no setting of the machine that runs it."""

import os
from pathlib import Path

import pytest

from infra.deploy.embedded import QUIET

pytest_plugins = ["tests.homes", "tests.servers"]

FOLDERS = ("dags", "dbt", "e2e")
MACHINE = ("AIRFLOW_", "AWS_", "CROSSREC_", "MLFLOW_")


def pytest_configure() -> None:
    """Before anything is imported that reads the environment."""
    for name in [name for name in os.environ if name.startswith(MACHINE)]:
        del os.environ[name]
    os.environ |= QUIET


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test in tests/dags is marked `dags`, and so on; any other is a unit test.

    Where there are several processes, the tests of a file stay together, and those of tests/dbt, which share a warehouse.
    """
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    item.add_marker(folder if folder in FOLDERS else "unit")
    item.add_marker(pytest.mark.xdist_group(folder if folder == "dbt" else item.path.name))


@pytest.fixture(autouse=True)
def _settings_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test, or the code it ran, left in the environment is gone."""
    for name in [name for name in os.environ if name.startswith("CROSSREC_")]:
        monkeypatch.delenv(name)
