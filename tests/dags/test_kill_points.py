"""A process is killed with SIGKILL before each change that a step makes. The step, run again, ends as if nobody had killed it."""

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dags.steps.merge.kinds import PRODUCT
from infra.lake import open_lake
from infra.platforms import manifests
from infra.publications import current_publication, published_lists
from infra.settings import PROJECT_ROOT
from tests.killed import SECOND, settings_of

Do = Callable[..., int]
CLOCKS = ("when",)  # the only fields that may differ between two runs


@pytest.fixture(scope="module")
def server() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.killed"]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.communicate()


@pytest.fixture(scope="module")
def do(server: "subprocess.Popen[str]") -> Do:
    """``do(job, folder, changes)``: the job in a process of its own, and the signal that ended it. It may make so many changes."""

    def do(job: str, folder: Path, changes: int = -1) -> int:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps([job, str(folder), changes]) + "\n")
        server.stdin.flush()
        ended = int(server.stdout.readline())
        assert ended in (0, signal.SIGKILL)
        return ended

    return do


@pytest.fixture(scope="module")
def before(do: Do, tmp_path_factory: pytest.TempPathFactory) -> Callable[["Step"], Path]:
    """``before(step)``: the folder in which the step is about to run, to be copied and left as it is."""

    @cache
    def before(step: Step) -> Path:
        folder = tmp_path_factory.mktemp("before")
        for earlier in step.before:
            assert do(earlier, folder) == 0
        return folder

    return before


@pytest.fixture(scope="module")
def never_killed(
    do: Do, before: Callable[["Step"], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[["Step"], Any]:
    """``never_killed(step)``: the state after the step, where it made all of its changes at once."""

    @cache
    def never_killed(step: Step) -> dict[str, str]:
        folder = shutil.copytree(before(step), tmp_path_factory.mktemp("never") / "killed")
        assert do(step.job, folder, step.changes) == 0, (
            f"{step.job} makes more changes than {step.changes}: correct STEPS"
        )
        return state(folder)

    return never_killed


def state(folder: Path) -> dict[str, str]:
    """The content of every file that lasts, without times of the clock; of the database, the rows."""
    found = {}
    for path in sorted((folder / "home" / "lake").rglob("*")) + sorted((folder / "home" / "demo").rglob("*")):
        if path.is_file() and not path.name.endswith(".partial"):
            content = path.read_bytes()
            if path.suffix == ".json":
                content = json.dumps({k: v for k, v in json.loads(content).items() if k not in CLOCKS}).encode()
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    if (folder / "shop.sqlite").exists():
        found["shop"] = str(rows(folder))
        found["tables"] = str(sql(folder, "select name from sqlite_master order by name"))
    return found


def sql(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "shop.sqlite")) as connection:
        return connection.execute(query).fetchall()


def rows(folder: Path) -> list[Any]:
    return sql(folder, "select publication_id, account_id, item_id from crossrec_recommendations order by 1, 2")


# --- what everybody sees between the kill and the next run: the old state or the new one, whole


def the_load_is_whole_or_none(folder: Path) -> None:
    lake = open_lake(settings_of(folder))
    for load in manifests(lake, "shop", "customers"):
        assert all(hashlib.sha256(lake.read(file.key)[0]).hexdigest() == file.sha256 for file in load.files)


def one_publication_is_served_whole(folder: Path) -> None:
    lake = open_lake(settings_of(folder))
    publication, _ = current_publication(lake)
    assert publication is not None
    assert published_lists(lake, publication).num_rows == 2


def the_shop_has_lists_of_one_publication(folder: Path) -> None:
    assert {publication for publication, *_ in rows(folder)} in ({"p1"}, {"p2"})
    assert len(rows(folder)) == 2


def the_next_night_sees_one_identity(folder: Path) -> None:
    previous = PRODUCT.store(open_lake(settings_of(folder))).previous(SECOND.replace(day=16))
    assert previous.ids is not None
    assert previous.pairs is not None
    assert previous.fingerprints is not None
    seen = {previous.ids["cluster_id"][0].as_py(), previous.pairs["of"][0].as_py(), previous.model_version}
    seen.add(previous.fingerprints["fingerprint"][0].as_py())
    assert seen in ({"the night before"}, {"an earlier run"}, {"tonight"})


def nothing(folder: Path) -> None:
    pass


class Step(NamedTuple):
    job: str
    before: tuple[str, ...]  # jobs
    heals: str  # the job that is run after the kill
    changes: int  # that the job makes: each is a kill point
    holds: Callable[[Path], None]  # between the kill and the next run, and afterwards


EARLIER = ("identity before", "identity of an earlier run")
STEPS = [
    Step("extract", (), "extract", 4, the_load_is_whole_or_none),
    Step("publish", ("publish before",), "publish", 6, one_publication_is_served_whole),
    Step("roll back", ("publish before", "publish"), "finish roll back", 9, one_publication_is_served_whole),
    Step("write back", ("write back before",), "write back", 17, the_shop_has_lists_of_one_publication),
    Step("identity", EARLIER, "identity", 9, the_next_night_sees_one_identity),
    Step("begin again", ("begin again",), "begin again", 2, nothing),
]
POINTS = [
    pytest.param(step, point, id=f"{step.job.replace(' ', '_')}-{point}")
    for step in STEPS
    for point in range(step.changes)
]


@pytest.mark.parametrize(("step", "point"), POINTS)
def test_a_step_that_is_killed_ends_the_same_when_run_again(
    step: Step,
    point: int,
    do: Do,
    before: Callable[[Step], Path],
    never_killed: Callable[[Step], dict[str, str]],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(before(step), tmp_path / "killed")
    assert do(step.job, folder, point) == signal.SIGKILL
    step.holds(folder)
    assert do(step.heals, folder) == 0
    step.holds(folder)
    assert state(folder) == never_killed(step)
