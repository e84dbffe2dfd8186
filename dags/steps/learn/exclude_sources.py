"""Step 6: candidates are made without the sources that gate `transfer` judged to be of no help."""

import logging
from collections.abc import Mapping, Sequence

from dags.steps.dbt import build
from dags.steps.night import Night
from dags.steps.records import JudgedSources
from infra.counterfactuals.candidates import replace_candidates
from infra.excluded_sources import read_excluded, write_excluded

log = logging.getLogger(__name__)

MADE_ANEW = ("candidate_sources", "candidates", "person_sequences")  # built by hand, they hold every source again


def exclude_sources(night: Night) -> None:
    """Declare which sources are excluded, and make the candidates of their targets as if nothing had happened there.

    The candidates of all other platforms stay as they are.
    """
    wanted, applied = night.read(JudgedSources).excluded, read_excluded(night.lake)
    if applied not in ({}, wanted):
        log.info("other sources are excluded than before; all candidates are built again")
        build(night, "candidate_sources+ person_sequences", "--full-refresh")
    # first: if this task is killed halfway, the next run sees that some candidates may be without these sources
    write_excluded(night.lake, wanted)
    _replace(night, wanted)


def apply_again(night: Night, built: Sequence[str]) -> None:
    """Keep the declared exclusion in force after a build by hand. ``built`` are the names of the models that it built."""
    excluded = read_excluded(night.lake)
    if excluded and {*MADE_ANEW} & {*built}:
        for target, sources in excluded.items():
            log.info(f"{target} does without {', '.join(sources)}: its candidates are made again without them")
        _replace(night, excluded)


def _replace(night: Night, excluded: Mapping[str, Sequence[str]]) -> None:
    for without in sorted({tuple(sources) for sources in excluded.values()}):
        targets = [target for target, sources in excluded.items() if tuple(sources) == without]
        log.debug(f"building candidates of {', '.join(targets)} without {', '.join(without)}")
        replace_candidates(night.settings, night.as_of, targets=targets, without=without)
