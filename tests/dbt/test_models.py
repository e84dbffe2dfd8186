"""The rules of the dbt models: their unit tests, and what only whole runs can show."""

import pytest

from infra.warehouse import run_dbt

pytestmark = pytest.mark.dbt


def test_every_rule_of_the_models(empty_warehouse) -> None:
    """The unit tests beside the models; a failure shows which rows a model gave instead of those expected."""
    run_dbt(empty_warehouse.settings, ["test", "--select", "test_type:unit"], empty_warehouse.variables)
