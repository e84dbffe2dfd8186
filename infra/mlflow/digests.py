"""What the files of a version were when it was logged: SHA-256, kept in the lake, outside of MLflow.

Whoever can write to the artifacts of MLflow could put other files there, and files of models can run commands where they are
loaded. So a night reads no file of a version before its digest is found to be the one in the lake.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.lake import Lake
from infra.mlflow.records import ModelVersion, RegistryError

_NOTE = "registered_model_meta"


class Digests(BaseModel):
    """SHA-256 of each file of a version, by its path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, str]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digests_of(folder: Path) -> dict[str, str]:
    """The digest of each file below the folder, by its path, but of the note that MLflow writes where it gives the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != _NOTE)
    return {file.relative_to(folder).as_posix(): digest(file.read_bytes()) for file in files}


def keep_digests(lake: Lake, run_id: str, files: Mapping[str, str]) -> None:
    """Keep the digests of the version that this run logs. It comes before the version, so that no version is without them."""
    lake.put(_key(run_id), Digests(files=dict(files)).model_dump_json(indent=1).encode())


def verified_files(lake: Lake, version: ModelVersion, folder: Path) -> dict[str, bytes]:
    """The content of the version's files, which lie in the folder. Files that were not logged are left out.

    Raises:
        RegistryError: The lake has no digests of the version, or a file is not the one that was logged.
        FileNotFoundError: A file is missing.
    """
    try:
        expected = Digests.model_validate_json(lake.read(_key(version.run_id))[0]).files
    except (FileNotFoundError, ValidationError) as error:
        received = "none" if isinstance(error, FileNotFoundError) else "a damaged file"
        raise _refused(version, f"the lake has no digests of it ({lake.uri(_key(version.run_id))})", received) from None
    content = {name: (folder / name).read_bytes() for name in expected}
    if changed := sorted(name for name in expected if digest(content[name]) != expected[name]):
        raise _refused(version, f"its files are damaged, or not those that were logged ({folder})", ", ".join(changed))
    return content


def _key(run_id: str) -> str:
    return f"models/{run_id}.json"


def _refused(version: ModelVersion, problem: str, received: str) -> RegistryError:
    return RegistryError(
        f"version {version.version} of '{version.name}' cannot be loaded: {problem}. Received: {received}. Remedy: put them "
        "back from a backup, or give the alias that it has (champion, challenger) to another version in MLflow; to train it "
        "anew, delete it there."
    )
