"""Candidates of a past without the future, and candidates without the events of some platforms."""

from collections.abc import Sequence
from datetime import date

import pyarrow as pa

from infra.counterfactuals.warehouse import Rows, copied
from infra.platforms.relation import literal
from infra.settings import Settings
from infra.warehouse import connect, lock, query, run_dbt

MADE = ("candidates", "person_sequences")
BUILT = ["run", "--select", *(f"int_events+,+{name}" for name in MADE), "--exclude", "int_events", "candidate_pairs"]


def candidates_at(settings: Settings, snapshot: date, as_of: date, *, future: str) -> pa.Table:
    """The candidates of a labelled snapshot, for persons with labels in it, with features built anew in the night of ``as_of``.

    ``future`` is a SQL condition on ``event_id``: which of the events exist that happened or became known at the snapshot or later. It
    is on ``event_id`` alone, so that all versions of an event are there or none. The labels are made of these events.
    """
    corrected = f"case when superseded_at < $snapshot or ({future}) then superseded_at end"
    events = Rows(
        f"(occurred_at < $snapshot and known_at < $snapshot) or ({future})",
        {"snapshot": snapshot},
        f"* replace ({corrected} as superseded_at)",
    )
    with copied(settings, events, Rows("as_of = $snapshot", {"snapshot": snapshot})) as copy:
        run_dbt(copy, BUILT, as_of)
        joined = "marts.candidates left join marts.person_sequences using (as_of, person_id, platform)"
        return query(copy, f"from {joined} where as_of = $snapshot", {"snapshot": snapshot})


def replace_candidates(settings: Settings, as_of: date, *, targets: Sequence[str], without: Sequence[str]) -> None:
    """Replace the candidates of the platforms ``targets`` by what they are where nothing ever happened on those of ``without``.

    The candidates of all snapshots are replaced, and the examples that are made of them.
    """
    events = Rows("not list_contains($sources, platform)", {"sources": list(without)})
    pairs = Rows("list_contains($targets, platform)", {"targets": list(targets)})
    with copied(settings, events, pairs) as copy:
        run_dbt(copy, BUILT, as_of)
        with connect(settings, read_only=False) as warehouse, lock(copy, "reads", shared=True):
            warehouse.execute(f"attach {literal(str(copy.warehouse_path))} as copy (read_only)")
            warehouse.begin()
            for table in ("candidate_sources", *MADE):
                warehouse.execute(f"delete from marts.{table} where {pairs.where}", dict(pairs.parameters))
            for table in ("candidate_sources", "candidates"):
                for kept in KEPT:
                    warehouse.execute(
                        f"insert into marts.{table} by name select made.* from copy.marts.{table} as made {kept}"
                    )
            warehouse.execute("insert into marts.person_sequences by name from copy.marts.person_sequences")
            warehouse.commit()
    run_dbt(settings, ["build", "--select", "training_examples", "--full-refresh"], as_of)


# a product that a person had on an excluded platform is still no news to them, but for what the target itself offers again
KEPT = (
    "anti join marts.positive_interactions using (as_of, person_id, product_id)",
    "semi join (from copy.marts.candidate_sources where generator = 'repeats') as repeats"
    " using (as_of, person_id, platform, product_id)",
)
