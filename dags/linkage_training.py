"""
### Training of the linkage models

Trains the two linkage models again on the newest night's records: how much each agreement of two accounts, or of two items,
says about whether they are the same. The new versions are challengers of `crossrec-people` and `crossrec-products` in MLflow.
Look at their match weights, then give one the alias `champion`. The next night uses it and scores every pair again. Nights
never train these models themselves, except the first night.

No params.

**When it is red:** open the log of the red task. Its last lines say what was received and what to do. Nothing that serves was
changed, and the task may run again.
"""

from datetime import datetime, timedelta

from airflow.sdk import dag, task

from dags.tasks import readable_log


@dag(
    schedule=None,
    start_date=datetime(1970, 1, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["crossrec"],
    default_args={"retries": 0, "execution_timeout": timedelta(hours=2)},
)
def linkage_training():
    @task
    def train_products() -> None:
        with readable_log():
            from dags.steps.merge.train_linkage import newest_linked, train_products

            train_products(newest_linked())

    @task
    def train_people() -> None:
        with readable_log():
            from dags.steps.merge.train_linkage import newest_linked, train_people

            train_people(newest_linked())

    train_products() >> train_people()


linkage_training()
