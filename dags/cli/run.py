"""Run the DAG `nightly` for one night in this process, with progress written line by line for `crossrec nightly`.

Started by the command line as `python -m dags.cli.run AS_OF PROGRESS_FILE`, in the environment of `airflow_environment`.
"""

import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk import TaskInstanceState

from infra.deploy.embedded import LOGGERS


class Progress(logging.Handler):
    """Writes what tasks and steps say to a file: a kind, a tab, a line."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.DEBUG)
        self.file = path.open("a", buffering=1)
        self.started: dict[Any, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning" if record.levelno >= logging.WARNING else "fact" if record.levelno >= logging.INFO else "tick"
        self.write(kind, record.getMessage())

    def write(self, kind: str, text: str) -> None:
        for line in text.splitlines():
            self.file.write(f"{kind}\t{line}\n")

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


class Blocked:
    """Marks all that a red task blocks at once: `dag.test` would go from one to the next, and sleep a second at each."""

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
    """True if the night is green."""
    progress = Progress(Path(progress_file))
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.listener import get_listener_manager

    log = logging.StreamHandler()
    log.setLevel(logging.INFO)
    log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(progress)
        logger.addHandler(log)
    get_listener_manager().add_listener(progress)
    get_listener_manager().add_listener(Blocked())
    bag = DagBag(Path(__file__).parent.parent)
    if bag.import_errors:
        raise RuntimeError(f"the DAGs do not import: {bag.import_errors}")
    dag_run = bag.dags["nightly"].test(logical_date=datetime.fromisoformat(as_of).replace(tzinfo=UTC))
    return bool(dag_run.state == "success")


if __name__ == "__main__":
    sys.exit(0 if run(sys.argv[1], sys.argv[2]) else 1)
