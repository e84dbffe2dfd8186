"""The embedded deployment: Airflow on SQLite with everything below ``settings.home``."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from infra.locks import LockedError, hold
from infra.settings import PROJECT_ROOT, Settings

# Nothing calls home, and the warnings of tools do not bury what a night logs.
QUIET = {
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PYTHONWARNINGS": "ignore",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # oneDNN's sums differ from run to run with the number of free cores
    "TF_ENABLE_ONEDNN_OPTS": "0",
}

# The C library keeps what a large array leaves, for the next one. Otherwise it gives the memory back each time and takes it again,
# which was a tenth of the small demo's night.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TOP_PAD_": str(16 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}


def airflow_environment(settings: Settings, port: int = 8080) -> dict[str, str]:
    """The environment in which Airflow runs crossrec's DAGs, on top of the caller's own."""
    home = settings.home / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        **QUIET,
        **KEEP_MEMORY,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        # each task is a process of its own: without bytecode it would compile every module again
        "PYTHONDONTWRITEBYTECODE": "",
        **settings.tensorflow_environment(),
        "CROSSREC_HOME": str(settings.home),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
    }


class HomeInUseError(RuntimeError):
    """Another process runs nights in this home; the message names it."""


@contextmanager
def home_alone(settings: Settings, what: str) -> Iterator[int]:
    """Let one process at a time run nights in the home, to the end of the block: two would share one Airflow and its database.

    Yields the lock, an open file. The processes that do the work get it too (`pass_fds`), so that they hold it to their own end,
    also where this process is killed.

    Raises:
        HomeInUseError: `crossrec nightly` or `crossrec up` already runs in this home.
    """
    with ExitStack() as held:
        try:
            lock = held.enter_context(hold(settings.home / "night.lock", what))
        except LockedError as error:
            raise HomeInUseError(
                f"another night or `crossrec up` is running in {settings.home}. Received: {error}. "
                "Remedy: wait until it is done or stop it, or set CROSSREC_HOME to another folder."
            ) from None
        yield lock
