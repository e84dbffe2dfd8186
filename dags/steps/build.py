"""Steps 3 and 5: dbt builds the warehouse, before and after linkage."""

from dags.steps.night import Night
from dags.steps.train import feature_spec
from infra.warehouse import dbt_vars, query, run_dbt


def build_prepared(night: Night) -> None:
    """Staging and intermediate models, with their tests."""
    _build(night, "tag:prepare")


def build_marts(night: Night) -> None:
    """Marts, with their tests. A feature that the YAML declares and the candidates lack is filled in at every cut."""
    _build(night, "tag:marts", *(["--full-refresh"] if _new_features(night) else []))


def _new_features(night: Night) -> list[str]:
    """Declared feature columns that the candidates of earlier nights were built without."""
    if not night.settings.warehouse_path.exists():
        return []
    present = query(
        night.settings,
        "select column_name from information_schema.columns where table_schema = 'marts' and table_name = 'candidates'",
    )["column_name"].to_pylist()
    new = sorted(set(feature_spec().columns) - set(present)) if present else []
    if new:
        night.say(f"new features: {', '.join(new)}; all cuts are built again")
    return new


def _build(night: Night, select: str, *options: str) -> None:
    run_dbt(
        night.settings,
        ["build", "--select", select, "--exclude", "test_type:unit", "--fail-fast", *options],
        dbt_vars(night.settings, night.as_of, list(night.platforms)),
        on_node=lambda name, number, total: night.tick(f"dbt {number}/{total} {name}"),
    )
