"""What can go wrong at a platform. A message tells an operator what to do, and never holds a value of a row."""

import errno
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import duckdb
import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from infra.platforms.declaration import Platform

T = TypeVar("T")

DISK_IS_FULL = "the disk is full"
FOREIGN_ERRORS = (duckdb.Error, OSError, pa.ArrowException, BotoCoreError, ClientError)


class PlatformError(RuntimeError):
    """A platform could not be read or written; ``retryable`` says whether trying again later can help."""

    def __init__(
        self, platform: str, table: str | None, problem: str, *, received: str, remedy: str, retryable: bool = False
    ) -> None:
        self.platform, self.table, self.retryable = platform, table, retryable
        place = f"platform '{platform}'" + (f", table '{table}'" if table else "")
        super().__init__(f"{place}: {problem}. Received: {received}. Remedy: {remedy}.")
        self._arguments = (platform, table, problem, received, remedy, retryable)

    @property
    def harms_everybody(self) -> bool:
        """Whether the cause lies with us and not with the platform: no other platform could go on either."""
        return self._arguments[2] == DISK_IS_FULL

    def __reduce__(self) -> tuple[Callable[..., "PlatformError"], tuple[object, ...]]:
        return _rebuild, self._arguments


def _rebuild(
    platform: str, table: str | None, problem: str, received: str, remedy: str, retryable: bool
) -> PlatformError:
    return PlatformError(platform, table, problem, received=received, remedy=remedy, retryable=retryable)


# (what the driver's message holds, the problem, the remedy, retryable); the first that matches names the problem
_KNOWN = (
    (
        r"no space left|disk quota exceeded|enospc",
        DISK_IS_FULL,
        "free space where CROSSREC_HOME and the lake lie, or move them to a larger disk, and run the night again",
        False,
    ),
    (
        r"could not set lock|conflicting lock|database is locked|unique file handle conflict|already attached"
        r"|different configuration|being used by another process",
        "the database is locked by another process",
        "wait until its writer is done; the next try reads it",
        True,
    ),
    (
        r"authentication failed|access denied|no pg_hba\.conf entry|role .* does not exist|no password supplied"
        r"|permission denied|readonly|read-only|\b403\b"
        r"|forbidden|invalidaccesskeyid|signaturedoesnotmatch|unable to locate credentials",
        "the credentials were refused",
        "check user, password and rights in the URL of {connection}",
        False,
    ),
    (
        r'database "[^"]*" does not exist|unknown database|nosuchbucket|schema with name',
        "the database does not exist",
        "check the name at the end of the URL of {connection}",
        False,
    ),
    (
        r"connection refused|could not connect|unable to connect|can't connect|could not translate host|unknown.*host"
        r"|timed? ?out|closed the connection|connection .*(closed|reset|lost)|lost connection|gone away|starting up"
        r"|shutting down|terminating connection|too many (connections|clients)|deadlock|endpoint url",
        "the database cannot be reached",
        "check that it runs and that the host and port in the URL of {connection} are right; the next try may find it",
        True,
    ),
    (
        r"trying to read a database file with version number",
        "the file was written by another version of DuckDB",
        "write it with DuckDB 1.5, or export it as Parquet",
        False,
    ),
    (
        r"magic bytes|not a valid duckdb database|not a database|malformed|corrupt|thrift|tprotocol|too small to be"
        r"|checksum|failed to read metadata|footer|decompress|zstd|snappy|failed to read file|don't know what type"
        r"|invalid ttype|could not read enough bytes|out of buffer",
        "the file is corrupt",
        "restore it at its source, then run the night again",
        False,
    ),
    (
        r"out of memory|failed to allocate",
        "the load does not fit into memory",
        "raise CROSSREC_DUCKDB_MEMORY_LIMIT",
        False,
    ),
    (
        r"does not exist|no such file|not found",
        "something that was just there is gone",
        "check the source of {connection}, then run the night again",
        True,
    ),
)


def as_platform_error(
    error: Exception, platform: "Platform", table: str | None, file: str | None = None
) -> PlatformError:
    """Name the problem by what the driver said, and repeat nothing of it: drivers quote values and passwords.

    ``file`` is the platform's file that was read, where it is known.
    """
    if isinstance(error, OSError) and not isinstance(error, duckdb.Error):
        said = errno.errorcode.get(error.errno or 0, "") + " " + (error.strerror or str(error))
    else:
        said = str(error)
    kind = type(error).__name__ + (f" in {file}" if file else "")
    if not isinstance(
        error, duckdb.ConversionException | duckdb.InvalidInputException | duckdb.ConstraintException
    ) or (re.search(r"magic bytes|too small to be", said, re.IGNORECASE)):
        for pattern, problem, remedy, retryable in _KNOWN:
            if re.search(pattern, said, re.IGNORECASE):
                remedy = remedy.format(connection=platform.connection)
                return PlatformError(platform.name, table, problem, received=kind, remedy=remedy, retryable=retryable)
    return PlatformError(
        platform.name,
        table,
        "the source holds a value or a structure that cannot be read",
        received=f"{kind} (its text is left out: it may quote a row)",
        remedy="read the table with the database's own client to find the row, or drop the column from the declaration",
    )


def guarded(platform: "Platform", table: str | None, work: Callable[[], T], file: str | None = None) -> T:
    """Do the work; what a driver raises leaves as a PlatformError, without the driver's text, traceback or context."""
    try:
        return work()
    except FOREIGN_ERRORS as error:
        failure = as_platform_error(error, platform, table, file)
    raise failure  # outside of the except block: nothing of the driver's error stays attached
