"""Fuzzed files: each is loaded to its last record, or refused under its name. Never a traceback, never a row that is not counted.

`FUZZED_FILES=10000 python -m pytest tests/infra/platforms/test_fuzz.py` tries as many as the requirement names.
"""

import io
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.lake import open_lake
from infra.platforms import Platform, PlatformError, extract_table, rows_in_files
from infra.settings import Settings

FILES = int(os.environ.get("FUZZED_FILES", "450"))
NIGHT = date(2000, 12, 15)
TABLE = """
- name: claps
  meta: {contract: events, key: [id], path: "claps.FORMAT"}
  columns: [{name: id}, {name: slug}]
"""
TEXTS = [
    "a",
    "",
    'b "c"',
    "d,e",
    "two\nlines",
    "é",
    "日本",
    " ",
    "NULL",
    "\t",
    "1e999",
    "x" * 2000,
    "|;",
    "\u2028",
    '"',
]


def csv_file(chance: random.Random) -> bytes:
    """Quotes, delimiters, encodings, headers of all kinds, and bytes that come in anywhere."""
    delimiter, end = chance.choice(",,,;\t|"), chance.choice(["\n", "\n", "\r\n", "\r"])
    headers = [["id", "slug"]] * 6 + [
        ["slug", "id"],
        ["id", "slug", "more"],
        ["id"],
        ["id", "id", "slug"],
        [" id ", "slug"],
        [],
    ]
    header = chance.choice([*headers, ["ID", "SLUG"], ['"id"', '"slug"'], ["id", ""]])
    always = chance.random() < 0.3

    def written(value: str) -> str:
        needs = always or any(mark in value for mark in (delimiter, '"', "\n"))
        return '"' + value.replace('"', '""') + '"' if needs and chance.random() < 0.97 else value

    rows = [
        [str(number), *(chance.choice(TEXTS) for _ in header[1:] or ["slug"])]
        for number in range(chance.randint(0, 80))
    ]
    lines = [delimiter.join(header), *(delimiter.join(map(written, row)) for row in rows)]
    return encoded(chance, end.join(lines) + end * chance.randint(0, 2))


def json_file(chance: random.Random) -> bytes:
    """Objects, what is no object, nested values, numbers of any length, keys that come twice or not at all."""
    values = [*TEXTS, 1, 12.0, 10**30, 1e300, True, None, [1, "a"], {"b": {"c": []}}, -0.0]
    lines = []
    for number in range(chance.randint(0, 80)):
        row = {"id": chance.choice([number, str(number)]), "slug": chance.choice(values), "more": chance.choice(values)}
        for name in chance.sample([*row], chance.choice([0, 0, 0, 1, 3])):
            del row[name]
        line = json.dumps(row, ensure_ascii=chance.random() < 0.5)
        others = [
            "[1]",
            "1",
            '"a"',
            "null",
            "{",
            "{}",
            '{"id": NaN}',
            '{"id": 1, "id": 2, "slug": "a"}',
            "",
            line[: chance.randint(0, len(line))],
        ]
        lines.append(chance.choice(others) if chance.random() < 0.1 else line)
    return encoded(chance, chance.choice(["\n", "\r\n"]).join(lines) + chance.choice(["", "\n"]))


def encoded(chance: random.Random, text: str) -> bytes:
    encoding = chance.choice(["utf-8"] * 6 + ["utf-8-sig", "latin-1", "utf-16", "utf-16-le", "cp1252"])
    return damaged(
        chance,
        text.encode(encoding, "replace"),
        [b'"', b"\n", b",", b"\xff", b"", b'","', b"\0", b"\r", b"\xef\xbb\xbf", b"{", b"\\"],
    )


