"""Addresses of artifacts that follow their home.

MLflow's database records each artifact's address from the root of the disk. So a home that was moved or copied would read from
its old folder, and write there. The artifacts of the embedded default lie beside their database. Where the recorded root is
another folder, the home was moved or copied. Then all addresses are written anew.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from infra.mlflow.records import RegistryError
from infra.settings import Settings

EXPERIMENT = "crossrec"
ADDRESSES = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}
_SQLITE = "sqlite:///"
SECONDS_TO_WAIT = 60  # for another process that writes MLflow's database


def embedded_database(settings: Settings) -> Path | None:
    """The SQLite file of MLflow. None where MLflow is on a server or in another kind of database."""
    uri = settings.mlflow_uri
    return Path(uri.removeprefix(_SQLITE)).absolute() if uri.startswith(_SQLITE) else None


def patient_uri(settings: Settings) -> str:
    """The address of MLflow, with which SQLite waits for another process that writes, instead of failing after seconds."""
    return f"{settings.mlflow_uri}?timeout={SECONDS_TO_WAIT}" if embedded_database(settings) else settings.mlflow_uri


def artifact_root(database: Path) -> Path:
    """The folder of all artifacts: the one beside the database."""
    return database.parent / "artifacts"


def follow_home(settings: Settings) -> None:
    """Writes the addresses of a moved or copied home anew, all or none. Two processes may do it at once.

    Where people chose a root that is no folder of this disk, nothing changes. This needs no MLflow, so a server can be started
    right after it.

    Raises:
        RegistryError: the artifacts were not moved or copied with the database.
    """
    database = embedded_database(settings)
    if database is None or not database.exists():
        return
    root = artifact_root(database)
    with closing(sqlite3.connect(database, timeout=SECONDS_TO_WAIT, isolation_level=None)) as connection:
        recorded = _recorded_root(connection)
        if recorded is None or recorded == root.as_uri() or not recorded.startswith("file:"):
            return
        if not root.is_dir():
            raise RegistryError(
                f"MLflow's database {database} was moved or copied without its artifacts: folder {root} does not exist. "
                f"Received: artifacts recorded in {recorded}. Remedy: copy that folder to {root}."
            )
        connection.execute("begin immediate")
        for table, columns in ADDRESSES.items():
            for column in columns:
                _rewrite(connection, table, column, recorded, root.as_uri())
        connection.execute("commit")


def _recorded_root(connection: sqlite3.Connection) -> str | None:
    """The experiment's root. None in a database that has no experiment yet."""
    if not connection.execute("select 1 from sqlite_master where name = 'experiments'").fetchone():
        return None
    found = connection.execute("select artifact_location from experiments where name = ?", [EXPERIMENT]).fetchone()
    return str(found[0]) if found else None


def _rewrite(connection: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    connection.execute(
        f'update "{table}" set "{column}" = $new || substr("{column}", length($old) + 1)'
        f' where "{column}" = $old or substr("{column}", 1, length($old) + 1) = $old || \'/\'',
        {"old": old, "new": new},
    )
