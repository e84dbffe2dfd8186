"""One night: its cut, and where its steps leave what the later ones and the report need."""

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.lake import Lake, open_lake
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
        """The newest night that left anything in the lake; today where there is none."""
        nights = [key.split("/")[1].partition("=")[2] for key in open_lake(settings).list("nights/")]
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

    def record(self, name: str, content: Any) -> None:
        """Leave a JSON record for the report; the same step run again replaces it."""
        self.lake.put(self.key(f"{name}.json"), json.dumps(content, sort_keys=True, default=str, indent=1).encode())

    def recorded(self, name: str) -> Any:
        """A record of this night, or None where its step has not run."""
        try:
            return self.read_json(self.key(f"{name}.json"))
        except FileNotFoundError:
            return None

    def earlier_with(self, name: str, fingerprint: str) -> "Night | None":
        """The newest night, tonight's own earlier run included, whose record ``name`` has this fingerprint.

        Labelled cuts are tonight's for at most as many nights as lie between two of them; none before is asked.
        """
        for days in range(self.settings.snapshot_every_days):
            night = Night(self.as_of - timedelta(days), settings=self.settings)
            if (night.recorded(name) or {}).get("fingerprint") == fingerprint:
                return night
        return None

    def write_table(self, key: str, table: pa.Table) -> None:
        """Put ``table`` as Parquet: the same rows give the same bytes."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self.lake.put(key, buffer.getvalue())

    def read_table(self, key: str) -> pa.Table:
        return pq.read_table(io.BytesIO(self.lake.read(key)[0]))

    def read_json(self, key: str) -> Any:
        return json.loads(self.lake.read(key)[0])
