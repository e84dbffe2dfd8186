"""Gate `sources`: what one platform's loads must look like before anything is built on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx

VOLUME_RANGE = (0.1, 10.0)
SMALLEST_VOLUME = 100
SMALLEST_BASE = 500


@dataclass(frozen=True)
class LoadProfile:
    """One declared table of a platform as tonight's load left it; without one, only its age and `rows_read_total` count.

    rows                  rows of tonight's load, unreadable ones included
    previous_rows_median  median rows of the loads before, without the first, which carries all history;
                          None while there are fewer than three
    rows_read_total       rows of all loads up to tonight's
    missing_columns       declared columns the source no longer has
    changed_types         columns whose source type is neither the first load's nor the declared one, as "column: old -> new"
    undeclared_columns    how many source columns nobody declared; they are not extracted, and their names are not kept
    age_days              nights since the last good load (0: tonight's); None: there never was one
    max_staleness_days    the platform's declared `max_staleness_days`
    null_key_share, duplicate_key_share, unreadable_share   of tonight's rows, 0..1
    undated_share         of tonight's rows, those whose watermark is missing or no time, 0..1
    uncounted_rows        rows of the source that are in no count: not read before, tonight or later
    lost_record_share     of the records of files that came again, those that the files have no more, 0..1
    gone_share            of the keys of a table that is compared whole, those that the source has no more since the last load, 0..1
    """

    table: str
    rows: int
    previous_rows_median: float | None
    rows_read_total: int
    missing_columns: Sequence[str] = ()
    changed_types: Sequence[str] = ()
    undeclared_columns: int = 0
    age_days: int | None = 0
    max_staleness_days: int = 3
    null_key_share: float = 0.0
    duplicate_key_share: float = 0.0
    unreadable_share: float = 0.0
    undated_share: float = 0.0
    uncounted_rows: int = 0
    lost_record_share: float = 0.0
    gone_share: float = 0.0


SCHEMA = pa.schema(
    [
        ("table", pa.string()),
        ("rows_read_total", pa.int64()),
        ("missing_columns", pa.string()),
        ("changed_types", pa.string()),
        ("undeclared_columns", pa.int64()),
        ("volume_ratio", pa.float64()),
        ("age_days", pa.int64()),
        ("days_past_staleness", pa.int64()),
        ("null_key_share", pa.float64()),
        ("duplicate_key_share", pa.float64()),
        ("unreadable_share", pa.float64()),
        ("undated_share", pa.float64()),
        ("uncounted_rows", pa.int64()),
        ("lost_record_share", pa.float64()),
        ("gone_share", pa.float64()),
    ]
)


def frame(profiles: Iterable[LoadProfile]) -> pa.Table:
    """The frame that `suite` checks, one row per table.

    Shares are computed of at least SMALLEST_BASE rows, so that one bad row among thirty does not stop a quiet night.
    The volume ratio is null where neither tonight nor the median reaches SMALLEST_VOLUME rows.
    """
    return pa.Table.from_pylist([_row(profile) for profile in profiles], schema=SCHEMA)


def _row(load: LoadProfile) -> dict[str, object]:
    median = load.previous_rows_median
    comparable = median is not None and max(load.rows, median) >= SMALLEST_VOLUME
    weight = load.rows / max(load.rows, SMALLEST_BASE)
    return {
        "table": load.table,
        "rows_read_total": load.rows_read_total,
        "missing_columns": ", ".join(load.missing_columns) or None,
        "changed_types": ", ".join(load.changed_types) or None,
        "undeclared_columns": load.undeclared_columns,
        "volume_ratio": load.rows / max(median, 1.0) if comparable and median is not None else None,
        "age_days": load.age_days,
        "days_past_staleness": None if load.age_days is None else max(0, load.age_days - load.max_staleness_days),
        "null_key_share": load.null_key_share * weight,
        "duplicate_key_share": load.duplicate_key_share * weight,
        "unreadable_share": load.unreadable_share * weight,
        "undated_share": load.undated_share * weight,
        "uncounted_rows": load.uncounted_rows,
        "lost_record_share": load.lost_record_share,
        "gone_share": load.gone_share,
    }


def suite(platform: str) -> gx.ExpectationSuite:
    """Rules over `frame`: schema, volume, freshness, keys, readability."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    declaration = f"dbt_project/models/staging/{platform}/_{platform}__sources.yml"
    lower, upper = VOLUME_RANGE
    shares = [
        gxe.ExpectColumnValuesToBeBetween(
            column=column, max_value=limit, **severity(f"at most {limit:.1%} {what}", why=why, remedy=remedy)
        )
        for column, what, warn_at, stop_at, why, remedy in (
            (
                "null_key_share",
                "of a table's rows without a key",
                0.005,
                0.02,
                "a row without its key can be neither deduplicated nor corrected later; it goes to quarantine",
                "ask the platform's owner which job writes null keys; `intermediate.int_quality__quarantine` names the rows",
            ),
            (
                "duplicate_key_share",
                "of a table's rows repeating a key of the same load",
                0.01,
                0.05,
                "repeated keys mean that the source delivers twice, or that the declared key is not its key",
                f"compare the key declared in {declaration} with the source; fix whichever is wrong",
            ),
            (
                "unreadable_share",
                "of a table's rows unreadable",
                0.005,
                0.02,
                "unreadable rows are lost to the lists until the source sends them again",
                "look at `_unreadable` of tonight's raw files; most often a writer changed its format",
            ),
            (
                "undated_share",
                "of a table's rows without a watermark that is a time",
                0.005,
                1.0,  # a row of the present state needs no time of its own; it is known from when it was first seen
                "such rows count as known from the first night that saw them, so older snapshots cannot learn from them",
                f"ask the platform's owner, or declare date_order or timezone in {declaration}",
            ),
            (
                "lost_record_share",
                "of the records of changed files lost since they were read before",
                0.0,
                0.05,
                "a file that came again shorter was cut off, or rows were deleted; what it had before stays in the lake",
                "let the platform send the file again, or accept the load if the rows were deleted on purpose",
            ),
            (
                "gone_share",
                "of the keys of a table gone since the last load",
                0.005,
                0.1,
                "a table that loses its rows was cut off or filtered, and what is gone counts as deleted or unavailable",
                "let the platform restore the table, or accept the load if the rows were deleted on purpose",
            ),
        )
        for limit, severity in ((stop_at, stop), (warn_at, warn))
        if limit < 1
    ]
    return gx.ExpectationSuite(
        name="loads",
        meta={"named_by": "table"},
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                **stop(
                    "at least one declared table",
                    why="a platform without tables adds nothing and would pass every other check",
                    remedy=f"declare its tables in {declaration}, or remove the platform's folder",
                ),
            ),
            gxe.ExpectColumnValuesToBeNull(
                column="missing_columns",
                **stop(
                    "every declared column in the source",
                    why="the models read these columns; without them they fail or turn silently null",
                    remedy=f"restore the columns in the source, or drop them from {declaration} and the models",
                ),
            ),
            gxe.ExpectColumnValuesToBeNull(
                column="changed_types",
                **stop(
                    "every column with the type of the first load, or its declared data_type",
                    why="a changed type turns numbers into text or shifts times without an error anywhere",
                    remedy="undo the change in the source and run its extract again; if it is meant, adapt the "
                    f"staging model and declare the new type as the column's data_type in {declaration}",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="undeclared_columns",
                value_set=[0],
                **warn(
                    "no column that nobody declared",
                    why="new columns are not extracted: something useful, or an identifier, may have appeared",
                    remedy="compare the source's columns with the declaration, and declare the new ones in "
                    f"{declaration} (or as `identifier: drop`)",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="rows_read_total",
                min_value=1,
                **stop(
                    "rows in every table, tonight or before",
                    why="an empty table is mostly a wrong name, a wrong database or a lost permission",
                    remedy=f"count the rows in the source with the connection that {declaration} names",
                ),
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="age_days",
                **stop(
                    "a good load of every table, tonight's or an earlier one",
                    why="there is nothing to stand in for a table that was never loaded",
                    remedy="see the platform's extract task, then run it again",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="days_past_staleness",
                max_value=0,
                **warn(
                    "the last good load no older than the platform's max_staleness_days",
                    why="lists built on older data recommend what people already have, so the platform keeps its published "
                    "lists as they are",
                    remedy="bring the platform back, or decide about its held loads (`crossrec loads list`); to make lists "
                    f"from older data, raise max_staleness_days in {declaration}",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="age_days",
                max_value=0,
                **warn(
                    "tonight's load of every table",
                    why="the platform was down or its load is held: the night uses its last good load",
                    remedy="see the platform's extract task and `crossrec loads list`; beyond max_staleness_days (the days are "
                    "in brackets) the platform gets no new lists",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="volume_ratio",
                min_value=lower,
                max_value=upper,
                **warn(
                    f"between {lower:g} and {upper:g} times the usual rows of a night",
                    why="a sudden fall is a broken feed, a sudden rise a replay or a robot",
                    remedy="ask the platform's owner; if it is real, nothing",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="uncounted_rows",
                value_set=[0],
                **stop(
                    "every row of the source read, known from an earlier load, or left for a later night",
                    why="a row that is in no count is lost without a word",
                    remedy="run the extract of the platform again; if it stays so, the reader of that technology loses rows",
                ),
            ),
            *shares,
        ],
    )