SLUGS: list[Callable[[int], pa.Array]] = [
    lambda n: pa.array([f"s{i}" for i in range(n)]),
    lambda n: pa.array([f"s{i % 3}" for i in range(n)]).dictionary_encode(),
    lambda n: pa.nulls(n),
    lambda n: pa.nulls(n, pa.string()),
    lambda n: pa.array([[i, None] for i in range(n)], pa.list_(pa.int32())),
    lambda n: pa.array(
        [{"a": i, "b": {"c": str(i)}} for i in range(n)],
        pa.struct([("a", pa.int32()), ("b", pa.struct([("c", pa.string())]))]),
    ),
    lambda n: pa.array([[(str(i), i)] for i in range(n)], pa.map_(pa.string(), pa.int64())),
    lambda n: pa.array([bytes([i % 256, 255]) for i in range(n)], pa.binary()),
    lambda n: pa.array([b"0123456789abcdef"] * n, pa.binary(16)),
    lambda n: pa.array(range(n), pa.int64()).cast(pa.decimal128(38, 0)),
    lambda n: pa.array(range(n), pa.timestamp("ns", "UTC")),
    lambda n: pa.array([-(2**40)] * n, pa.timestamp("s")) if n % 2 else pa.array(range(n), pa.time64("ns")),
    lambda n: pa.array([i / 3 for i in range(n)], pa.float16() if n % 2 else pa.float64()),
    lambda n: pa.array([None, True] * (n // 2) + [False] * (n % 2)),
    lambda n: pa.array(range(n), pa.duration("us")),
    lambda n: pa.array([2**64 - 1 - i for i in range(n)], pa.uint64()),
]


def parquet_file(chance: random.Random) -> bytes:
    """Odd types, schemas that lack a column or have others, empty tables, and files that are cut or changed anywhere."""
    rows = chance.choice([0, 1, 7, 100, 3000])
    columns = {"id": pa.array(range(rows)), "slug": chance.choice(SLUGS)(rows)}
    if chance.random() < 0.15:
        columns = chance.choice(
            [{"id": columns["id"]}, {"ID": columns["id"], "Slug": columns["slug"]}, {"other": columns["id"]}]
        )
    if chance.random() < 0.3:
        columns["more"] = chance.choice(SLUGS)(rows)
    buffer = io.BytesIO()
    options = {
        "compression": chance.choice(["none", "snappy", "zstd", "gzip", "lz4", "brotli"]),
        "data_page_version": chance.choice(["1.0", "2.0"]),
        "row_group_size": chance.choice([None, 10, 1000]),
        "write_statistics": chance.random() < 0.7,
        "use_dictionary": chance.random() < 0.5,
    }
    pq.write_table(pa.table(columns), buffer, **options)
    data = buffer.getvalue()
    footer = int.from_bytes(data[-8:-4], "little")
    kind = chance.choice(["whole", "whole", "bytes", "bytes", "footer", "length", "magic", "other", "zeros", "more"])
    if kind == "footer":
        begins = len(data) - 8 - footer
        return data[:begins] + damaged(chance, data[begins:-8], [b"\0", b"\xff", b""]) + data[-8:]
    if kind == "length":
        return (
            data[:-8]
            + chance.choice([0, 1, footer - 1, footer + 1, 2**31, 2**32 - 1]).to_bytes(4, "little")
            + data[-4:]
        )
    if kind == "magic":
        return chance.choice(
            [data[:-4] + b"PARE", b"PARE" + data[4:], data[:-4], data[4:], b"PAR1", b"PAR1" * 3, b"", b"id,slug\n1,a\n"]
        )
    if kind == "zeros":
        begins = chance.randrange(len(data))
        return data[:begins] + bytes(len(data[begins : begins + 64])) + data[begins + 64 :]
    whole = {
        "whole": data,
        "other": data[: chance.randrange(len(data))] + data[-footer - 8 :],
        "more": data + chance.choice([data, b"\n", b"\0" * 9]),
    }
    return whole[kind] if kind in whole else damaged(chance, data, [b"\0", b"\xff", b"\x80", b"", b"PAR1"])


def damaged(chance: random.Random, data: bytes, pieces: list[bytes]) -> bytes:
    """The data with up to four pieces put in or over, and cut off in one of four cases."""
    changed = bytearray(data)
    for _ in range(chance.choice([0, 0, 1, 1, 2, 4])):
        place = chance.randrange(len(changed) + 1)
        changed[place : place + chance.choice([0, 1, 1, 30])] = chance.choice(pieces)
    return bytes(changed[: chance.randint(0, len(changed))] if chance.random() < 0.25 else changed)


MAKERS = {"csv": csv_file, "jsonl": json_file, "parquet": parquet_file}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_fuzzed_file_is_loaded_whole_or_refused_by_name(kind, tmp_path: Path, declare, settings: Settings) -> None:
    (tmp_path / "blog").mkdir()
    file = tmp_path / "blog" / f"claps.{kind}"
    platform = declare(f"file:///{tmp_path}/blog", TABLE.replace("FORMAT", kind))
    seen: Counter[str] = Counter()
    for seed in range(FILES // len(MAKERS)):
        file.write_bytes(MAKERS[kind](random.Random(f"{kind} {seed}")))
        try:
            seen[outcome(platform, file, settings)] += 1
        except Exception as error:
            raise AssertionError(f"{kind} {seed}") from error
    assert min(seen["loaded"], seen["refused"]) > FILES // len(MAKERS) / 20, seen


def outcome(platform: Platform, file: Path, settings: Settings) -> str:
    lake = open_lake(settings)
    try:
        load = extract_table(platform, platform.tables[0], NIGHT, lake, settings)
    except PlatformError as error:
        said = str(error)
        if file.name in said and "changes while it is read" not in said:  # nobody wrote it: two readers would disagree
            return "refused"
        raise
    [read] = load.source_files
    assert load.counts.uncounted == 0
    assert load.counts.in_source == read.records == load.counts.landed == rows_in_files(lake, load, settings)
    if file.suffix == ".parquet":
        assert read.records == pq.read_metadata(file).num_rows
    return "loaded"
