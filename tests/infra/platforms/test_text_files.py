"""Files as others write them: every line of a file is a record, a part of one, or counted as unreadable."""

import csv
import io
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.lake import Lake
from infra.platforms import Manifest, PlatformError, check_connection, extract_table
from infra.platforms.text_files import (
    LINES,
    Tally,
    chunks,
    count_lines,
    csv_batches,
    csv_dialect,
    encoding_of,
    json_batches,
)
from infra.settings import Settings
from tests.infra.platforms.test_extract import rows

NIGHT = date(2000, 12, 15)
TABLE = """
- name: claps
  meta: {contract: events, key: [id], path: "claps-{date}.csv"OPTIONS}
  columns: [{name: id}, {name: slug}]
"""

Landed = Callable[..., tuple[Manifest, list[tuple[str | None, str | None]]]]


@pytest.fixture
def landed(tmp_path: Path, declare, lake: Lake, settings: Settings) -> Landed:
    """Extract files with these contents, dated from 2000-12-01 on; return the manifest, and id and slug of each record."""

    def landed(*contents: bytes, options: str = ""):
        for number, content in enumerate(contents, 1):
            (tmp_path / "blog").mkdir(exist_ok=True)
            (tmp_path / "blog" / f"claps-2000-12-{number:02}.csv").write_bytes(content)
        platform = declare(f"file:///{tmp_path}/blog", TABLE.replace("OPTIONS", options))
        manifest = extract_table(platform, platform.tables[0], NIGHT, lake, settings)
        return manifest, [(row["id"], row["slug"]) for row in rows(lake, manifest)]

    return landed


def test_an_open_quote_costs_its_line(landed: Landed) -> None:
    files = [f'id,slug\n{n}_0,a\n{n}_1,"a\n{n}_2,a\n{n}_3,a\n{n}_4,a\n'.encode() for n in range(12)]
    manifest, found = landed(*files)
    assert len(found) == 60
    assert sum(slug == "a" for _, slug in found) == 48
    assert [(file.lines, file.records, file.unreadable) for file in manifest.source_files] == [(6, 5, 1)] * 12


def test_an_open_quote_at_line_1001_of_2000(landed: Landed) -> None:
    lines = [f"{n},a" for n in range(2000)]
    lines[1000] = '1000,"a'
    manifest, found = landed("\n".join(["id,slug", *lines]).encode())
    assert len(found) == 2000
    assert sum(slug == "a" for _, slug in found) == 1999
    assert manifest.source_files[0].unreadable == 1


def test_a_quote_that_a_later_one_closes_does_not_eat_the_records_between(landed: Landed) -> None:
    _, found = landed(b'id,slug\n1,"a\n2,b\n3,c\n4,d\n5,e"\n6,f\n')
    assert found[1:4] == [("2", "b"), ("3", "c"), ("4", "d")]
    assert found[-1] == ("6", "f")


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b",id,slug\n0,1,a\n1,2,b c\n", ""),  # an index of pandas
        (b"id,slug,\n1,a,\n2,b c,\n", ""),  # commas at the end
        (b"id,slug\n1,a,\n2,b c,,\n", ""),
        ("id,slug\n1,a\n2,b c\n".encode("utf-16"), ""),
        ("id,slug\n1,a\n2,b c\n".encode("utf-16-le"), ""),
        (b"\xef\xbb\xbfid,slug\r\n1,a\r\n2,b c\r\n", ""),
        (b"id,slug\r1,a\r2,b c\r", ""),  # CR alone
        (b"\n\nid,slug\n\n1,a\n\n2,b c\n\n", ""),
        (b"id;slug\n1;a\n2;b c\n", ""),
        (b"slug\tid\na\t1\nb c\t2\n", ""),
        (b'"id" , "slug"\n1,a\n2,b c\n'.replace(b" ", b"", 2), ""),
        (b"id,slug\n1,a\n2,'b c'\n", ', quote: "\'"'),
        (b"id~slug\n1~a\n2~b c\n", ', delimiter: "~"'),
        ("other,id,slug\ncafé,1,a\nx,2,b c\n".encode("latin-1"), ", encoding: latin-1"),
    ],
)
def test_real_exports(landed: Landed, content: bytes, options: str) -> None:
    manifest, found = landed(content, options=options)
    assert found == [("1", "a"), ("2", "b c")]
    assert manifest.source_files[0].unreadable == 0


