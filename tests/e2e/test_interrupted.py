"""A night that is killed heals when it is run again, and ends in what a night that was never killed would give.

`tests/dags/test_kill_points.py` kills single steps at each of their writes.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import FIRST, SECOND, TwoNights, command, crossrec, environment_of, nightly, served

PATIENCE = 240  # seconds until the night has to be where it is killed


def test_a_night_killed_in_the_marts_gives_the_same_lists_when_run_again(
    prepared_home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In a fresh home, so that it also shows that the same night elsewhere gives the same lists.

    First the command alone is killed. The process that does the night goes on, and holds the lock of its home until it is killed
    too.
    """
    home = prepared_home
    with (tmp_path / "output").open("w") as output:
        night = subprocess.Popen(
            command(*nightly(FIRST)), env=environment_of(home), stdout=output, stderr=output, start_new_session=True
        )
        worker = None
        try:
            _wait_until(home, "extract", 0)
            [worker] = [child for child in psutil.Process(night.pid).children() if "dags.cli.run" in child.cmdline()]
            night.kill()
            night.wait()
            beside = crossrec(home, *nightly(SECOND))
            assert beside.returncode == 1
            assert f"night.lock is locked by process {worker.pid} (the night of {FIRST})" in beside.stdout
            _wait_until(home, "build_marts", 15)
            assert worker.is_running()
        finally:
            os.killpg(night.pid, signal.SIGKILL)
            if worker:
                worker.wait(PATIENCE)
    assert not (home / "lake" / "publications").exists()

    again = crossrec(home, *nightly(FIRST))
    assert again.returncode == 0, again.stdout + again.stderr
    two_nights: TwoNights = request.getfixturevalue("two_nights")  # another test process may have run them meanwhile
    assert served(home) == two_nights.served[FIRST]
    lists = f"nights/as_of={FIRST}/lists.parquet"
    assert (home / "lake" / lists).read_bytes() == (two_nights.home / "lake" / lists).read_bytes()


def _wait_until(home: Path, task: str, further: int) -> None:
    """Until the night is in this task, by as many lines of progress."""
    progress = home / "logs" / f"nightly-{FIRST}.progress"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        lines = progress.read_text().splitlines() if progress.exists() else []
        begun = [number for number, line in enumerate(lines) if line.startswith(f"task\t{task}")]
        if begun and len(lines) > begun[0] + further:
            return
        time.sleep(0.05)
    pytest.fail(f"the night never came to {task}")
