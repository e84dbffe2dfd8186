"""Addresses of artifacts that follow their home.

MLflow's database records each artifact's address from the root of the disk. So a home that was moved or copied would read from
its old folder, and write there. The embedded artifacts lie beside their database. Where the recorded root is another folder, the
home was moved or copied, and all addresses are written anew.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from infra.mlflow.records import RegistryError

ADDRESSES = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}
_SECONDS = 60  # to wait for another process that writes


def follow_home(database: Path, recorded: str) -> None:
    """Rewrites every address below the `recorded` root to the folder beside `database`, all or none.

    `recorded` is the root that the experiment has now, as a URI. Two processes may do this at once. A root that is no folder of
    this disk is left as it is, for people chose it.

    Raises:
        RegistryError: the artifacts were not moved or copied with the database.
    """
    root = artifact_root(database)
    if recorded == root.as_uri() or not recorded.startswith("file:"):
        return
    if not root.is_dir():
        raise RegistryError(
            f"MLflow's database {database} was moved or copied without its artifacts: folder {root} does not exist. "
            f"Received: artifacts recorded in {recorded}. Remedy: copy that folder to {root}."
        )
    with closing(sqlite3.connect(database, timeout=_SECONDS, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        for table, columns in ADDRESSES.items():
            for column in columns:
                _rewrite(connection, table, column, recorded, root.as_uri())
        connection.execute("commit")


def artifact_root(database: Path) -> Path:
    """The folder of all artifacts: the one beside the database."""
    return (database.parent / "artifacts").absolute()


def _rewrite(connection: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    connection.execute(
        f'update "{table}" set "{column}" = $new || substr("{column}", length($old) + 1)'
        f' where "{column}" = $old or substr("{column}", 1, length($old) + 1) = $old || \'/\'',
        {"old": old, "new": new},
    )
