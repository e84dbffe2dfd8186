"""Candidates as they would be had some events not happened, built by the same models in a copy of the warehouse."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date

import duckdb
import pyarrow as pa

from infra.platforms.relation import literal
from infra.settings import Settings
from infra.warehouse import connect, lock, query, run_dbt

# whom candidates are made for is asked, and at a labelled cut it is the labels' to say
MADE = ("candidates", "person_sequences")
BUILT = ["run", "--select", *(f"int_events+,+{name}" for name in MADE), "--exclude", "int_events", "candidate_pairs"]
TOLERANCE = 1e-6  # relative: sums of floats differ in their last digits with the order in which threads add
# accounts, items and their identity have no past, so every build has tonight's
WITHOUT_TIME = """
select schema_name, table_name
from duckdb_tables()
where
    database_name = 'present'
    and schema_name in ('seeds', 'intermediate', 'marts')
    and table_oid not in (
        select table_oid from duckdb_columns() where database_name = 'present' and column_name in ('as_of', 'occurred_at')
    )
"""
# `future` is a condition on event_id alone, so that all versions of an event go together
UP_TO = """
create table intermediate.int_events as
select * replace (case when superseded_at < $cut or ({future}) then superseded_at end as superseded_at)
from present.intermediate.int_events
where (occurred_at < $cut and known_at < $cut) or ({future})
"""
WITHOUT = """
create table intermediate.int_events as
from present.intermediate.int_events
where not list_contains($sources, platform)
"""
# what a person did there still counts as had: nobody is offered it again, but for what they take again on the target itself
NOT_HAD = """
insert into marts.{table} by name
select counterfactual.*
from copy.marts.{table} as counterfactual
anti join marts.positive_interactions using (as_of, person_id, product_id)
union all
select counterfactual.*
from copy.marts.{table} as counterfactual
semi join (from copy.marts.candidate_sources where generator = 'repeats') as repeats
    using (as_of, person_id, platform, product_id)
"""


def candidates_at(settings: Settings, cut: date, as_of: date, platforms: Sequence[str], *, future: str) -> pa.Table:
    """The candidates of those whom a labelled cut has labels for, with features built anew as in the night of ``as_of``.

    ``future`` is a SQL condition on ``event_id``: which events that happened or became known at the cut or later exist; the
    labels are made of these.
    """
    with _copy(settings, UP_TO.format(future=future), {"cut": cut}, "as_of = $cut", {"cut": cut}) as copy:
        run_dbt(copy, BUILT, as_of)
        joined = "from marts.candidates left join marts.person_sequences using (as_of, person_id, platform)"
        return query(copy, f"{joined} where as_of = $cut", {"cut": cut})


def replace_candidates(
    settings: Settings, as_of: date, platforms: Sequence[str], *, targets: Sequence[str], without: Sequence[str]
) -> None:
    """The candidates of the platforms ``targets`` become what they are where nothing ever happened on those of ``without``.

    All cuts are replaced, and the examples made of them.
    """
    every_cut = "list_contains($targets, platform)"
    with _copy(settings, WITHOUT, {"sources": list(without)}, every_cut, {"targets": list(targets)}) as copy:
        run_dbt(copy, BUILT, as_of)
        with connect(settings, read_only=False) as warehouse:
            warehouse.execute(f"attach {literal(str(copy.warehouse_path))} as copy (read_only)")
            warehouse.begin()
            for table in ("candidate_sources", *MADE):
                warehouse.execute(
                    f"delete from marts.{table} where list_contains($targets, platform)", {"targets": list(targets)}
                )
            for table in ("candidate_sources", "candidates"):
                warehouse.execute(NOT_HAD.format(table=table))
            warehouse.execute("insert into marts.person_sequences by name from copy.marts.person_sequences")
            warehouse.commit()
    run_dbt(settings, ["build", "--select", "training_examples", "--full-refresh"], as_of)


def moved(before: pa.Table, after: pa.Table, features: Sequence[str]) -> dict[str, int]:
    """In how many candidates that both tables have each feature differs, most first."""
    counts = ", ".join(
        f'count(*) filter (where {_differs(name, before.schema.field(name).type)}) as "{name}"' for name in features
    )
    with closing(duckdb.connect()) as connection:
        connection.register("before", before)
        connection.register("after", after)
        [row] = (
            connection.execute(f"select {counts} from before join after using (person_id, platform, item_id)")
            .to_arrow_table()
            .to_pylist()
        )
    return dict(sorted(row.items(), key=lambda found: -found[1]))


def candidates_of_one_alone(before: pa.Table, after: pa.Table) -> int:
    """How many candidates only one of the tables has."""
    keys = ["person_id", "platform", "item_id"]
    return sum(
        one.select(keys).join(other.select(keys), keys, join_type="left anti").num_rows
        for one, other in ((before, after), (after, before))
    )


def _differs(name: str, kind: pa.DataType) -> str:
    one, other = f'before."{name}"', f'after."{name}"'
    differs = f"{one} is distinct from {other}"
    if pa.types.is_floating(kind):
        close = f"abs({one} - {other}) <= {TOLERANCE} * greatest(abs({one}), abs({other}))"
        differs += f" and not coalesce({close}, false)"
    return differs


@contextmanager
def _copy(
    settings: Settings, events: str, of_events: Mapping[str, object], pairs: str, of_pairs: Mapping[str, object]
) -> Iterator[Settings]:
    """A warehouse with all that the marts by cut are made of, and none of them; gone at the end of the block.

    ``events`` is the SQL that makes its events, ``pairs`` the condition on the pairs that get candidates; each with parameters.
    """
    folder = settings.home.resolve() / "work" / "counterfactual"
    shutil.rmtree(folder, ignore_errors=True)  # a killed one's
    folder.mkdir(parents=True)
    # a home of its own: dbt parses all models again where the warehouse is another than the last time
    own = {
        "home": settings.home / "dbt" / "counterfactual",
        "lake": settings.lake_uri,
        "warehouse": folder / "warehouse.duckdb",
    }
    copy = Settings(**settings.model_dump() | own)
    try:
        with lock(settings, "reads", shared=True), connect(copy, read_only=False) as warehouse:
            warehouse.execute(f"attach {literal(str(settings.warehouse_path))} as present (read_only)")
            for schema in ("seeds", "intermediate", "marts"):
                warehouse.execute(f"create schema {schema}")
            for schema, table in warehouse.execute(WITHOUT_TIME).fetchall():
                warehouse.execute(f"create table {schema}.{table} as from present.{schema}.{table}")
            warehouse.execute(events, of_events)
            warehouse.execute(
                f"create table marts.candidate_pairs as from present.marts.candidate_pairs where {pairs}", of_pairs
            )
            warehouse.execute(
                "create table marts.snapshots as from present.marts.snapshots"
                " where as_of in (select as_of from marts.candidate_pairs)"
            )
        yield copy
    finally:
        shutil.rmtree(folder)
