"""Steps that a kill -9 ends at a certain change: what they do in a process of its own, and a server that forks such processes.

`python -m tests.killed` reads lines on its input: a job, the folder that it works in, and how many changes it may make before it is
killed (-1: none kills it). It forks a process for each line and answers with the signal that ended it, 0 where it ran to its end.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from dags.steps.merge.kinds import PRODUCT
from dags.steps.merge.link import _write as write_identity
from dags.steps.merge.open_night import open_night
from dags.steps.night import Night
from dags.steps.records import Finished, ServingModel
from dags.steps.serve.publish import publish
from dags.steps.serve.roll_back import roll_back
from infra.identity_store import PassedIdentity
from infra.lake import LocalLake, open_lake
from infra.platforms import extract_table, load_platforms
from infra.platforms import write_back as write_lists
from infra.settings import Settings
from ml.identity.resolve import Identity

WRITE_BACK: Any = import_module("infra.platforms.write_back")  # the package has a function of the same name
FIRST, SECOND = date(2000, 12, 14), date(2000, 12, 15)
SOURCES = """
sources:
  - name: {name}
    config: {{meta: {{connection: CROSSREC_KILLED_URL, demo: "{url}", write_back: {{folder: recommendations}}}}}}
    tables:
      - name: customers
        config: {{meta: {{contract: accounts, key: [customer_no], watermark: updated_at, path: customers.jsonl}}}}
        columns:
          - name: customer_no
          - {{name: last_name, config: {{meta: {{identifier: vault, kind: surname}}}}}}
          - name: updated_at
"""


def settings_of(folder: Path) -> Settings:
    return Settings(home=folder / "home")


def platform_of(folder: Path, name: str, url: str) -> Any:
    file = folder / "staging" / name / f"_{name}__sources.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SOURCES.format(name=name, url=url))
    [platform] = load_platforms(folder / "staging")
    return platform


def extract(folder: Path) -> None:
    """A load of a table with a vault."""
    platform = platform_of(folder, "shop", f"file://{folder}/files")
    (folder / "files").mkdir(exist_ok=True)
    rows = [{"customer_no": f"C{n}", "last_name": f"N{n}", "updated_at": "2000-12-14T10:00:00"} for n in range(9)]
    file = folder / "files" / "customers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.utime(file, (0, 0))  # a manifest says when its files were written
    settings = settings_of(folder)
    extract_table(platform, platform.tables[0], SECOND, open_lake(settings), settings)


def lists_of(as_of: date, platform: str) -> pa.Table:
    return pa.table(
        {
            "platform": [platform] * 2,
            "account_id": ["a", "b"],
            "rank": pa.array([1, 1], pa.int32()),
            "item_id": [f"item of {as_of}"] * 2,
            "score": [0.5, 0.25],
            "strategy": ["popular"] * 2,
            "reason": pa.array([None] * 2, pa.string()),
            "as_of": [as_of] * 2,
            "model_version": ["1"] * 2,
            "recommendation_id": [f"{as_of}:a", f"{as_of}:b"],
        }
    )


def published(folder: Path, as_of: date) -> None:
    night = Night(as_of, "a run", settings_of(folder))
    (night.settings.demo_path / "forum").mkdir(parents=True, exist_ok=True)
    night.write_table(night.key("lists.parquet"), lists_of(as_of, "forum"))
    night.write(ServingModel(version=None, run_id=None))
    publish(night)


def roll_back_a_night(folder: Path) -> None:
    """In the lake and in the folder of a platform."""
    list(roll_back(settings_of(folder), "", apply=True, who="ada", why="bad lists"))


def finish_roll_back(folder: Path) -> None:
    """What the runbook says after a rollback that was killed: once more, and by name."""
    settings = settings_of(folder)
    lake = Night(FIRST, settings=settings).lake
    [older] = {key.split("/")[1] for key in lake.list(f"publications/{FIRST}")}
    list(roll_back(settings, older, apply=True, who="ada", why="bad lists"))


def write_back_to_a_database(folder: Path) -> None:
    platform = platform_of(folder, "shop", f"sqlite://{folder}/shop.sqlite")
    write_lists(platform, lists_of(SECOND, "shop").append_column("publication_id", [["p2", "p2"]]), settings_of(folder))


def write_back_before(folder: Path) -> None:
    (folder / "shop.sqlite").touch()
    platform = platform_of(folder, "shop", f"sqlite://{folder}/shop.sqlite")
    write_lists(platform, lists_of(FIRST, "shop").append_column("publication_id", [["p1", "p1"]]), settings_of(folder))


def identity(folder: Path, as_of: date, name: str) -> None:
    """The identity of a night, and that its gate lets it pass. All its tables have this ``name``."""
    night = Night(as_of, settings=settings_of(folder))
    current = pa.table({"platform": ["shop"], "id": ["i"], "cluster_id": [name]})
    records = pa.table({"platform": ["shop"], "id": ["i"], "fingerprint": [name]})
    tables = {kind: pa.table({"of": [name]}) for kind in ("retired", "redirects", "moves", "changes", "links")}
    write_identity(night, PRODUCT, pa.table({"of": [name]}), Identity(current=current, **tables), records)
    PRODUCT.store(night.lake).let_pass(as_of, PassedIdentity(model_version=name, vault_is_open=True))


def begin_again(folder: Path) -> None:
    """A night that was finished begins again, up to its end."""
    night = Night(SECOND, "a run", settings_of(folder))
    open_night(night)
    night.write(Finished(run_id="a run"))


JOBS: dict[str, Callable[[Path], None]] = {
    "extract": extract,
    "publish": partial(published, as_of=SECOND),
    "publish before": partial(published, as_of=FIRST),
    "roll back": roll_back_a_night,
    "finish roll back": finish_roll_back,
    "write back": write_back_to_a_database,
    "write back before": write_back_before,
    "identity": partial(identity, as_of=SECOND, name="tonight"),
    "identity of an earlier run": partial(identity, as_of=SECOND, name="an earlier run"),
    "identity before": partial(identity, as_of=FIRST, name="the night before"),
    "begin again": begin_again,
}


class Counted:
    """A connection of DuckDB whose statements are counted as changes."""

    def __init__(self, connection: Any, change: Callable[[], None]) -> None:
        self._connection, self._change = connection, change

    def execute(self, *arguments: Any) -> Any:
        self._change()
        return self._connection.execute(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def run(job: str, folder: Path, changes: int) -> None:
    """Do the job, and kill this process before its next change once it has made so many."""
    made = 0

    def change() -> None:
        nonlocal made
        if made == changes:
            os.kill(os.getpid(), signal.SIGKILL)
        made += 1

    replace, delete, connect = os.replace, LocalLake.delete, WRITE_BACK.duckdb_connection

    def counted_replace(source: Any, target: Any) -> None:
        if "duckdb_extensions" not in str(target):  # the first connection of a home links them
            change()
        replace(source, target)

    def counted_delete(lake: LocalLake, key: str) -> None:
        change()
        delete(lake, key)

    os.replace, LocalLake.delete = counted_replace, counted_delete  # type: ignore[assignment, method-assign]
    WRITE_BACK.duckdb_connection = lambda settings: Counted(connect(settings), change)
    os.environ.pop("CROSSREC_HOME", None)
    JOBS[job](folder)


def main() -> None:
    for line in sys.stdin:
        job, folder, changes = json.loads(line)
        child = os.fork()
        if not child:
            try:
                run(job, Path(folder), changes)
                os._exit(0)
            except BaseException as error:
                print(f"{job}: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
        _, status = os.waitpid(child, 0)
        answer = os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
