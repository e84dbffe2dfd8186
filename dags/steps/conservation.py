"""The conservation table: what became of every row, by night, platform, table and load, from landed rows to lists.

Each gate proves its own lines, and leaves them in the night's folder `conservation` in the lake, one file a gate. Together
these files are the table. A line says: so many rows came to this stage, and they became these parts.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

import pyarrow as pa

from dags.steps.night import Night
from expectations.gate import run_gate
from expectations.reconciliation import LINE, LINES, frame, suite
from infra.platforms import Manifest, SourceTable, rows_in_files
from infra.report.facts import ConservationLine, ConservationPart
from infra.warehouse import query

log = logging.getLogger(__name__)

FOLDER = "conservation"


@dataclass(frozen=True)
class Line:
    """So many ``rows`` of a load came to a stage, and became the ``parts``. A count is None where it is not known.

    ``load_date`` is None for what is counted over all loads.
    """

    platform: str
    table: str
    load_date: date | None
    stage: str
    rows: int | None
    parts: Mapping[str, int | None] = field(default_factory=dict)


def prove(night: Night, gate: str, lines: Iterable[Line], *, remedy: str, platform: str | None = None) -> None:
    """Leave the lines in the lake, and check that each adds up and that few rows of tonight's loads are of no use.

    Raises:
        GateStopped: names each line that does not hold.
    """
    settings, table = night.settings, as_table(lines)
    rules = suite(gate, remedy=remedy, warn_unknown_ids=settings.warn_unknown_ids)
    result = run_gate(gate, rules, frame(table, night.as_of), as_of=night.as_of, platform=platform)
    night.write_table(night.key(f"{FOLDER}/{result.key}.parquet"), table)
    night.write(result, result.key)
    log.info(f"gate {result.key}: {result.verdict}")
    result.raise_if_stopped()


def as_table(lines: Iterable[Line]) -> pa.Table:
    """The lines with the columns of `expectations.reconciliation.LINES`: first the rows that came, then each part."""
    counts = [
        (line.platform, line.table, line.load_date, line.stage, part, rows)
        for line in sorted(lines, key=lambda line: (line.platform, line.table, str(line.load_date), line.stage))
        for part, rows in [(None, line.rows), *line.parts.items()]
    ]
    return pa.Table.from_pylist([dict(zip(LINES.names, row, strict=True)) for row in counts], LINES)


def conservation_of(night: Night) -> list[ConservationLine]:
    """The night's lines as the report shows them: tonight's loads, and all earlier loads together.

    A line of an earlier load that does not add up stands by itself.
    """
    tables = [night.read_table(key) for key in night.lake.list(night.key(f"{FOLDER}/"))]
    if not tables:
        return []
    rows = pa.concat_tables(tables).to_pylist()
    lines: list[ConservationLine] = []
    earlier: dict[tuple[str, str, str], list[ConservationLine]] = defaultdict(list)
    for (platform, table, load_date, stage), counts in groupby(rows, key=lambda row: tuple(row[name] for name in LINE)):
        parts = {row["part"]: row["rows"] for row in counts}
        line = ConservationLine(
            platform=platform,
            table=table,
            load_date=load_date,
            stage=stage,
            rows=parts.pop(None, None),
            parts=tuple(ConservationPart(name=name, rows=rows) for name, rows in parts.items()),
        )
        if load_date in (None, night.as_of) or line.difference != 0:
            lines.append(line)
        else:
            earlier[platform, table, stage].append(line)
    return lines + [_together(several) for several in earlier.values()]


def _together(lines: list[ConservationLine]) -> ConservationLine:
    """The sum of lines that add up, each of one load."""
    parts: dict[str, int] = defaultdict(int)
    for part in (part for line in lines for part in line.parts):
        parts[part.name] += part.rows or 0
    summed = tuple(ConservationPart(name=name, rows=rows) for name, rows in parts.items())
    changes = {"load_date": None, "earlier_loads": len(lines), "rows": sum(line.rows or 0 for line in lines)}
    return lines[0].model_copy(update={**changes, "parts": summed})


# --- the lines up to the core marts


def landed_lines(night: Night) -> Iterator[Line]:
    """Rows that tonight's loads say they brought, and rows that their files have. Every table, also one that is only joined."""
    for load in _loads(night):
        if load.as_of == night.as_of:
            yield Line(*_place(load), "landed", load.rows, {"landed": rows_in_files(night.lake, load, night.settings)})


def source_lines(night: Night) -> Iterator[Line]:
    """Rows that the source has by its own count, or records of the files that were read, and what the extract made of them."""
    for load in _loads(night):
        if load.as_of == night.as_of:
            counts = load.counts
            parts = {
                "read_before": counts.before_window,
                "known": counts.known,
                "waiting": counts.after_window + counts.waiting,
                "landed": counts.landed,
            }
            shown = {part: rows for part, rows in parts.items() if rows or part == "landed"}
            yield Line(*_place(load), "source", counts.in_source, shown)


