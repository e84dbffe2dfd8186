"""`make up`: Airflow's and MLflow's servers as children of this process, all of them stopped with it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.error import URLError

from infra.deploy.embedded import airflow_environment
from infra.mlflow.addresses import follow_home
from infra.settings import PROJECT_ROOT, Settings

HEALTHY_WITHIN = 180  # seconds
GRACE = 20  # seconds between asking and killing


class ServerError(RuntimeError):
    """A server did not come up; the message names its log."""


def serve(settings: Settings, port: int, tell: Callable[[str], None], lock: int) -> None:
    """Run until Ctrl-C or SIGTERM, then stop every server and whatever it started.

    The servers hold ``lock``, the home's, too: where this process is killed, no night begins beside them.
    """
    mlflow_port = port + 1
    for wanted in (port, mlflow_port):
        _require_free(wanted)
    environment = airflow_environment(settings, port)
    logs = settings.home / "logs"
    for folder in (logs, settings.home / "mlflow"):
        folder.mkdir(parents=True, exist_ok=True)
    prepare_airflow(environment)
    follow_home(settings)
    for stop in (signal.SIGINT, signal.SIGTERM):  # a process started in the background ignores Ctrl-C unless told
        signal.signal(stop, signal.default_int_handler)
    servers: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in _commands(settings, mlflow_port).items():
            servers[name] = _start(command, environment, logs / f"{name}.log", lock)
        tell("starting Airflow and MLflow (Ctrl-C stops all of it)")
        _wait_for(f"http://127.0.0.1:{port}/api/v2/monitor/health", "api-server", servers, logs)
        _wait_for(f"http://127.0.0.1:{mlflow_port}/health", "mlflow", servers, logs)
        tell(f"Airflow  http://127.0.0.1:{port}   no login: everybody on this machine is admin")
        tell(f"MLflow   http://127.0.0.1:{mlflow_port}   no login")
        tell(f"logs     {logs}")
        while all(server.poll() is None for server in servers.values()):
            time.sleep(1)
        ended = next(name for name, server in servers.items() if server.poll() is not None)
        raise ServerError(
            f"{ended} ended by itself. Received: exit {servers[ended].returncode}. Log: {logs / ended}.log"
        )
    except KeyboardInterrupt:
        tell("stopping")
    finally:
        _stop(servers.values())


def _commands(settings: Settings, mlflow_port: int) -> dict[str, list[str]]:
    """The command line of each server, by the name of its log."""
    airflow = {
        name: [sys.executable, "-m", "airflow", name, *options]
        for name, *options in (
            ("api-server",),
            # they would serve their logs to the whole network; here Airflow's pages read the files themselves
            ("scheduler", "--skip-serve-logs"),
            ("dag-processor",),
            ("triggerer", "--skip-serve-logs"),
        )
    }
    mlflow = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow_port)),
        *("--workers", "1", "--backend-store-uri", settings.mlflow_uri),
        *("--default-artifact-root", (settings.home / "mlflow" / "artifacts").absolute().as_uri()),
    ]
    return {**airflow, "mlflow": mlflow}


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just closed is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ServerError(
                f"port {port} is taken. Received: another program listens there. Remedy: `crossrec up --port 8090`."
            ) from None


def prepare_airflow(environment: Mapping[str, str]) -> None:
    """Bring Airflow's database to the version that is installed; once for each version is enough."""
    home = Path(environment["AIRFLOW_HOME"])
    prepared = home / f"prepared-{version('apache-airflow')}"
    if prepared.exists() and (home / "airflow.db").exists():
        return
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(migrate, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ServerError(f"`airflow db migrate` failed. Received: {done.stderr[-500:]}")
    prepared.touch()


def _start(command: list[str], environment: Mapping[str, str], log: Path, lock: int) -> "subprocess.Popen[bytes]":
    """In a process group of its own, so that stopping it stops its children too."""
    with log.open("w") as output:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=PROJECT_ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock],
        )


def _wait_for(url: str, name: str, servers: Mapping[str, "subprocess.Popen[bytes]"], logs: Path) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN
    while time.monotonic() < deadline:
        for other, server in servers.items():
            if server.poll() is not None:
                raise ServerError(
                    f"{other} did not start. Received: exit {server.returncode}. Remedy: read {logs / other}.log."
                )
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # our own server on loopback
                return
        except (URLError, OSError):
            time.sleep(0.5)
    raise ServerError(f"{name} did not answer within {HEALTHY_WITHIN} s. Log: {logs / name}.log")


def _stop(servers: Iterable["subprocess.Popen[bytes]"]) -> None:
    running = [server for server in servers if server.poll() is None]
    for server in running:
        os.killpg(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for server in running:
        try:
            server.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
