"""
### Hyper-parameter search

Tries other hyper-parameters of the ranker on a night's training snapshots (Optuna), and keeps every trial in MLflow: the run
`tuning <as_of>` has a child run for each trial, two charts and `best_params.json`. **Nothing changes by itself**: the last
lines of the log are the setting with which the next night trains with the best parameters. The search never sees the held-out
snapshot, by which the promotion gate decides.

| param | meaning |
|---|---|
| trials | how many sets of parameters to try; the first is the one that serves |
| minutes | no further trial starts after this time |
| as_of | the night whose examples the search uses; empty: the night that the warehouse holds |

**When it is red:** open the log of the red task. Its last lines say what was received and what to do. Nothing was changed, and
the task may run again.
"""

from datetime import datetime, timedelta

from airflow.sdk import Param, dag, task

from dags.tasks import readable_log


@dag(
    schedule=None,
    start_date=datetime(1970, 1, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["crossrec"],
    default_args={"retries": 0, "execution_timeout": timedelta(hours=12)},
    params={
        "trials": Param(30, type="integer", minimum=1, description="How many sets of parameters to try."),
        "minutes": Param(
            60, type="number", minimum=0, maximum=600, description="No further trial starts after this time."
        ),
        "as_of": Param(
            None, type=["null", "string"], format="date", description="The night whose examples the search uses."
        ),
    },
)
def tuning():
    @task
    def tune(params=None, run_id=None) -> None:
        with readable_log():
            from datetime import date

            from dags.steps.learn.tune import newest_built, tune
            from dags.steps.night import Night
            from infra.settings import Settings

            settings = Settings()
            as_of = date.fromisoformat(params["as_of"]) if params["as_of"] else newest_built(settings)
            tune(Night(as_of, run_id, settings), params["trials"], params["minutes"])

    tune()


tuning()
