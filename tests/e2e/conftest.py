"""Two real nights on the small demo, run once for all test processes, and copies of their home for tests that change it."""

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
from typer.testing import CliRunner, Result

from dags.cli.identity import app
from dags.steps.night import Night
from infra.settings import PROJECT_ROOT, Settings
from tests.e2e.identifiers import Identifiers
from tests.homes import Store

FIRST, SECOND, THIRD = date(1998, 3, 15), date(1998, 3, 16), date(1998, 3, 17)
# Two snapshots to train on, with the one that is held out and tonight's, make the four that tests count.
# The defaults, eight and two, show the same and take longer.
QUICK = {"training_snapshots": 2, "epochs": 1, "threads": 1}
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
    return {
        **os.environ,
        "CROSSREC_HOME": str(home),
        **{f"CROSSREC_{name.upper()}": str(value) for name, value in QUICK.items()},
        "PYTHONPATH": str(PROJECT_ROOT),
        "COLUMNS": "160",
        **more,
    }


def settings_of(home: Path, **more: Any) -> Settings:
    """The settings with which a night by command runs in ``home``, and ``more``."""
    return Settings(home=home, **QUICK, **more)


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
def two_nights(store: Store, tmp_path_factory: pytest.TempPathFactory) -> TwoNights:
    """This process's copy of the home after both nights, to be read and left as it is."""
    shared = store.folder("two_nights", run_two_nights)
    nights: TwoNights = pickle.loads((shared / "nights.pickle").read_bytes())
    return replace(
        nights, home=shutil.copytree(shared / "home", tmp_path_factory.mktemp("two_nights") / "home", symlinks=True)
    )


def run_two_nights(folder: Path) -> None:
    """Run both nights from nothing, in ``folder / "home"``."""
    nights = TwoNights(folder / "home", {}, {})
    for as_of in (FIRST, SECOND):
        done = crossrec(nights.home, *nightly(as_of))
        assert done.returncode == 0, f"the night of {as_of} is red:\n{done.stdout}\n{done.stderr}"
        nights.printed[as_of] = done.stdout
        nights.served[as_of] = served(nights.home)
        assert all(nights.served[as_of].values())
    (folder / "nights.pickle").write_bytes(pickle.dumps(nights))


@pytest.fixture(scope="session")
def second(two_nights: TwoNights) -> Night:
    """The second night, to be read and left as it is."""
    return Night(SECOND, settings=settings_of(two_nights.home))


@pytest.fixture(scope="session")
def identifiers(two_nights: TwoNights) -> Identifiers:
    return Identifiers(two_nights.home / "demo")


@pytest.fixture
def home(two_nights: TwoNights, tmp_path: Path) -> Iterator[Path]:
    """A copy of the home after both nights, to be broken."""
    copy = shutil.copytree(two_nights.home, tmp_path / "home", symlinks=True)
    yield copy
    shutil.rmtree(copy, ignore_errors=True)


NightOf = Callable[[date], Night]


@pytest.fixture
def night_of(home: Path) -> NightOf:
    """``night_of(date)``: that night in the copy."""
    return lambda as_of: Night(as_of, settings=settings_of(home))


@pytest.fixture(scope="session")
def publications(two_nights: TwoNights) -> dict[str, str]:
    """The hash of every file that publications of the two nights have."""
    found = files(two_nights.home / "lake" / "publications")
    assert len(found) >= 5  # two publications and which one is current
    return found


@pytest.fixture
def nothing_published(home: Path, two_nights: TwoNights, publications: dict[str, str]) -> Iterator[None]:
    """Whatever the test does: afterwards the second night is served everywhere, as it was before."""
    yield
    assert files(home / "lake" / "publications") == publications
    assert served(home) == two_nights.served[SECOND]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``cli(home, 'explain', ...)``: `crossrec identity` in this process."""

    def run(home: Path, *arguments: str) -> Result:
        monkeypatch.setenv("CROSSREC_HOME", str(home))
        return CliRunner().invoke(app, arguments)

    return run
