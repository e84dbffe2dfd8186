"""How steps build models of dbt."""

from dags.steps.night import Night
from infra.warehouse import run_dbt

STAGE = "tag:stage"  # seeds, staging and the profiles of loads, which a gate judges before anything reads staging
LISTS = "tag:lists"  # read the ranked rows of the night, which are not there before every shard is scored


def build(night: Night, select: str, *options: str, exclude: str = "") -> None:
    """Build the selected models for the night with their data tests; models of lists only where they are asked for."""
    unwanted = ["test_type:unit", *([] if select == LISTS else [LISTS]), *exclude.split()]
    # dbt would count exposures among the nodes that it builds, though there is nothing to build
    unwanted += ["--exclude-resource-type", "exposure"]
    run_dbt(night.settings, ["build", "--select", select, "--exclude", *unwanted, "--fail-fast", *options], night.as_of)
