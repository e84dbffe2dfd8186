"""`make up`: real servers that answer, and nothing left of them after Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from infra.settings import PROJECT_ROOT

pytestmark = pytest.mark.timeout(300)


def _free_port() -> int:
    """A free port with a free one above it: Airflow uses the first, MLflow the second."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def test_up_serves_airflow_and_mlflow_and_ctrl_c_stops_all_of_it(prepared_home: Path) -> None:
    port = _free_port()
    up = subprocess.Popen(
        [sys.executable, "-m", "dags.cli", "up", "--port", str(port)],
        cwd=PROJECT_ROOT,
        env={**os.environ, "CROSSREC_HOME": str(prepared_home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert up.stdout is not None
    said: list[str] = []
    for line in up.stdout:
        said.append(line)
        if line.startswith("logs"):
            break
    children = psutil.Process(up.pid).children(recursive=True)
    try:
        assert f"http://127.0.0.1:{port}" in "".join(said), said
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health") as answer:
            health = json.load(answer)
        assert health["metadatabase"]["status"] == "healthy"
        with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/health") as answer:
            assert answer.read() == b"OK"
        assert listening(children) == {("127.0.0.1", port), ("127.0.0.1", port + 1)}
    finally:
        up.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            up.wait(timeout=60)
        _, left = psutil.wait_procs(children, timeout=5)
        for process in left:  # a failing test leaves nothing either
            process.kill()
        up.kill()
        up.communicate()
    assert len(children) >= 5
    assert not left
    assert up.returncode == 0


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """Addresses that the processes listen on."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            sockets = [socket for socket in process.net_connections("inet") if socket.status == psutil.CONN_LISTEN]
            found |= {(socket.laddr.ip, socket.laddr.port) for socket in sockets}
    return found


def test_a_taken_port_is_named_with_the_remedy(tmp_path: Path) -> None:
    port = _free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        up = subprocess.run(
            [sys.executable, "-m", "dags.cli", "up", "--port", str(port)],
            cwd=PROJECT_ROOT,
            env={**os.environ, "CROSSREC_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=200,
        )
    assert up.returncode == 1
    assert "--port" in up.stdout