def test_bytes_that_are_no_utf_8_cost_their_line(landed: Landed) -> None:
    _, found = landed("id,slug\n1,a\n2,café\n3,c\n".encode("latin-1"))
    assert found == [("1", "a"), (None, None), ("3", "c")]


def test_a_value_of_a_megabyte(landed: Landed) -> None:
    _, found = landed(b"id,slug\n1," + b"a" * 1_000_000 + b"\n2,b\n")
    assert [len(slug or "") for _, slug in found] == [1_000_000, 1]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ([b"id,slug,slug\n1,a,b\n"], "claps-2000-12-01.csv has the column 'slug' twice in its header"),
        ([b"1,ada@secret.example\n2,b\n"], "claps-2000-12-01.csv has none of the declared columns in its first line"),
        ([b'"id,slug\n1,a\n'], "claps-2000-12-01.csv has a header with an open or misplaced quote"),
        ([b"id,slug\n1,a\n", b"id,sluggish\n2,b\n"], "no column 'slug'. Received: claps-2000-12-02.csv"),
        ([b"id,slug\n1,a\n", b"number,slug\n2,b\n"], "no column 'id'. Received: claps-2000-12-02.csv"),
        (
            [b"\xff\xfei\x00d\x00,\x00s\x00l\x00u\x00g\x00\n\x00\x00\xd8\n\x00"],
            "claps-2000-12-01.csv is no text in the encoding utf-16",
        ),
    ],
)
def test_files_that_are_refused_by_name(landed: Landed, contents: list[bytes], words: str) -> None:
    with pytest.raises(PlatformError) as raised:
        landed(*contents)
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "sluggish" not in str(raised.value)


def test_a_column_may_come_with_a_later_file(landed: Landed) -> None:
    _, found = landed(b"id\n1\n", b"id,slug\n2,b\n")
    assert found == [("1", None), ("2", "b")]


def test_months_and_stars_in_a_path(tmp_path, declare, lake, settings) -> None:
    (tmp_path / "blog").mkdir()
    for name in ("claps-2000-11-x.csv", "claps-2000-12-y.csv", "claps-2001-01-z.csv"):
        (tmp_path / "blog" / name).write_text(f"id,slug\n{name[6:13]},a\n")
    platform = declare(f"file:///{tmp_path}/blog", TABLE.replace("{date}", "{month}-*").replace("OPTIONS", ""))
    manifest = extract_table(platform, platform.tables[0], NIGHT, lake, settings)
    assert [(row["id"], str(row["_known_at"])) for row in rows(lake, manifest)] == [
        ("2000-11", "2000-11-30 23:59:59.999999"),
        ("2000-12", "2000-12-14 23:59:59.999999"),
    ]
    with (tmp_path / "blog" / "claps-2000-12-y.csv").open("a") as file:
        file.write("more,b\n")
    second = extract_table(platform, platform.tables[0], date(2000, 12, 20), lake, settings)
    assert [row["id"] for row in rows(lake, second)] == ["more"]


def test_the_doctor_says_how_a_file_is_written(tmp_path, declare, settings) -> None:
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog" / "claps-2000-12-14.csv").write_text("id;slug;extra\n1;a;x\n2;b;\n3\n")
    platform = declare(f"file:///{tmp_path}/blog", TABLE.replace("OPTIONS", ""), decimal_mark="','")
    [line] = check_connection(platform, settings)
    assert line == (
        "claps: 1 files; the newest, claps-2000-12-14.csv, has 3 records, 1 unreadable, utf-8, delimiter ';', quote '\"',"
        " decimal mark ',', 1 columns that nobody declared"
    )


