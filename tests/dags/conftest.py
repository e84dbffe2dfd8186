"""The DAG as Airflow loads it, with Airflow's own files in a folder of the test session; and a shop that nights load."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dags.shop import DECLARED, Shop


@pytest.fixture(scope="session")
def dag_bag(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("airflow")
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
    }
    from airflow.dag_processing.dagbag import DagBag

    from infra.settings import PROJECT_ROOT

    return DagBag(PROJECT_ROOT / "dags")


@pytest.fixture(scope="session")
def nightly(dag_bag: Any) -> Any:
    return dag_bag.dags["nightly"]


@pytest.fixture
def new_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Shop]:
    """``new_shop(name)``: the same shop in a home of its own, in which no night has run."""
    project = tmp_path / "dbt_project"
    declared = project / "models" / "staging" / "shop" / "_shop__sources.yml"
    declared.parent.mkdir(parents=True)
    declared.write_text(DECLARED)
    monkeypatch.setattr("dags.steps.night.DBT_PROJECT", project)

    def new(name: str) -> Shop:
        shop = Shop(tmp_path / name)
        (shop.home / "demo").mkdir(parents=True)
        shop.sql(
            "create table customers (customer_no text, updated_at text)",
            "create table orders (order_no text, recorded_at text)",
        )
        for day in range(10, 19):
            shop.sql(f"insert into customers values ('c{day}', '2000-12-{day} 09:00:00')")
            shop.sql(
                *(f"insert into orders values ('o{day}-{n:03}', '2000-12-{day} 10:00:00')" for n in range(100)),
            )
        return shop

    return new


@pytest.fixture
def shop(new_shop: Callable[[str], Shop]) -> Shop:
    return new_shop("home")
