"""CSV and JSON lines as records, each with the number of its first line. A line that cannot be read costs itself, never its neighbours.

A file is read in chunks of lines. A chunk in which every line is one record of the right width passes as it is; any other one is read
record by record, so that a line with an open quote becomes one unreadable record and the next line is read again.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

LINES = 50_000  # lines of a chunk
LONGEST_RECORD = 1000  # lines of one record: whatever a quote opens and does not close within them is an open quote
DELIMITERS = (",", ";", "\t", "|")
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
BLANK = " \t\r\n\v\f\ufeff"
UNDECODABLE = "bytes that are no text in the file's encoding"

csv.field_size_limit(2**31 - 1)


class FileRefused(ValueError):
    """A file cannot be used. The message completes 'the file ...', and names no column that is not declared."""


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, and where its declared columns stand."""

    delimiter: str
    quote: str
    encoding: str
    width: int
    positions: dict[str, int]
    undeclared: int  # columns of the header that nobody declared


@dataclass
class Tally:
    """What the reader made of a file. An unreadable record is one line."""

    header: int = 0  # lines of the header
    in_records: int = 0  # lines of the records that could be read
    records: int = 0
    unreadable: int = 0

    @property
    def lines(self) -> int:
        """Lines that are not blank, as far as the reader knows."""
        return self.header + self.in_records + self.unreadable


class _Parsed(NamedTuple):
    rows: list[list[str]]
    numbers: Sequence[int]
    lines: int  # in the rows; blank ones between them not counted
    unreadable: list[tuple[int, str]]
    carried: list[str]  # lines of a record that may go on in the next chunk


def encoding_of(path: Path, declared: str | None) -> str:
    """The declared encoding, or what the first bytes say: UTF-16 and UTF-8 with a mark, UTF-16 without one, UTF-8."""
    with path.open("rb") as file:
        start = file.read(4)
    for mark, name in MARKS:
        if start.startswith(mark) and (declared or name).startswith("utf"):
            return name
    if declared:
        return declared
    if len(start) == 4 and start[1] == start[3] == 0 != start[0]:
        return "utf-16-le"
    if len(start) == 4 and start[0] == start[2] == 0 != start[1]:
        return "utf-16-be"
    return "utf-8"


def chunks(path: Path, encoding: str) -> Iterator[list[str]]:
    """The lines in lists of at most LINES; line ends may be CR, LF or both. Bytes that are no text become lone surrogates."""
    errors = "strict" if _is_wide(encoding) else "surrogateescape"
    with io.TextIOWrapper(path.open("rb"), encoding=encoding, errors=errors, newline=None) as file:
        try:
            while lines := list(islice(file, LINES)):
                yield lines
        except UnicodeDecodeError:
            raise FileRefused(f"is no text in the encoding {encoding}") from None


def _is_wide(encoding: str) -> bool:
    """Whether a line end is more than one byte."""
    return "16" in encoding or "32" in encoding


def count_lines(path: Path, encoding: str) -> int:
    """Lines that are not blank, counted in the bytes: the other side of what the readers of this module say."""
    decoder = codecs.getincrementaldecoder(encoding)("replace") if _is_wide(encoding) else None
    lines, rest = 0, b""
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            if decoder:
                block = decoder.decode(block).encode("utf-8", "replace")
            *whole, rest = (rest + block).splitlines(keepends=True)
            lines += sum(1 for line in whole if _has_text(line))
    return lines + sum(1 for line in rest.splitlines() if _has_text(line))


def _has_text(line: bytes) -> bool:
    return bool(line.replace(codecs.BOM_UTF8, b"").strip())


# --- CSV


def csv_dialect(path: Path, wanted: Sequence[str], *, delimiter: str | None, quote: str, encoding: str) -> Dialect:
    """Read the header. The delimiter that is not given is the one with which most of the ``wanted`` columns are found.

    Raises:
        FileRefused: there is no header, it has a declared column twice, or it cannot be parsed.
    """
    start = [line for line in next(chunks(path, encoding), []) if not _is_blank(line)][:LONGEST_RECORD]
    found: dict[str, list[str]] = {}
    for candidate in [delimiter] if delimiter else DELIMITERS:
        try:
            found[candidate] = [
                name.strip() for name in next(csv.reader(start, delimiter=candidate, quotechar=quote, strict=True), [])
            ]
        except csv.Error:
            continue
    if not found:
        raise FileRefused("has a header with an open or misplaced quote")
    best = max(found, key=lambda candidate: len({*wanted} & {*found[candidate]}))
    header = found[best]
    known = [name for name in header if name in wanted]
    if not known:
        raise FileRefused(
            f"has none of the declared columns in its first line, which has {len(header)} fields: the header is missing, or the "
            "delimiter is another one"
        )
    if twice := [name for name in known if known.count(name) > 1]:
        raise FileRefused(f"has the column '{twice[0]}' twice in its header")
    positions = {name: header.index(name) for name in wanted if name in known}
    return Dialect(best, quote, encoding, len(header), positions, sum(1 for name in header if name not in known))


def csv_batches(path: Path, dialect: Dialect, wanted: Sequence[str], tally: Tally) -> Iterator[pa.RecordBatch]:
    """Records of the file in order: ``wanted`` columns as text (empty is null), ``_record``, the number of the record's first line,
    and ``_unreadable``, which says why a record has no values. ``tally`` counts them.
    """
    carried: list[str] = []
    first, is_first = 1, True
    pending: Iterator[list[str]] = chunks(path, dialect.encoding)
    chunk = next(pending, None)
    while chunk is not None or carried:
        following = next(pending, None)
        lines = carried + (chunk or [])
        if is_first:
            skipped = _header_lines(lines, dialect)
            tally.header = sum(1 for line in lines[:skipped] if not _is_blank(line))
            lines, first, is_first = lines[skipped:], first + skipped, False
        parsed = _parse(lines, first, dialect, at_end=following is None)
        first += len(lines) - len(parsed.carried)
        carried, chunk = parsed.carried, following
        tally.in_records += parsed.lines
        tally.records += len(parsed.rows)
        tally.unreadable += len(parsed.unreadable)
        yield _batch(parsed, dialect, wanted)


