"""What stands in a task's log: our progress, facts, warnings and messages, and no frames of Airflow around them."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from infra.deploy.logs import is_ours, show_our_logs
from infra.settings import PROJECT_ROOT
from infra.warehouse import WarehouseError

# A task's process as Airflow makes it: its own logging as JSON on standard output, its logger of the task made beforehand
TASK = """
import logging, sys
import structlog
from airflow.sdk.log import configure_logging
configure_logging(json_output=True, output=sys.stdout.buffer, sending_to_supervisor=True)
log = structlog.get_logger(logger_name="task").bind()
from airflow.sdk.exceptions import AirflowFailException
from dags.tasks import readable_log
from infra.warehouse import WarehouseError

def step(error):
    for name in ("dags.steps.merge", "infra.warehouse", "great_expectations.core", "tensorflow"):
        logger = logging.getLogger(name)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            logger.log(level, "noted")
    raise error

full = OSError(28, "No space left on device", "/data/a")
for error in (WarehouseError("the file is gone. Remedy: build it"), full, KeyError("person_id")):
    try:
        with readable_log():
            step(error)
    except Exception:
        log.exception("Task failed with exception")
"""
NOTED = [
    *(("dags.steps.merge", level) for level in ("debug", "info", "warning")),
    *(("infra.warehouse", level) for level in ("debug", "info", "warning")),
    ("great_expectations.core", "warning"),
]


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """The log of tasks that fail: with an error of ours, on a full disk, and with a fault."""
    done = subprocess.run([sys.executable, "-c", TASK], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_task_logs_what_the_terminal_shows(lines: list[dict[str, Any]]) -> None:
    noted = [(line["logger"], line["level"]) for line in lines if line["event"] == "noted"]
    assert noted == NOTED * 3


def test_a_task_that_fails_with_an_error_of_ours_ends_with_its_message_alone(lines: list[dict[str, Any]]) -> None:
    last = lines[len(NOTED)]
    assert (last["level"], last["event"]) == ("error", "the file is gone. Remedy: build it")
    assert not {"exception", "error_detail"} & {*last}


def test_a_task_that_meets_a_full_disk_says_what_to_do_and_no_more(lines: list[dict[str, Any]]) -> None:
    last = lines[2 * len(NOTED) + 1]
    assert last["event"].startswith("/data/a: the disk is full. Received: No space left on device. Remedy: free space")
    assert not {"exception", "error_detail"} & {*last}


def test_an_error_that_is_not_ours_keeps_its_traceback(lines: list[dict[str, Any]]) -> None:
    last = lines[-1]
    assert last["event"] == "Task failed with exception"
    assert "KeyError" in str(last["exception"])
    assert "step" in str(last["exception"])


def test_a_library_that_sets_its_own_level_is_still_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: written.append(record.name)  # type: ignore[method-assign]
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    for name in ("dags", "expectations", "infra", "ml", "tensorflow", "chatty"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
    show_our_logs()
    logging.getLogger("chatty").info("a detail")
    logging.getLogger("ml.ranking").debug("epoch 1")
    logging.getLogger("tensorflow").warning("5 out of the last 5 calls triggered tf.function retracing")
    assert written == ["ml.ranking"]


@pytest.mark.parametrize(
    ("error", "ours"), [(WarehouseError("gone"), True), (KeyError("gone"), False), (RuntimeError(), False)]
)
def test_our_errors_are_known_by_where_they_are_declared(error: Exception, ours: bool) -> None:
    assert is_ours(error) is ours
