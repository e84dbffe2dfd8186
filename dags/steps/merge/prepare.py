"""Step 4: dbt builds what the linkage reads."""

from dags.steps.dbt import STAGE, build
from dags.steps.night import Night


def prepare(night: Night) -> None:
    """Build the intermediate models, with their tests. Step `stage` built what they read."""
    build(night, "tag:prepare", exclude=STAGE)
