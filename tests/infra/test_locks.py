"""Locks between processes, tried with two of them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from infra.locks import LockedError, hold
from infra.settings import PROJECT_ROOT

HOLD = """
import sys
from pathlib import Path
from infra.locks import hold
with hold(Path(sys.argv[1]), "builds the marts", shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_by_another_process(path: Path, how: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLD, str(path), how]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("theirs", "ours"), [("alone", "alone"), ("alone", "shared"), ("shared", "alone")])
def test_a_lock_that_another_process_holds_is_refused_and_free_afterwards(
    theirs: str, ours: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.lock"
    with held_by_another_process(path, theirs) as other:
        expected = f"process {other.pid} .builds the marts. since" if theirs == "alone" else "another process"
        with pytest.raises(LockedError, match=expected), hold(path, "reads", shared=ours == "shared"):
            pass
    with hold(path, "reads", shared=ours == "shared"):
        pass


def test_readers_share_a_lock(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path / "a.lock", "shared"), hold(tmp_path / "a.lock", "reads", shared=True):
        pass


def test_who_waits_is_told_for_whom_and_goes_on_when_the_lock_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "infra.locks")
    with held_by_another_process(tmp_path / "a.lock", "alone") as other:
        assert other.stdin is not None
        began = time.monotonic()
        with pytest.raises(LockedError), hold(tmp_path / "a.lock", "reads", shared=True, wait=0.5):
            pass
        assert time.monotonic() - began >= 0.5
        assert [record.getMessage().partition(" since")[0] for record in caplog.records] == [
            f"waiting up to 0 s for a.lock, which is locked by process {other.pid} (builds the marts)"
        ]
        other.stdin.write("\n")
        other.stdin.flush()
        with hold(tmp_path / "a.lock", "reads", shared=True, wait=60):
            assert (tmp_path / "a.lock").read_text() == ""


HAND_ON = """
import subprocess, sys
from pathlib import Path
from infra.locks import hold
work = "import signal, sys; from infra.locks import inherited; sys.argv[2:] and inherited(int(sys.argv[1]), 'works'); " \
    "print('works', flush=True); signal.pause()"
with hold(Path(sys.argv[1]), "starts the work") as lock:
    child = subprocess.Popen([sys.executable, "-c", work, str(lock), *sys.argv[2:]], pass_fds=[lock])
    print(child.pid, flush=True)
    child.wait()
"""


@pytest.mark.parametrize("writes_a_note", [True, False])
def test_who_does_the_work_holds_the_lock_when_the_one_who_started_it_is_killed(
    writes_a_note: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.lock"
    command = [sys.executable, "-c", HAND_ON, str(path), *(["note"] if writes_a_note else [])]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        said = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
        worker = psutil.Process(int((said - {"works"}).pop()))
        parent.kill()
        parent.wait()
        named = (
            rf"process {worker.pid} \(works\)"
            if writes_a_note
            else rf"processes that process {parent.pid} .*: {worker.pid}"
        )
        with pytest.raises(LockedError, match=named), hold(path, "reads"):
            pass
        worker.kill()
        with hold(path, "reads", wait=60):
            pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path / "a.lock", "alone") as other:
        other.kill()
        other.wait()
        with hold(tmp_path / "a.lock", "writes"):
            assert "writes" in (tmp_path / "a.lock").read_text()
