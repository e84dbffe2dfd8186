"""Another process that writes to a platform's database."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCKS = {
    "shop": "sqlite3.connect(sys.argv[1], isolation_level=None).execute('begin exclusive')",
    "stream": "duckdb.connect(sys.argv[1])",
}
FILES = {"shop": "shop.sqlite", "stream": "stream.duckdb"}


@contextmanager
def locked(platform: str, home: Path) -> Iterator[None]:
    """Another process writes to the platform's database."""
    hold = f"import duckdb, sqlite3, sys; held = {LOCKS[platform]}; print('held', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(home / "demo" / FILES[platform])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield
    finally:
        other.kill()
        other.communicate()
