"""
### Hyper-parameter search

Tries other hyper-parameters of the ranker on a night's training snapshots (Optuna), and keeps every trial in MLflow: run
`tuning <as_of>` with a child run a trial, two charts and `best_params.json`. **Nothing changes by itself**: the last lines of
the log are the setting that makes the next night train with the best. The held-out snapshot, by which promotion goes, has no
part in it.

| param | meaning |
|---|---|
| trials | sets of parameters to try; the first is what serves |
| minutes | no further trial starts after this |
| as_of | the night whose examples teach; empty: the one that the warehouse holds |

**When it is red:** its message says what to do. Nothing was changed, and it may run again.
"""

from datetime import datetime, timedelta

from airflow.sdk import Param, dag, task


@dag(
    schedule=None,
    start_date=datetime(1970, 1, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["crossrec"],
    default_args={"retries": 0, "execution_timeout": timedelta(hours=12)},
    params={
        "trials": Param(30, type="integer", minimum=1, description="Sets of parameters to try."),
        "minutes": Param(60, type="number", minimum=0, maximum=600, description="No further trial starts after this."),
        "as_of": Param(None, type=["null", "string"], format="date", description="Night whose examples teach."),
    },
)
def tuning():
    @task
    def tune(params=None, run_id=None) -> None:
        from datetime import date

        from dags.steps.learn.tune import newest_built, tune
        from dags.steps.night import Night
        from infra.settings import Settings

        settings = Settings()
        as_of = date.fromisoformat(params["as_of"]) if params["as_of"] else newest_built(settings)
        tune(Night(as_of, run_id, settings), params["trials"], params["minutes"])

    tune()


tuning()
