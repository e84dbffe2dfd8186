"""A night that is killed heals when it is run again, and ends in what a night that was never killed would give."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import FIRST, TwoNights, command, crossrec, environment_of, nightly, served

PATIENCE = 240  # seconds until the night has to be where it is killed


def test_a_night_killed_in_the_marts_gives_the_same_lists_when_run_again(
    prepared_home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In a fresh home, so that it also shows that the same night elsewhere gives the same lists."""
    home = prepared_home
    with (tmp_path / "output").open("w") as output:
        night = subprocess.Popen(
            command(*nightly(FIRST)), env=environment_of(home), stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait_until_marts_are_being_built(home, night)
        finally:
            os.killpg(night.pid, signal.SIGKILL)
            night.wait()
    assert not (home / "lake" / "publications").exists()

    again = crossrec(home, *nightly(FIRST))
    assert again.returncode == 0, again.stdout + again.stderr
    two_nights: TwoNights = request.getfixturevalue("two_nights")  # another test process may have run them meanwhile
    assert served(home) == two_nights.served[FIRST]
    lists = f"nights/as_of={FIRST}/lists.parquet"
    assert (home / "lake" / lists).read_bytes() == (two_nights.home / "lake" / lists).read_bytes()


def _wait_until_marts_are_being_built(home: Path, night: "subprocess.Popen[bytes]") -> None:
    progress = home / "logs" / f"nightly-{FIRST}.progress"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and night.poll() is None:
        lines = progress.read_text().splitlines() if progress.exists() else []
        if "task\tbuild_marts" in lines and len(lines) > lines.index("task\tbuild_marts") + 15:
            return
        time.sleep(0.05)
    pytest.fail(f"the night never built its marts; it ended with {night.poll()}")
