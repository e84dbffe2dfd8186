"""What every test can rely on: markers from folders, and no setting of the machine that runs it."""

import os
from pathlib import Path

import pytest

from infra.deploy.embedded import KEEP_MEMORY, QUIET
from infra.settings import Settings

pytest_plugins = ["tests.homes", "tests.servers"]

FOLDERS = ("dags", "dbt", "e2e")
MACHINE = ("AIRFLOW_", "AWS_", "CROSSREC_", "MLFLOW_")


TESTS = Path(__file__).parent
# Files that take six seconds or more. `make test` starts with them, in this order, so that all processes end together:
# first what the two nights are built for, and what does not wait for them. `make test-fast` leaves all of them out.
SLOW = (
    "e2e/test_two_nights.py",
    "dbt/test_models.py",
    "e2e/test_interrupted.py",
    "dbt/test_future.py",
    "dbt/test_repeats.py",
    "dbt/test_by_hand.py",
    "e2e/test_newcomers.py",
    "e2e/test_identity_decisions.py",
    "e2e/test_up.py",
    "e2e/test_gates_stop.py",
    "e2e/test_bad_input.py",
    "e2e/test_identifiers.py",
    "e2e/test_transfer.py",
    "e2e/test_identity_vault.py",
    "e2e/test_identity.py",
    "e2e/test_tuning.py",
    "e2e/test_new_feature.py",
    "infra/mlflow/test_self_contained.py",
    "ml/ranking/test_training.py",
    "ml/identity/test_people.py",
    "infra/mlflow/test_registry.py",
    "infra/mlflow/test_addresses.py",
    "ml/identity/test_products.py",
    "infra/demo/test_build.py",
    "dags/learn/test_train.py",
    "ml/ranking/test_tuning.py",
    "ml/ranking/test_objectives.py",
    "ml/ranking/test_wide_deep.py",
    "ml/retrieval/test_towers.py",
    "ml/evaluation/test_error_rates.py",
)
NIGHTS_OF_DBT = {"new_warehouse", "nightly", "backfilled"}  # fixtures: their tests share warehouses


def pytest_configure() -> None:
    """Before anything is imported that reads the environment."""
    if gone := [name for name in SLOW if not (TESTS / name).exists()]:
        raise pytest.UsageError(
            f"tests/conftest.py: SLOW names {', '.join(gone)}, which is no file. Remove or rename it."
        )
    for name in [name for name in os.environ if name.startswith(MACHINE)]:
        del os.environ[name]
    # test processes share the cores, and TensorFlow's sums depend on the number of its threads
    os.environ |= QUIET | KEEP_MEMORY | Settings(threads=1).tensorflow_environment()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by its folder: a test in tests/dags is marked `dags`, and so on; any other is a unit test.

    Several processes share the tests by group: all tests of one file go to one process, and so do all tests of tests/dbt
    that need whole nights.
    """
    path = item.path.relative_to(TESTS)
    item.add_marker(path.parts[0] if path.parts[0] in FOLDERS else "unit")
    if str(path) in SLOW:
        item.add_marker("slow")
    nights = path.parts[0] == "dbt" and NIGHTS_OF_DBT & {*getattr(item, "fixturenames", ())}
    item.add_marker(pytest.mark.xdist_group("nights of dbt" if nights else str(path)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `SLOW` first, in its order."""
    order = {name: number for number, name in enumerate(SLOW)}
    items.sort(key=lambda item: order.get(str(item.path.relative_to(TESTS)), len(SLOW)))


@pytest.fixture(autouse=True)
def _settings_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test, or the code it ran, left in the environment is gone."""
    for name in [name for name in os.environ if name.startswith("CROSSREC_")]:
        monkeypatch.delenv(name)
