"""The DAG as Airflow loads it, with Airflow's own files in a folder of the test session."""

import os
from typing import Any

import pytest


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
