"""What tells whether a result would come out the same again: digests of data, code and parameters."""

import hashlib

import pyarrow as pa

from infra.settings import PROJECT_ROOT


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
