"""Step 3: dbt builds what the linkage reads."""

from dags.steps.dbt import build
from dags.steps.night import Night


def prepare(night: Night) -> None:
    """Build the staging and intermediate models, with their tests."""
    build(night, "tag:prepare")
