"""What tells whether a result would come out the same again: digests of data, code and parameters."""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from infra.excluded_sources import read_excluded
from infra.settings import PROJECT_ROOT
from infra.warehouse import DBT_PROJECT


def fingerprint_of(*parts: str) -> str:
    """SHA-256 over all parts."""
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def digest_of(table: pa.Table) -> str:
    """SHA-256 over a table's values, column by column."""
    import pandas as pd

    digest = hashlib.sha256()
    for name in table.column_names:
        digest.update(name.encode())
        digest.update(pd.util.hash_pandas_object(table[name].to_pandas(), index=False).to_numpy().tobytes())
    return digest.hexdigest()


def code_of(*packages: str) -> str:
    """SHA-256 over the files of some packages of `ml`, such as "ranking" and "evaluation"."""
    files = [file for package in packages for file in sorted((PROJECT_ROOT / "ml" / package).rglob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def examples_fingerprint(night: Night) -> str:
    """Identifies what makes the examples of a snapshot what they are: SQL, code, settings and the excluded sources.

    With another fingerprint a snapshot may honestly come out in another way than before, so it is not compared with its own past.
    """
    folders = [DBT_PROJECT / folder for folder in ("macros", "models")]
    files = [path for folder in folders for path in sorted(folder.rglob("*.*")) if path.suffix in (".sql", ".py")]
    files += [DBT_PROJECT / "seeds" / f"{seed}.csv" for seed in ("category_names", "event_types", "generators")]
    settings = night.settings
    return fingerprint_of(
        f"{settings.horizon_days} {settings.snapshot_every_days} {settings.max_events_per_day} {settings.seed}",
        str(sorted(read_excluded(night.lake).items())),
        code_of("retrieval"),
        *(path.read_bytes().hex() for path in files),
    )


def newest_table(night: Night, name: str, fingerprint: str, schema: pa.Schema) -> pa.Table:
    """The table ``name`` that the newest night left whose gate passed, of the same fingerprint; an earlier run of tonight is one of these.

    Empty where there is none.
    """
    keys = [key for key in night.lake.list("nights/") if key.endswith(f"/{name}")]
    until = night.key(name)
    newest = max((key for key in keys if key <= until), default=None)  # keys are in order of the nights' dates
    if newest is None:
        return schema.empty_table()
    found = night.read_table(newest)
    return found.filter(pc.equal(found["fingerprint"], fingerprint)).select(schema.names)
