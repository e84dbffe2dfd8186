"""How two builds of the same candidates differ."""

from collections.abc import Sequence
from contextlib import closing

import duckdb
import pyarrow as pa

KEYS = ["person_id", "platform", "item_id"]
TOLERANCE = 1e-6  # relative: sums of floats differ in their last digits with the order in which threads add


def moved(before: pa.Table, after: pa.Table, features: Sequence[str]) -> dict[str, int]:
    """The number of candidates of both tables in which each feature differs; the feature with most comes first.

    Both tables have the columns of `KEYS` and all ``features``. Floats differ beyond a relative `TOLERANCE`.
    """
    counts = ", ".join(
        f'count(*) filter (where {_differs(name, before.schema.field(name).type)}) as "{name}"' for name in features
    )
    with closing(duckdb.connect()) as connection:
        connection.register("before", before)
        connection.register("after", after)
        sql = f"select {counts} from before join after using (person_id, platform, item_id)"
        [row] = connection.execute(sql).to_arrow_table().to_pylist()
    return dict(sorted(row.items(), key=lambda found: -found[1]))


def candidates_of_one_alone(before: pa.Table, after: pa.Table) -> int:
    """The number of candidates that only one of the tables has."""
    return sum(
        one.select(KEYS).join(other.select(KEYS), KEYS, join_type="left anti").num_rows
        for one, other in ((before, after), (after, before))
    )


def _differs(name: str, kind: pa.DataType) -> str:
    one, other = f'before."{name}"', f'after."{name}"'
    differs = f"{one} is distinct from {other}"
    if pa.types.is_floating(kind):
        close = f"abs({one} - {other}) <= {TOLERANCE} * greatest(abs({one}), abs({other}))"
        differs += f" and not coalesce({close}, false)"
    return differs