def test_the_doctor_reads_the_watermarks_of_a_file(tmp_path, declare, settings) -> None:
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog" / "claps.csv").write_text("id,slug\n1,yesterday\n2,today\n")
    table = TABLE.replace("claps-{date}.csv", "claps.csv").replace("OPTIONS", ", watermark: slug")
    with pytest.raises(PlatformError, match=r"the watermark 'slug' is no time.*none of 2 values is one"):
        check_connection(declare(f"file:///{tmp_path}/blog", table), settings)


# --- any bytes


def outcome(path: Path) -> tuple[Tally, int]:
    encoding, tally = encoding_of(path, None), Tally()
    dialect = csv_dialect(path, ["id", "slug"], delimiter=None, quote='"', encoding=encoding)
    landed = sum(batch.num_rows for batch in csv_batches(path, dialect, ["id", "slug"], tally))
    assert landed == tally.records + tally.unreadable
    return tally, count_lines(path, encoding)


PIECES = st.sampled_from(
    [
        '"',
        ",",
        "\n",
        "\r",
        "\r\n",
        "a",
        "1",
        " ",
        "\0",
        "é",
        "\ufeff",
        '""',
        ',"',
        '",',
        "2,b\n",
        "\x0b",
        "\x85",
        "\u2028",
    ]
)


@hypothesis_settings(max_examples=1500, deadline=None)
@given(text=st.lists(PIECES, max_size=60).map("".join), broken=st.binary(max_size=3), at=st.integers(0, 80))
def test_any_text_is_conserved(tmp_path_factory, text: str, broken: bytes, at: int) -> None:
    body = text.encode()
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"id,slug\n" + body[:at] + broken + body[at:])
    tally, lines = outcome(path)
    assert lines == tally.lines


def test_many_damaged_files_are_conserved(tmp_path: Path) -> None:
    path = tmp_path / "any.csv"
    for seed in range(600):
        chance = random.Random(seed)
        body = io.StringIO()
        csv.writer(body).writerows(
            [n, chance.choice(["a", 'b "c"', "d,e", "two\nlines", "é"])] for n in range(chance.randint(1, 300))
        )
        data = bytearray(body.getvalue().encode(chance.choice(["utf-8", "latin-1"])))
        for _ in range(chance.randint(0, 4)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.choice([0, 1, 30])] = chance.choice(
                [b'"', b"\n", b",", b"\xff", b"", b'","', b"\0"]
            )
        path.write_bytes(b"id,slug\n" + data[: chance.randint(1, len(data) + 1)])
        tally, lines = outcome(path)
        assert lines == tally.lines, seed


def test_records_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.platforms.text_files.LINES", 3)
    path = tmp_path / "any.csv"
    path.write_text("id,slug\n" + "".join(f'{n},"one\ntwo\n\nthree, four"\n' for n in range(20)) + '20,"open\n21,a\n')
    tally, lines = outcome(path)
    assert (tally.records, tally.unreadable) == (21, 1)
    assert lines == tally.lines


@hypothesis_settings(max_examples=500, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(['{"id": 1}', "\n", "\r", " ", "\ufeff", '{"id": "\x85"}', "[1]", "\0", "\x0b"]), max_size=30
    ).map("".join)
)
def test_any_json_lines_are_conserved(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(text.encode())
    tally = Tally()
    landed = sum(batch.num_rows for batch in json_batches(path, "utf-8", tally))
    assert landed == tally.records == count_lines(path, "utf-8")


def test_a_chunk_is_a_number_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a\n" * (LINES + 1))
    assert [len(lines) for lines in chunks(path, "utf-8")] == [LINES, 1]
