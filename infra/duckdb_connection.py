"""DuckDB as crossrec opens it: extensions without a download, limits from the settings, S3 by boto3's credentials."""

import os
import uuid
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import duckdb

from infra.lake import Lake, S3Lake
from infra.settings import Settings

EXTENSIONS = ("httpfs", "mysql_scanner", "postgres_scanner", "sqlite_scanner")


def extension_directory(settings: Settings) -> Path:
    """The folder for ``extension_directory``: links to the binaries that came as wheels, laid out as DuckDB expects."""
    directory = settings.home.resolve() / "duckdb_extensions"
    with duckdb.connect() as connection:
        platform, version = connection.execute(
            "select platform, library_version from pragma_platform(), pragma_version()"
        ).fetchall()[0]
    links = directory / version / platform
    links.mkdir(parents=True, exist_ok=True)
    for name in EXTENSIONS:
        binary = (
            Path(str(resources.files(f"duckdb_extension_{name}"))) / "extensions" / version / f"{name}.duckdb_extension"
        )
        link = links / binary.name
        if not (link.is_symlink() and link.readlink() == binary):
            fresh = links / f".{binary.name}.{os.getpid()}"
            fresh.symlink_to(binary)
            fresh.replace(link)
    return directory


def duckdb_connection(
    settings: Settings, *lakes: Lake, database: Path | None = None, temp_directory: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection (in memory without ``database``) that reads the given lakes and can load every extension offline."""
    connection = duckdb.connect(
        str(database or ":memory:"),
        config={
            "extension_directory": str(extension_directory(settings)),
            "autoinstall_known_extensions": False,
            "memory_limit": settings.duckdb_memory_limit,
            "threads": settings.threads,
            "temp_directory": str(temp_directory or settings.home.resolve() / "spill" / uuid.uuid4().hex),
            "temp_file_encryption": True,  # what spills may hold identifiers
        },
    )
    connection.execute("set TimeZone = 'UTC'")
    for number, lake in enumerate(lakes):
        if isinstance(lake, S3Lake):
            create_s3_secret(connection, lake, f"lake_{number}")
    return connection


def create_s3_secret(connection: duckdb.DuckDBPyConnection, lake: S3Lake, name: str) -> None:
    """Let the connection read the lake, with the credentials that boto3 finds."""
    connection.execute("load httpfs")
    create_secret(connection, name, "s3", s3_options(lake))


def s3_options(lake: S3Lake) -> dict[str, str | None]:
    """Options of a DuckDB secret for the lake.

    Raises:
        PermissionError: boto3 finds no credentials.
    """
    session = boto3.Session()
    credentials = session.get_credentials()
    if credentials is None:
        raise PermissionError(
            f"no AWS credentials for {lake.uri()}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    frozen, region = credentials.get_frozen_credentials(), session.region_name or "us-east-1"
    endpoint = urlsplit(lake.endpoint or f"https://s3.{region}.amazonaws.com")
    return {
        "key_id": frozen.access_key,
        "secret": frozen.secret_key,
        "session_token": frozen.token,
        "region": region,
        "scope": f"s3://{lake.bucket}",
        "endpoint": endpoint.netloc,
        "url_style": "path" if lake.endpoint else "vhost",
        "use_ssl": str(endpoint.scheme == "https").lower(),
    }


def create_secret(connection: duckdb.DuckDBPyConnection, name: str, kind: str, options: dict[str, str | None]) -> None:
    """Make a DuckDB secret without a value in any statement; ``name`` and ``kind`` are the caller's constants."""
    given = {option: value for option, value in options.items() if value is not None}
    for option, value in given.items():
        connection.execute(f"set variable secret_{option} = $value", {"value": value})
    settings = ", ".join(f"{option} getvariable('secret_{option}')" for option in given)
    connection.execute(f"create or replace secret {name} (type {kind}, {settings})")
    for option in given:
        connection.execute(f"reset variable secret_{option}")
