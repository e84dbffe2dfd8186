"""State of the installation that is damaged or out of reach: one error, which names the path and the remedy."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import duckdb
from pydantic import ValidationError

FULL, READ_ONLY = (errno.ENOSPC, errno.EDQUOT), (errno.EROFS,)
FORBIDDEN, OF_ANOTHER_KIND = (errno.EACCES, errno.EPERM), (errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
FREE_SPACE = "free space there, or move CROSSREC_HOME and the lake to a larger disk, and run this again"
MORE_MEMORY = "raise CROSSREC_DUCKDB_MEMORY_LIMIT, or close other programs, and run this again"
# (what SQLite says of MLflow's or Airflow's database, the problem, the remedy, whether waiting helps)
SQLITE = (
    ("database is locked", "is locked", "let the program that writes it finish, and run this again", True),
    (
        "readonly database",
        "cannot be written",
        "let this user write the file and its folder, and run this again",
        False,
    ),
    ("disk is full", "cannot be written, because the disk is full", FREE_SPACE, False),
    ("disk i/o error", "cannot be written", "see whether its disk is full or broken, and run this again", False),
    ("malformed|not a database", "is damaged", "restore the file from a backup", False),
    (
        "unable to open database file",
        "cannot be opened",
        "see that the folder is there and may be read and written",
        False,
    ),
)
# the same for what DuckDB says of the warehouse, or of a file in the lake
DUCKDB = (
    ("out of memory|failed to allocate|could not allocate", "does not fit into memory", MORE_MEMORY),
    ("no space left|disk quota", "cannot be written, because the disk is full", FREE_SPACE),
    (
        "permission denied|read-only file|read only file",
        "may not be read or written",
        "give this user the right to do so",
    ),
    (
        "not a valid duckdb|checksum|corrupt|magic bytes|too small to be|deserialize|failed to load metadata",
        "is damaged",
        "a warehouse may be deleted: the next night builds it again from the lake. Run the night again that wrote a file of the"
        " lake",
    ),
    ("is a directory", "is a folder where a file belongs", "move the folder away, and run this again"),
)


class StateError(RuntimeError):
    """A file, database or disk that crossrec itself keeps is damaged or cannot be used.

    ``path`` says where it lies, and ``retryable`` whether trying again later can help. The message holds no value of a row.
    ``problem`` alone is the whole message, where it says already what was received and what to do.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: object = "",
        received: str | None = None,
        remedy: str | None = None,
        retryable: bool = False,
    ) -> None:
        self.path, self.retryable = str(path), retryable
        told = "" if received is None else f". Received: {received}"
        super().__init__(problem + told + (f". Remedy: {remedy}." if remedy else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), str(self), self.path, self.retryable)

    @classmethod
    def _of(cls, message: str, path: str, retryable: bool) -> Self:
        error = cls.__new__(cls)
        RuntimeError.__init__(error, message)
        error.path, error.retryable = path, retryable
        return error


def _rebuilt(kind: type[StateError], message: str, path: str, retryable: bool) -> StateError:
    return kind._of(message, path, retryable)


@contextmanager
def damage_named(path: str, remedy: str, kind: type[StateError] = StateError) -> Iterator[None]:
    """Say which file is damaged, where its content in this block is no JSON, lacks something or has another shape.

    Raises:
        StateError: of this ``kind``; it names the first thing that is wrong, and no value of the file.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        received = f"{place}: {first['msg']}" if place else first["msg"]
    except (ValueError, TypeError, KeyError) as error:
        received = str(error).splitlines()[0]
    else:
        return
    raise kind(f"{path} is damaged", path=path, received=received, remedy=remedy)


def as_state_error(error: BaseException, mlflow: str = "MLflow's database") -> StateError | None:
    """The error, or what caused it, as a `StateError`, if an operator can cause and mend it; None for any other error.

    ``mlflow`` is where MLflow's database lies.
    """
    for cause in _causes(error):
        found = _of_memory(cause) or _of_duckdb(cause) or _of_sqlite(cause, mlflow) or _of_system(cause)
        if isinstance(cause, StateError):
            return cause
        if found is not None:
            return found
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _of_system(error: BaseException) -> StateError | None:
    """What the operating system says of a file."""
    if not isinstance(error, OSError) or isinstance(error, ConnectionError | TimeoutError | duckdb.Error):
        return None
    if error.errno is None and not isinstance(error, FileNotFoundError | PermissionError):
        return None
    path = str(error.filename or "a file")
    if "Remedy: " in str(error):  # the lake says it already
        problem, _, remedy = str(error.strerror).partition("; ")
        remedy = remedy.rpartition("Remedy: ")[2]
    elif error.errno in FULL:
        problem, remedy = "the disk is full", FREE_SPACE
    elif error.errno in READ_ONLY:
        problem, remedy = "the disk is read-only", "let it be written again, or set CROSSREC_HOME to another one"
    elif error.errno in FORBIDDEN or isinstance(error, PermissionError):
        problem, remedy = (
            "this user has no right to it",
            "give this user the right to read and write it, and run this again",
        )
    elif error.errno in OF_ANOTHER_KIND:
        problem, remedy = "a folder lies where a file belongs, or a file where a folder belongs", "move it away"
    elif isinstance(error, FileNotFoundError):
        problem, remedy = "there is no such file", "run the night that makes it, or restore it from a backup"
    else:
        problem, remedy = "it cannot be read or written", "see whether its disk is there and whole, and run this again"
    received = error.strerror or str(error)
    return StateError(f"{path}: {problem}", path=path, received=received.partition(";")[0], remedy=remedy)


def _of_memory(error: BaseException) -> StateError | None:
    if isinstance(error, MemoryError) and not isinstance(error, duckdb.Error):
        received = str(error) or "MemoryError"
        return StateError("this does not fit into memory", path="", received=received, remedy=MORE_MEMORY)
    return None


def _of_duckdb(error: BaseException) -> StateError | None:
    if not isinstance(error, duckdb.Error):
        return None
    said = str(error).splitlines()[0]
    path = next(iter(re.findall(r"[\"'](/[^\"']+|s3://[^\"']+)[\"']", said)), "the warehouse")
    for pattern, problem, remedy in DUCKDB:
        if re.search(pattern, said, re.IGNORECASE):
            return StateError(f"{path} {problem}", path=path, received=type(error).__name__, remedy=remedy)
    return None


def _of_sqlite(error: BaseException, mlflow: str) -> StateError | None:
    """Of `sqlite3`, and of SQLAlchemy and MLflow, which repeat what it says."""
    if type(error).__module__.partition(".")[0] not in ("sqlite3", "sqlalchemy", "mlflow"):
        return None
    path = mlflow if _passes(error, "mlflow") else "a database of SQLite"
    for pattern, problem, remedy, retryable in SQLITE:
        if found := re.search(pattern, str(error), re.IGNORECASE):
            received = found.group()
            return StateError(f"{path} {problem}", path=path, received=received, remedy=remedy, retryable=retryable)
    return None


def _passes(error: BaseException, package: str) -> bool:
    """Whether the error came through code of the package."""
    frame = error.__traceback__
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__")).partition(".")[0] == package:
            return True
        frame = frame.tb_next
    return type(error).__module__.partition(".")[0] == package
