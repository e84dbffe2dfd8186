"""One night: its as_of, and where its steps leave their records and tables."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from dags.steps.records import AnyFingerprinted, AnyRecord, Finished, RecordError, file_name
from infra.lake import Lake, open_lake, read_table, write_table
from infra.platforms import Manifest, Platform, load_platforms, manifests
from infra.settings import Settings
from infra.warehouse import DBT_PROJECT


@dataclass(frozen=True)
class Night:
    """The run for one ``as_of``. Every step gets one, and two nights with the same ``as_of`` and inputs do the same."""

    as_of: date
    run_id: str = "by-hand"
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def today(cls, settings: Settings) -> "Night":
        """For what is done by hand and belongs to no night."""
        return cls(datetime.now(UTC).date(), settings=settings)

    @staticmethod
    def newest(settings: Settings) -> date:
        """The newest night that ran to its end: not one that is running, or failed.

        Where no night did, the newest that left anything in the lake; today where there is none.
        """
        keys = list(open_lake(settings).list("nights/as_of="))
        finished = [key for key in keys if key.endswith(f"/{file_name(Finished)}")]
        nights = [key.split("/")[1].partition("=")[2] for key in finished or keys]
        return date.fromisoformat(max(nights)) if nights else datetime.now(UTC).date()

    @cached_property
    def lake(self) -> Lake:
        return open_lake(self.settings)

    @cached_property
    def platforms(self) -> dict[str, Platform]:
        """The declared platforms by name, in order of their names."""
        return {platform.name: platform for platform in load_platforms(DBT_PROJECT / "models" / "staging")}

    def loads(self, platform: str, table: str) -> list[Manifest]:
        """Every load of a table up to this night, oldest first."""
        return [load for load in manifests(self.lake, platform, table) if load.as_of <= self.as_of]

    def key(self, name: str) -> str:
        """Lake key of something that belongs to this night alone."""
        return f"nights/as_of={self.as_of}/{name}"

    def write(self, record: BaseModel, key: str = "") -> None:
        """Leave a record, see `dags.steps.records`. The same step run again replaces it."""
        content = record.model_dump_json(indent=1).encode()
        self.lake.put(self.key(file_name(type(record), key)), content)

    def forget(self, kind: type[BaseModel], key: str = "") -> None:
        """Take a record away, where there is one."""
        self.lake.delete(self.key(file_name(kind, key)))

    def read(self, kind: type[AnyRecord], key: str = "") -> AnyRecord:
        """The record of this type that a step of this night left.

        Raises:
            RecordError: the step has not run, or an earlier release wrote the record.
        """
        record = self.find(kind, key)
        if record is None:
            raise RecordError(
                f"the night of {self.as_of} has no record '{file_name(kind, key)}'. Received: no such file in "
                f"{self.lake.uri(self.key(''))}. Remedy: run the night of {self.as_of}, or clear the task that writes it."
            )
        return record

    def find(self, kind: type[AnyRecord], key: str = "") -> AnyRecord | None:
        """Like `read`, but None where the step has not run."""
        name = self.key(file_name(kind, key))
        try:
            content, _ = self.lake.read(name)
        except FileNotFoundError:
            return None
        return parsed(kind, content, self.lake.uri(name))

    def earlier_with(self, kind: type[AnyFingerprinted], fingerprint: str) -> AnyFingerprinted | None:
        """The record of the newest night with this fingerprint; an earlier run of tonight is one of these nights.

        Tonight's labelled snapshots are those of at most ``snapshot_every_days`` nights. So no older night is asked.
        """
        for days in range(self.settings.snapshot_every_days):
            found = Night(self.as_of - timedelta(days), settings=self.settings).find(kind)
            if found is not None and found.fingerprint == fingerprint:
                return found
        return None

    def write_table(self, key: str, table: pa.Table) -> None:
        write_table(self.lake, key, table)

    def read_table(self, key: str) -> pa.Table:
        return read_table(self.lake, key)


def parsed(kind: type[AnyRecord], content: bytes, where: str) -> AnyRecord:
    """The record that ``content``, the JSON of file ``where``, holds.

    Raises:
        RecordError: an earlier release wrote it, or it is damaged.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            remedy = "delete it and run its night again, or restore it from a backup"
            raise RecordError(f"record {where} is damaged", path=where, received=first["msg"], remedy=remedy) from None
        place = ".".join(str(part) for part in first["loc"]) or "the whole record"
        raise RecordError(
            f"record {where} is not one of this release. Received: {place}: {first['msg']}. "
            "Remedy: another release made this home; set CROSSREC_HOME (and CROSSREC_LAKE) to a new folder, or run that "
            "release."
        ) from None
