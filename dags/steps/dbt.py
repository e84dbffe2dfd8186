"""How steps build models of dbt."""

import logging

from dags.steps.night import Night
from infra.warehouse import dbt_vars, run_dbt

log = logging.getLogger(__name__)


def build(night: Night, select: str, *options: str) -> None:
    """Build the selected models with the variables of the night, and run their data tests."""
    run_dbt(
        night.settings,
        ["build", "--select", select, "--exclude", "test_type:unit", "--fail-fast", *options],
        dbt_vars(night.settings, night.as_of, list(night.platforms)),
        on_node=lambda name, number, total: log.debug(f"dbt {number}/{total} {name}"),
    )
