"""Platforms that are databases: DuckDB attaches them as ``source``."""

from pathlib import Path

import duckdb

from infra.duckdb_connection import create_secret
from infra.platforms.declaration import Address, Platform, SourceTable
from infra.platforms.errors import PlatformError
from infra.platforms.relation import Relation, identifier, literal
from infra.settings import Settings

EXTENSION = {"duckdb": "duckdb", "sqlite": "sqlite", "postgresql": "postgres", "mysql": "mysql"}


def attach(connection: duckdb.DuckDBPyConnection, platform: Platform, settings: Settings, *, read_only: bool) -> str:
    """Attach the platform's database as ``source``; return the quoted name of its schema, ready for a table's name."""
    address = platform.address(settings)
    extension = EXTENSION[address.scheme]
    options = [f"type {extension}"] + ["read_only"] * read_only + ["busy_timeout 1000"] * (extension == "sqlite")
    if extension != "duckdb":
        connection.execute(f"load {extension}")
    if address.scheme in ("duckdb", "sqlite"):
        _require_file(platform, address)
        place, schema = address.path, "main"
    else:
        patience = {"connect_timeout": "10"} if extension == "postgres" else {}
        place = " ".join(f"{option}={value}" for option, value in (patience | address.options).items())
        schema = "public" if extension == "postgres" else address.path.strip("/")
        login = {"host": address.host, "user": address.user, "password": address.password}
        login |= {"port": str(address.port) if address.port else None, "database": address.path.strip("/")}
        create_secret(connection, "source_login", extension, login)
        options.append("secret source_login")
    connection.execute(f"attach {literal(place)} as source ({', '.join(options)})")
    return f"source.{identifier(platform.database_schema or schema)}"


def database_relation(
    connection: duckdb.DuckDBPyConnection, platform: Platform, table: SourceTable, settings: Settings
) -> Relation:
    """The table of the attached database, with SQLite's columns as text: its types bind nothing."""
    schema = attach(connection, platform, settings, read_only=True)
    types = _columns(connection, platform, schema, table)
    as_text = platform.address(settings).scheme == "sqlite"
    if as_text:
        connection.execute("detach source")
        connection.execute("set global sqlite_all_varchar = true")
        attach(connection, platform, settings, read_only=True)
    query = (
        f"select *, null::varchar as _unreadable, null::timestamp as _file_date from {schema}.{identifier(table.name)}"
    )
    return Relation(query, types, as_text, in_order=False)


def _columns(
    connection: duckdb.DuckDBPyConnection, platform: Platform, schema: str, table: SourceTable
) -> dict[str, str]:
    tables = [
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.tables"
            " where table_catalog = 'source' and 'source.\"' || table_schema || '\"' = $schema order by table_name",
            {"schema": schema},
        ).fetchall()
    ]
    if table.name not in tables:
        raise PlatformError(
            platform.name,
            table.name,
            "the source has no such table",
            received=", ".join(tables) or "an empty schema",
            remedy=f"correct the name in _{platform.name}__sources.yml, or restore the table",
        )
    described = connection.execute(f"describe {schema}.{identifier(table.name)}").fetchall()
    return {name: kind for name, kind, *_ in described}


def _require_file(platform: Platform, address: Address) -> None:
    if not Path(address.path).is_file():
        raise PlatformError(
            platform.name,
            None,
            "the database file is missing",
            received=address.path,
            remedy=f"set {platform.connection} to where it lies, or make the demo's with `crossrec demo`",
        )
