"""Step 3: dbt stages the loads and counts what they say."""

from dags.steps.dbt import STAGE, build
from dags.steps.night import Night


def stage(night: Night) -> None:
    """Build the seeds, the staging models and the profiles of the loads, with their tests."""
    build(night, STAGE)