def staged_lines(night: Night) -> Iterator[Line]:
    """Rows of each load by its manifest, which dbt never saw, and how staging classified them."""
    contracts = {
        (name, table.name) for name, one in night.platforms.items() for table in one.tables if _is_staged(table)
    }
    landed = {_place(load): load.rows for load in _loads(night) if (load.platform, load.table) in contracts}
    counted = query(night.settings, "from intermediate.int_quality__row_counts order by all").to_pylist()
    names = _tables(night)
    kinds = ("staged", "duplicate", "quarantined", "unreadable")
    staged = {
        (row["platform"], names[row["platform"], row["contract"]], row["load_date"]): {
            kind: row[f"rows_{kind}"] for kind in kinds if row[f"rows_{kind}"] or kind == "staged"
        }
        for row in counted
        if (row["platform"], row["contract"]) in names  # else it is made of another contract's table, which is counted
    }
    for place in sorted({*landed, *staged}):
        yield Line(*place, "staged", landed.get(place, 0), staged.get(place, {}))


def joined_lines(night: Night) -> Iterator[Line]:
    """Rows of each load of a table that is only joined into others, and what became of them.

    A model `stg_<platform>__<table>_fates` counts them (load_date, fate, fate_rows). Without one, nothing is said of the table.
    """
    counted = query(
        night.settings,
        "select table_name from information_schema.tables where table_schema = 'staging' and suffix(table_name, '_fates')",
    )["table_name"].to_pylist()
    for name, platform in night.platforms.items():
        for table in (table for table in platform.tables if not _is_staged(table)):
            model = f"stg_{name}__{table.name}_fates"
            if model not in counted:
                continue
            landed = {load.as_of: load.rows for load in night.loads(name, table.name)}
            fates: dict[date, dict[str, int | None]] = defaultdict(dict)
            for row in query(night.settings, f"from staging.{model} order by all").to_pylist():
                fates[row["load_date"]][row["fate"]] = row["fate_rows"]
            for load_date in sorted({*landed, *fates}):
                yield Line(name, table.name, load_date, "joined", landed.get(load_date, 0), fates[load_date])


def fate_lines(night: Night) -> Iterator[Line]:
    """Staged rows of each load, and what became of them: a row of a mart, or one named reason why not."""
    names = _tables(night)
    counted = query(night.settings, "from intermediate.int_quality__row_counts order by all").to_pylist()
    staged = {(row["platform"], row["contract"], row["load_date"]): row["rows_staged"] for row in counted}
    fates: dict[tuple[str, str, date], dict[str, int | None]] = defaultdict(dict)
    for row in query(night.settings, "from intermediate.int_quality__row_fates order by all").to_pylist():
        fates[row["platform"], row["contract"], row["load_date"]][row["fate"]] = row["fate_rows"]
    for platform, contract, load_date in sorted({*staged, *fates}):
        place = platform, contract, load_date
        if staged.get(place) or place in fates:
            table = names.get((platform, contract), contract)
            yield Line(platform, table, load_date, "fates", staged.get(place, 0), fates[place])


def gone_lines(night: Night) -> Iterator[Line]:
    """Keys of accounts and items that each load lacked by its manifest, and what they are now."""
    tables = {place: table for place, table in _tables(night).items() if place[1] in ("accounts", "items")}
    of_ids = {(platform, table) for (platform, _), table in tables.items()}
    fates: dict[tuple[str, str, date], dict[str, int | None]] = defaultdict(dict)
    for row in query(night.settings, "from intermediate.int_quality__gone_fates order by all").to_pylist():
        place = row["platform"], tables[row["platform"], row["contract"]], row["load_date"]
        fates[place][row["fate"]] = row["fate_rows"]
    gone = {
        _place(load): load.counts.gone
        for load in _loads(night)
        if load.counts.gone and (load.platform, load.table) in of_ids
    }
    for place in sorted({*gone, *fates}):
        yield Line(*place, "gone", gone.get(place, 0), fates[place])


def mart_lines(night: Night) -> Iterator[Line]:
    """Rows that the core marts must have, and rows that they have; and those of them that belong to a person."""
    names = _tables(night)
    kept = query(
        night.settings,
        "select platform, contract, if(contract = 'events', load_date, null) as load_date, sum(fate_rows)::bigint as kept"
        " from intermediate.int_quality__row_fates where is_kept group by all order by all",
    ).to_pylist()
    wanted = {(row["platform"], row["contract"], row["load_date"]): row["kept"] for row in kept}
    counted = query(night.settings, "from marts.core_counts order by all").to_pylist()
    marts = {(row["platform"], row["contract"], row["load_date"]): row for row in counted}
    none = {"mart_rows": 0, "rows_of_persons": None}
    words = {"accounts": "account_with_person", "items": "item_with_product", "events": "interaction"}
    for place in sorted({*wanted, *marts}, key=str):
        platform, contract, load_date = place
        there = marts.get(place, none)
        line = platform, names.get((platform, contract), contract), load_date
        yield Line(*line, "marts", wanted.get(place, 0), {words[contract]: there["mart_rows"]})
        if there["rows_of_persons"] is not None:
            yield Line(*line, "persons", there["mart_rows"], {"of_a_person": there["rows_of_persons"]})


def _loads(night: Night) -> Iterator[Manifest]:
    for name, platform in night.platforms.items():
        for table in platform.tables:
            yield from night.loads(name, table.name)


def _place(load: Manifest) -> tuple[str, str, date]:
    return load.platform, load.table, load.as_of


def _is_staged(table: SourceTable) -> bool:
    return table.contract != "none"


def _tables(night: Night) -> dict[tuple[str, str], str]:
    """The name of the table of each platform and contract."""
    return {
        (name, table.contract): table.name for name, platform in night.platforms.items() for table in platform.tables
    }
