"""How a DAG runs a step: as a task whose log reads like the terminal, and whose errors read like sentences."""

import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import date
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

import structlog
from airflow.sdk import get_current_context, task
from airflow.sdk.bases.decorator import TaskDecorator
from airflow.sdk.exceptions import AirflowFailException

from infra.deploy.logs import explained, is_ours, show_our_logs

if TYPE_CHECKING:
    from dags.steps.night import Night


def step(name: str, module: str, **options: Any) -> TaskDecorator:
    """The task ``name``: it calls the function of that name in ``dags.steps.<module>`` with the night.

    The task imports the module, so that parsing the DAG stays quick. The options are those of `task`, such as
    ``map_index_template`` for a mapped task. A task may be mapped over ``platform`` or ``shard``, and passes it on. A function
    that has a parameter ``last_try`` learns whether no retry would follow.
    """
    path = f"dags.steps.{module}.{name}"

    @task(task_id=name, doc=path, **options)
    def run(platform: str | None = None, shard: int | None = None) -> Any:
        with readable_log():
            called = resolve(path)
            given: dict[str, Any] = {"platform": platform, "shard": shard}
            if "last_try" in signature(called).parameters:
                this = get_current_context()["ti"]
                given["last_try"] = this.try_number > this.max_tries
            return called(_night(), **{name: value for name, value in given.items() if value is not None})

    return run


def _night() -> "Night":
    """The night of the running task: its ``as_of`` is the run's logical date, or the date of a run that has none."""
    from dags.steps.night import Night

    context = get_current_context()
    as_of = context.get("logical_date") or context["dag_run"].run_after
    return Night(date(as_of.year, as_of.month, as_of.day), context["run_id"])


def resolve(path: str) -> Callable[..., Any]:
    """The function at a dotted path."""
    module, _, name = path.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


@contextmanager
def readable_log() -> Iterator[None]:
    """Let the task's log show what the terminal shows, and fail with the message alone of what an operator can understand.

    Raises:
        AirflowFailException: Our own error, or damaged or unreachable state, with the message. No retry follows, unless the error is
            one that waiting cures.
    """
    show_our_logs()
    processors = structlog.get_config()["processors"]
    if message_alone not in processors:
        processors.insert(0, message_alone)  # in place: Airflow's logger of the task is there already
    try:
        yield
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        if getattr(told, "retryable", False):
            raise told from None
        raise AirflowFailException(str(told)) from None


def message_alone(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: where Airflow logs an error of ours, the message stands for it, without Airflow's frames."""
    error = sys.exc_info()[1]
    if event.get("exc_info") and (isinstance(error, AirflowFailException) or is_ours(error)):
        del event["exc_info"]
        event["event"] = str(error)
    return event
