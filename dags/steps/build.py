"""Steps 3 and 5: dbt builds the warehouse, before and after linkage."""

from dags.steps.night import Night
from infra.warehouse import dbt_vars, run_dbt


def build_prepared(night: Night) -> None:
    """Staging and intermediate models, with their tests."""
    _build(night, "tag:prepare")


def build_marts(night: Night) -> None:
    """Marts, with their tests."""
    _build(night, "tag:marts")


def _build(night: Night, select: str) -> None:
    run_dbt(
        night.settings,
        ["build", "--select", select, "--exclude", "test_type:unit", "--fail-fast"],
        dbt_vars(night.settings, night.as_of, list(night.platforms)),
        on_node=lambda name, number, total: night.tick(f"dbt {number}/{total} {name}"),
    )
