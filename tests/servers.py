"""Real servers on loopback for the tests that want one: Postgres and MariaDB from the system's binaries, an S3 API."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from infra.duckdb_connection import create_secret, duckdb_connection
from infra.settings import Settings

PASSWORD = "pa'ss/word @1"


@dataclass(frozen=True)
class Database:
    """A real database: its URL, its word for a time without a zone, and a way to run SQL in it."""

    technology: str
    url: str
    time_type: str
    execute: Callable[[str], list[Any]]


@dataclass(frozen=True)
class Server:
    """A running database server with an all-powerful user 'crossrec'."""

    extension: str
    scheme: str
    port: int
    first_database: str
    options: str

    def url(self, database: str, password: str = "pa%27ss%2Fword%20%401") -> str:
        return f"{self.scheme}://crossrec:{password}@127.0.0.1:{self.port}/{database}{self.options}"

    def run(self, settings: Settings, database: str, sql: str) -> list[Any]:
        with closing(duckdb_connection(settings)) as connection:
            connection.execute(f"load {self.extension}")
            login = {"host": "127.0.0.1", "port": str(self.port), "user": "crossrec", "password": PASSWORD}
            create_secret(connection, "login", self.extension, {**login, "database": database})
            connection.execute(f"attach '' as db (type {self.extension}, secret login)")
            if sql.lstrip().startswith("select"):
                return connection.execute(f"select * from {self.extension}_query('db', $sql)", {"sql": sql}).fetchall()
            alone = ", use_transaction := false" if self.extension == "postgres" else ""  # create database wants it
            return connection.execute(f"call {self.extension}_execute('db', $sql{alone})", {"sql": sql}).fetchall()

    def fresh_database(self, settings: Settings) -> Database:
        name = f"shop_{secrets.token_hex(4)}"
        self.run(settings, self.first_database, f"create database {name}")
        time_type = "datetime(6)" if self.scheme == "mysql" else "timestamp"
        return Database(self.extension, self.url(name), time_type, lambda sql: self.run(settings, name, sql))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    with _running(
        user="postgres",
        package="postgresql",
        secret=PASSWORD,
        install="initdb -D {folder}/data -U crossrec -A scram-sha-256 --pwfile {folder}/secret -E UTF8 --no-sync",
        serve="postgres -D {folder}/data -p {port} -k {folder} -h 127.0.0.1 -F",
    ) as port:
        yield Server("postgres", "postgresql", port, "postgres", "?sslmode=prefer&application_name=crossrec")


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[Server]:
    password = PASSWORD.replace("'", "''")
    with _running(
        user="mysql",
        package="mariadb-server",
        secret=f"create user 'crossrec'@'127.0.0.1' identified by '{password}';\n"
        "grant all on *.* to 'crossrec'@'127.0.0.1' with grant option;\ncreate database first;\n",
        install="mariadb-install-db --no-defaults --datadir={folder}/data --skip-test-db",
        serve="mariadbd --no-defaults --datadir={folder}/data --init-file={folder}/secret --pid-file={folder}/pid"
        " --tmpdir={folder} --socket={folder}/socket --port={port} --bind-address=127.0.0.1 --skip-name-resolve",
    ) as port:
        yield Server("mysql", "mysql", port, "first", "?ssl_mode=preferred")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 API in this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a fresh bucket; credentials for it are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    name = f"lake-{secrets.token_hex(4)}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    return name


@pytest.fixture
def unused_port() -> int:
    """A port of this machine on which nothing listens."""
    return _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(*, user: str, package: str, secret: str, install: str, serve: str) -> Iterator[int]:
    """The port of a database server that is made and started for the session.

    ``install`` and ``serve`` are commands in which ``{folder}`` is the server's own, with ``secret`` in a file of that name.
    """
    commands = [command.split() for command in (install, serve)]
    if not all(_binary(name) for name, *_ in commands):
        pytest.skip(f"no {commands[1][0]} on this machine: install {package} to run this test")
    port = _free_port()
    with _server_folder(user) as (folder, as_user):
        (folder / "secret").write_text(secret)
        (folder / "secret").chmod(0o644)
        install_it, serve_it = (
            [str(_binary(name)), *(option.format(folder=folder, port=port) for option in options)]
            for name, *options in commands
        )
        as_user(install_it).wait()
        server = as_user(serve_it)
        try:
            _wait_for(server, port)
            yield port
        finally:
            server.terminate()
            server.wait(30)


def _binary(name: str) -> str | None:
    """From PATH, or from Debian's folder of the newest Postgres."""
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or shutil.which(name, path="/usr/sbin") or (str(packaged[-1]) if packaged else None)


@contextmanager
def _server_folder(user: str) -> Iterator[tuple[Path, Callable[[list[str]], "subprocess.Popen[bytes]"]]]:
    """A folder for a server's data, and a way to start programs as the user it needs: no server wants to be root.

    Not below pytest's own folder, which nobody else may enter.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"crossrec-{user}-"))
    prefix: list[str] = []
    if os.geteuid() == 0:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
        prefix = ["setpriv", f"--reuid={user}", f"--regid={account.pw_gid}", "--clear-groups"]
    log = (folder / "log").open("ab")
    try:
        yield (
            folder,
            lambda command: subprocess.Popen(
                [*prefix, *command], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ),
        )
    finally:
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(server: "subprocess.Popen[bytes]", port: int) -> None:
    """Until the server listens."""
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            pytest.fail(f"the server on port {port} ended with {server.returncode}")
        time.sleep(0.05)
