"""Run the DAG `nightly` for one night in this process: progress for the terminal, and logs and times for Airflow's UI.

`crossrec nightly` starts it as `python -m dags.cli.run AS_OF PROGRESS_FILE LOCK`, in the environment of `airflow_environment`.
LOCK is the open lock of the home, which this process holds to its end, also where the command that started it is killed.
`DAG.test` runs the tasks. It writes no log file of a task and starts the run at its logical date, so listeners do both.
"""

import json
import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from airflow.listeners import hookimpl
from airflow.sdk import TaskInstanceState
from airflow.sdk.exceptions import AirflowFailException

from dags.cli.progress import ProgressWriter
from infra.deploy.logs import PACKAGES, is_ours, show_our_logs
from infra.locks import inherited


class Progress:
    """Writes the start and the end of every task as progress."""

    def __init__(self, writer: ProgressWriter) -> None:
        self.write = writer.write
        self.started: dict[Any, float] = {}

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        self.started[task_instance.id] = time.monotonic()
        self.write("task", _name(task_instance))

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        seconds = time.monotonic() - self.started[task_instance.id]
        self.write("done", f"{_name(task_instance)}  {seconds:.1f} s")

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        if task_instance.state == TaskInstanceState.UP_FOR_RETRY:
            self.write("warning", f"{_name(task_instance)} is tried again: {error}")
            return
        self.write("failed", _name(task_instance))
        self.write("error", str(error))


class TaskLogs(logging.Handler):
    """Writes what a task logs to the file where Airflow's UI looks for it, one JSON object a line as its workers do."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.file: IO[str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.write(record.levelname, record.getMessage(), record.name)

    def write(self, level: str, event: str, logger: str) -> None:
        if self.file is None:
            return
        line = {"timestamp": datetime.now(UTC).isoformat(), "level": level.lower(), "event": event, "logger": logger}
        self.file.write(json.dumps(line) + "\n")

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        from airflow.sdk.log import init_log_file
        from airflow.utils.helpers import log_filename_template_renderer

        path = init_log_file(log_filename_template_renderer()(ti=task_instance))
        self.file = path.open("a", buffering=1)

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        self._end()

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        known = isinstance(error, AirflowFailException) or is_ours(error)
        shown = str(error) if known or error is None else "".join(traceback.format_exception(error))
        self.write("error", shown, "task")
        self._end()

    def _end(self) -> None:
        if self.file is not None:
            self.file.close()
        self.file = None


class Blocked:
    """Marks all that a red task blocks at once: `DAG.test` would go from one to the next, and sleep a second at each."""

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        if task_instance.state == TaskInstanceState.UP_FOR_RETRY:
            return
        blocked = select(TaskInstance).where(
            TaskInstance.dag_id == task_instance.dag_id,
            TaskInstance.run_id == task_instance.run_id,
            TaskInstance.task_id.in_(task_instance.task.get_flat_relative_ids(upstream=False)),
            TaskInstance.state.is_(None),
        )
        with create_session() as session:
            for waiting in session.scalars(blocked).all():
                waiting.set_state(TaskInstanceState.UPSTREAM_FAILED, session=session)


def _name(task_instance: Any) -> str:
    if task_instance.map_index < 0:
        return str(task_instance.task_id)
    mapped_over = getattr(task_instance, "rendered_map_index", None) or task_instance.map_index
    return f"{task_instance.task_id} [{mapped_over}]"


def run(as_of: str, progress_file: str) -> bool:
    """Run the night of ``as_of`` (YYYY-MM-DD) and return whether it is green.

    Raises:
        RuntimeError: A DAG file does not import.
    """
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.listener import get_listener_manager

    writer, task_logs = ProgressWriter(Path(progress_file)), TaskLogs()
    for name in PACKAGES:
        logging.getLogger(name).addHandler(writer)
    logging.getLogger().addHandler(task_logs)
    show_our_logs()
    for listener in (task_logs, Progress(writer), Blocked()):
        get_listener_manager().add_listener(listener)
    bag = DagBag(Path(__file__).parent.parent)
    if bag.import_errors:
        raise RuntimeError(f"the DAGs do not import: {bag.import_errors}")
    started = datetime.now(UTC)
    dag_run = bag.dags["nightly"].test(logical_date=datetime.fromisoformat(as_of).replace(tzinfo=UTC))
    _set_start(dag_run.id, started)
    return bool(dag_run.state == "success")


def _set_start(dag_run_id: int, started: datetime) -> None:
    """Give the run the time at which it started: `DAG.test` writes its logical date there, years ago for a backfill.

    Only at the end, because Airflow writes the whole run again with the state of each task.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(DagRun).where(DagRun.id == dag_run_id).values(start_date=started))


if __name__ == "__main__":
    inherited(int(sys.argv[3]), f"the night of {sys.argv[1]}")
    sys.exit(0 if run(sys.argv[1], sys.argv[2]) else 1)
