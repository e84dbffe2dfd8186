"""Which of the rows that were read are new: the memory of what earlier loads brought."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from infra.lake import Lake
from infra.platforms.declaration import Column, Platform, SourceTable
from infra.platforms.gone import gone_files
from infra.platforms.manifest import Counts, Manifest
from infra.platforms.relation import Relation, identifier, literal
from infra.platforms.times import watermark_at
from infra.platforms.tokens import key_blocks, register_phones, token
from infra.settings import Settings

SECOND = timedelta(seconds=1)


def is_state(table: SourceTable) -> bool:
    """Whether the source holds the present state alone, so that a row may go and a value may come back."""
    return not table.has_watermark and "*" not in (table.path or "")


@dataclass(frozen=True)
class NewRows:
    """The rows of one table in one night: ``arrive`` fills the temporary table ``arrived``, ``stage`` what is new of it into ``staged``.

    Instants are naive UTC.
    """

    connection: duckdb.DuckDBPyConnection
    platform: Platform
    table: SourceTable
    settings: Settings

    def arrive(self, relation: Relation) -> None:
        """Fill ``arrived`` with what was read: tokens in the place of what they stand for, the watermark, and a hash of the row."""
        landed = [*self.table.landed, *self.table.vaulted]
        selected = ", ".join(f"{self._value(column)} as {identifier(column.lands_as)}" for column in landed)
        keys = ", ".join(
            f"{identifier(name)}::varchar as {key}" for name, key in zip(self.table.key, self._keys, strict=True)
        )
        texts = [f"{identifier(name)}::varchar" for name in sorted(self.table.extracted)]
        row = ", ".join(f"coalesce(length({text})::varchar || ':' || {text}, '-')" for text in texts)
        parameters: dict[str, object] = {"row_key": _row_key(self.settings)}
        if any(column.identifier == "token" for column in landed):
            parameters |= key_blocks(self.settings.token_key)
            register_phones(self.connection)
        self.connection.execute(
            f"create temp table arrived as select {selected}, {self._watermark()} as _watermark, _file, _record, _unreadable, {keys},"
            f" unhex(left(sha256($row_key || concat({row}, coalesce(_unreadable || _record::varchar, ''))), 32)) as _row_hash"
            f" from ({relation.query})",
            parameters,
        )

    def stage(
        self,
        earlier: Sequence[Manifest],
        lake: Lake,
        since: datetime | None,
        until: datetime,
        *,
        was_read: bool = True,
    ) -> Counts:
        """Fill ``staged`` with the rows of ``arrived`` that are visible before ``until`` and that none of the ``earlier`` loads brought,
        and ``gone`` with the keys that a table of present states has no more; with none where the source was not read.

        A row that is older than ``since``, the end of the last load, is known from then on. A row without a watermark is known from
        the night that sees it first. The rows have an order that holds.
        """
        files = [lake.uri(file.key) for load in earlier for file in load.files if file.rows]
        if is_state(self.table):
            self._mark_state(files, gone_files(lake, earlier))
        else:
            self._mark_known(files, until)
        if not (is_state(self.table) and was_read):
            self.connection.execute("create or replace temp table gone (key varchar[])")
        [(gone,)] = self.connection.execute("select count(*) from gone").fetchall()
        names = [identifier(column.lands_as) for column in [*self.table.landed, *self.table.vaulted]]
        order = ["_file", "_record"] if self.table.path else [*self._keys, "_watermark", *names]
        self.connection.execute(
            "create temp table staged as select *, case when _watermark is null then $first_seen"
            " else greatest(_watermark, coalesce($since::timestamp, _watermark)) end as _known_at"
            f" from arrived where not is_waiting and not is_known order by {', '.join(order)}",
            {"first_seen": until - SECOND, "since": since},
        )
        [(read, waiting, known)] = self.connection.execute(
            "select count(*), count(*) filter (where is_waiting), count(*) filter (where is_known and not is_waiting) from arrived"
        ).fetchall()
        [(landed, late, undated)] = self.connection.execute(
            "select count(*), count(*) filter (where _watermark < $since::timestamp), count(*) filter (where _watermark is null)"
            " from staged",
            {"since": since},
        ).fetchall()
        return Counts(
            read=read,
            landed=landed,
            known=known,
            waiting=waiting,
            late=late,
            no_watermark=undated if self.table.watermark else 0,
            gone=gone,
        )

    @property
    def _keys(self) -> list[str]:
        """The columns of ``arrived`` that hold the key as text."""
        return [identifier(f"_key_{place}") for place in range(len(self.table.key))]

    def _value(self, column: Column) -> str:
        if column.identifier != "token" or column.kind is None:
            return identifier(column.name)
        return token(identifier(column.name), column.kind, self.platform.phone_country)

    def _watermark(self) -> str:
        """SQL of when a row was visible, as naive UTC; null where nothing says it."""
        return watermark_at(self.platform, self.table) if self.table.watermark else "_visible_at"

    def _known_rows(self, files: Sequence[str]) -> str:
        """SQL of the rows of earlier loads: their load, file, hash and key."""
        if not files:
            nothing = ", ".join(f"null::varchar as {key}" for key in self._keys)
            return f"select null::varchar as load_date, null::varchar as _file, null::blob as _row_hash, {nothing} where false"
        landed = {column.name: identifier(column.lands_as) for column in self.table.landed}
        keys = ", ".join(
            f"{landed[name]}::varchar as {key}" for name, key in zip(self.table.key, self._keys, strict=True)
        )
        paths = ", ".join(map(literal, files))
        return (
            f"select regexp_extract(filename, 'load_date=([0-9-]+)', 1) as load_date, _file, _row_hash, {keys}"
            f" from read_parquet([{paths}], union_by_name = true, filename = true, hive_partitioning = false)"
        )

    def _mark_known(self, files: Sequence[str], until: datetime) -> None:
        """Mark the rows of ``arrived`` that wait for a later night, and those that an earlier load brought."""
        self.connection.execute(
            "create or replace temp table arrived as select arrived.*, coalesce(_watermark >= $until, false) as is_waiting,"
            " known._row_hash is not null as is_known from arrived"
            f" left join (select distinct _file, _row_hash from ({self._known_rows(files)})) as known"
            " on known._row_hash = arrived._row_hash and known._file is not distinct from arrived._file",
            {"until": until},
        )

    def _mark_state(self, files: Sequence[str], gone: Sequence[str]) -> None:
        """Mark the rows of the keys whose newest rows are the same as tonight's, and find the keys that are gone from the source.

        ``gone`` are the files of the keys that were gone before. Such a key is new when it comes back, and is not gone twice.
        """
        key = f"[{', '.join(self._keys)}]"
        keys, arrived_keys = ", ".join(self._keys), ", ".join(f"arrived.{key}" for key in self._keys)
        same_key = " and ".join(f"before.{key} is not distinct from arrived.{key}" for key in self._keys)
        self.connection.execute(
            f"create temp table before as with known as ({self._known_rows(files)}), newest as (select * from known"
            f" qualify load_date = max(load_date) over (partition by {keys}))"
            f" select {keys}, max(load_date) as seen_in, list_sort(list(_row_hash)) as hashes from newest group by {keys}"
        )
        self.connection.execute("create temp table gone_before (key varchar[], gone_in varchar)")
        if gone:
            self.connection.execute(
                "insert into gone_before select key, max(load_date) from"
                " read_parquet($gone, hive_partitioning = true, hive_types_autocast = false) group by key",
                {"gone": [*gone]},
            )
            self.connection.execute(
                f"delete from before using gone_before where {key} = gone_before.key and seen_in < gone_in"
            )
        self.connection.execute(
            "create or replace temp table arrived as select arrived.*, false as is_waiting, coalesce(before.hashes ="
            f" list_sort(list(_row_hash) over (partition by {arrived_keys})), false) as is_known"
            f" from arrived left join before on {same_key}"
        )
        self.connection.execute(
            f"create or replace temp table gone as select [{', '.join(f'before.{name}' for name in self._keys)}] as key"
            f" from before anti join arrived on {same_key} order by key"
        )


def has_key(connection: duckdb.DuckDBPyConnection, key: Sequence[str | None]) -> bool:
    """Whether a row of ``arrived`` has this key, of which a value that could not be read is null."""
    same = " and ".join(f"{identifier(f'_key_{place}')} is not distinct from ?" for place in range(len(key)))
    return bool(connection.execute(f"select 1 from arrived where {same} limit 1", [*key]).fetchall())


def _row_key(settings: Settings) -> str:
    """A key of its own for the hashes of rows, so that nobody can compute from a hash what a row held."""
    return hmac.new(settings.token_key.get_secret_value().encode(), b"rows", hashlib.sha256).hexdigest()
