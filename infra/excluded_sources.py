"""The sources that are left out of the candidates in the warehouse: a declared fact, which models and commands read."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from infra.lake import Lake, read_table, write_table

EXCLUDED = "transfer/excluded.parquet"
SCHEMA = pa.schema([("target", pa.string()), ("source", pa.string())])


def read_excluded(lake: Lake) -> dict[str, tuple[str, ...]]:
    """By platform (`target`), the platforms whose events its candidates are made without; sorted."""
    try:
        rows = read_table(lake, EXCLUDED).to_pylist()
    except FileNotFoundError:
        return {}
    targets = sorted({row["target"] for row in rows})
    return {target: tuple(sorted(row["source"] for row in rows if row["target"] == target)) for target in targets}


def write_excluded(lake: Lake, excluded: Mapping[str, Sequence[str]]) -> None:
    """Replace the declared fact. An empty one is written too, so that models can read it."""
    rows = [{"target": target, "source": source} for target in sorted(excluded) for source in sorted(excluded[target])]
    write_table(lake, EXCLUDED, pa.Table.from_pylist(rows, SCHEMA))
