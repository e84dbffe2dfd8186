"""Two real nights on the small demo, run once, and copies of what they left for tests that break it."""

import hashlib
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock

from dags.steps.night import Night
from infra.settings import PROJECT_ROOT, Settings
from tests.e2e.identifiers import Identifiers

FIRST, SECOND, THIRD = date(1998, 3, 15), date(1998, 3, 16), date(1998, 3, 17)
LISTS = "select * from crossrec_recommendations order by account_id, rank"

Served = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class TwoNights:
    """The home after both nights, what each printed, and what each platform was served after it."""

    home: Path
    printed: dict[date, str]
    served: dict[date, Served]


def crossrec(home: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command line in a process of its own, with everything below ``home``."""
    return subprocess.run(command(*arguments), env=environment_of(home, **environment), capture_output=True, text=True)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dags.cli", *arguments]


def environment_of(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "CROSSREC_HOME": str(home), "PYTHONPATH": str(PROJECT_ROOT), "COLUMNS": "160", **more}


def nightly(as_of: date) -> tuple[str, ...]:
    return ("nightly", "--date", as_of.isoformat(), "--demo-size", "small")


def served(home: Path) -> Served:
    """The lists as each platform reads them: with its own client, from its own warehouse, not from the lake."""
    with duckdb.connect(str(home / "demo" / "stream.duckdb"), read_only=True) as connection:
        stream = connection.execute(LISTS).to_arrow_table().to_pylist()
    with closing(sqlite3.connect(home / "demo" / "shop.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        shop = [dict(row) for row in connection.execute(LISTS)]
    lines = (home / "demo" / "forum" / "recommendations" / "current.jsonl").read_text().splitlines()
    return {"stream": stream, "shop": shop, "forum": [json.loads(line) for line in lines]}


def current(home: Path) -> str:
    """The publication that the lake serves."""
    return str(json.loads((home / "lake" / "publications" / "current.json").read_text())["publication_id"])


def files(folder: Path) -> dict[str, str]:
    """The hash of every file below ``folder``, by its path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture(scope="session")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> TwoNights:
    """Run by the first of the test processes that asks for them; the others wait, and get a copy of their own."""
    own = tmp_path_factory.mktemp("two_nights")
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with FileLock(shared / "two_nights.lock"):
        known = shared / "two_nights.pickle"
        if not known.exists():
            known.write_bytes(pickle.dumps(_two_nights(shared / "home")))
        nights: TwoNights = pickle.loads(known.read_bytes())
        return replace(nights, home=copied(nights.home, own / "copy"))


def _two_nights(home: Path) -> TwoNights:
    shutil.rmtree(home, ignore_errors=True)  # of a process that failed
    nights = TwoNights(home, {}, {})
    for as_of in (FIRST, SECOND):
        done = crossrec(home, *nightly(as_of))
        assert done.returncode == 0, f"the night of {as_of} is red:\n{done.stdout}\n{done.stderr}"
        nights.printed[as_of] = done.stdout
        nights.served[as_of] = served(home)
    return nights


@pytest.fixture(scope="session")
def identifiers(two_nights: TwoNights) -> Identifiers:
    return Identifiers(two_nights.home / "demo")


def copied(home: Path, copy: Path) -> Path:
    """``home`` once more, to be changed."""
    shutil.copytree(home, copy, symlinks=True)
    with closing(sqlite3.connect(copy / "mlflow" / "mlflow.db")) as mlflow, mlflow:  # it records absolute paths
        for table, column in mlflow.execute(
            "select m.name, c.name from sqlite_master as m, pragma_table_info(m.name) as c"
            " where m.type = 'table' and c.type like '%CHAR%' or c.type like 'TEXT%'"
        ).fetchall():
            mlflow.execute(
                f'update "{table}" set "{column}" = replace("{column}", ?, ?) where instr("{column}", ?)',
                (str(home), str(copy), str(home)),
            )
    return copy


@pytest.fixture
def home(two_nights: TwoNights, tmp_path: Path) -> Iterator[Path]:
    """A copy of the home after both nights, to be broken."""
    copy = copied(two_nights.home, tmp_path / "home")
    yield copy
    shutil.rmtree(copy, ignore_errors=True)


NightOf = Callable[[date], Night]


@pytest.fixture
def night_of(home: Path) -> NightOf:
    """``night_of(date)``: that night in the copy."""
    return lambda as_of: Night(as_of, settings=Settings(home=home))


@pytest.fixture
def nothing_published(home: Path) -> Iterator[None]:
    """Whatever the test does: afterwards the second night is served everywhere, as it was before."""
    lake, lists = files(home / "lake" / "publications"), served(home)
    assert len(lake) >= 5  # two publications and which one is current
    assert all(lists.values())
    yield
    assert files(home / "lake" / "publications") == lake
    assert served(home) == lists