def _header_lines(lines: list[str], dialect: Dialect) -> int:
    """How many lines the header and the blank lines before it take."""
    blank = next((number for number, line in enumerate(lines) if not _is_blank(line)), len(lines))
    reader = csv.reader(lines[blank:], delimiter=dialect.delimiter, quotechar=dialect.quote)
    next(reader, None)
    return blank + reader.line_num


def _parse(lines: list[str], first: int, dialect: Dialect, *, at_end: bool) -> _Parsed:
    rows: list[list[str]] = []
    try:
        rows.extend(csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True))
        "".join(lines).encode()
        plain = (
            len(rows) == len(lines) and {*map(len, rows)} <= {dialect.width} and not any("\0" in line for line in lines)
        )
    except (csv.Error, UnicodeEncodeError):
        plain = False
    if plain:
        return _Parsed(rows, range(first, first + len(rows)), len(rows), [], [])
    return _recovered(lines, first, dialect, at_end=at_end)


def _recovered(lines: list[str], first: int, dialect: Dialect, *, at_end: bool) -> _Parsed:
    """Record by record: whatever is no record costs its first line, and reading goes on with the next one."""
    rows, numbers, unreadable, in_rows, at = [], [], [], 0, 0
    while at < len(lines):
        line = lines[at]
        if _is_blank(line):
            at += 1
            continue
        problem, row, span = _next_record(lines, at, dialect)
        if problem == _OPEN and not at_end and at + LONGEST_RECORD > len(lines):
            break  # it may be closed in the next chunk
        if problem or row is None:
            unreadable.append((first + at, problem or _OPEN))
            at += 1
            continue
        rows.append(row)
        numbers.append(first + at)
        in_rows += sum(1 for part in lines[at : at + span] if not _is_blank(part))
        at += span
    return _Parsed(rows, numbers, in_rows, unreadable, lines[at:])


_OPEN = "an open or misplaced quote"


def _next_record(lines: list[str], at: int, dialect: Dialect) -> tuple[str | None, list[str] | None, int]:
    """What is wrong with the record that begins here, or its values and how many lines it takes."""
    if not _is_text(lines[at]):
        return UNDECODABLE, None, 1
    reader = csv.reader(
        (lines[place] for place in range(at, min(len(lines), at + LONGEST_RECORD))),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        strict=True,
    )
    try:
        row = next(reader)
    except (csv.Error, StopIteration):
        return _OPEN, None, 1
    span = reader.line_num
    if span > 1 and (
        not all(map(_is_text, lines[at : at + span])) or _swallows(lines[at + 1 : at + span - 1], dialect)
    ):
        return _OPEN, None, 1
    width = dialect.width
    if len(row) > width and not any(row[width:]):  # commas at the end of a line are no values
        row = row[:width]
    if len(row) != width:
        return f"{len(row)} fields, where the header has {width}", None, 1
    return None, row, span


def _swallows(inner: list[str], dialect: Dialect) -> bool:
    """Whether the lines within a quoted value look like records themselves: three of two columns, for a text may have a comma."""
    if len(inner) < (3 if dialect.width == 2 else 1) or dialect.width == 1:
        return False
    return all(line.count(dialect.delimiter) == dialect.width - 1 for line in inner)


def _is_text(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in line


def _is_blank(line: str) -> bool:
    return not line.strip(BLANK)


def _batch(parsed: _Parsed, dialect: Dialect, wanted: Sequence[str]) -> pa.RecordBatch:
    good, bad = len(parsed.rows), len(parsed.unreadable)
    by_position = list(zip(*parsed.rows, strict=True))
    columns = []
    for name in wanted:
        place = dialect.positions.get(name)
        if place is None or not good:
            columns.append(pa.nulls(good + bad, pa.string()))
            continue
        values = pa.array(by_position[place], pa.string())
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
        columns.append(pa.concat_arrays([values, pa.nulls(bad, pa.string())]) if bad else values)
    numbers = pa.array([*parsed.numbers, *(number for number, _ in parsed.unreadable)], pa.int64())
    reasons = pa.array([None] * good + [reason for _, reason in parsed.unreadable], pa.string())
    return pa.RecordBatch.from_arrays([*columns, numbers, reasons], [*wanted, "_record", "_unreadable"])


# --- JSON lines


def json_batches(path: Path, encoding: str, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Lines that are not blank: ``line`` (null where its bytes are no text), ``_record``, the number of the line, and ``_unreadable``."""
    first = 1
    for lines in chunks(path, encoding):
        kept = [(number, line.strip(BLANK)) for number, line in enumerate(lines, first)]
        kept = [(number, line) for number, line in kept if line]
        first += len(lines)
        tally.in_records += len(kept)
        tally.records += len(kept)
        readable = [_is_text(line) for _, line in kept]
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(
                    [line if is_text else None for (_, line), is_text in zip(kept, readable, strict=True)], pa.string()
                ),
                pa.array([number for number, _ in kept], pa.int64()),
                pa.array([None if is_text else UNDECODABLE for is_text in readable], pa.string()),
            ],
            ["line", "_record", "_unreadable"],
        )
