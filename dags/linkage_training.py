"""
### Training of the linkage models

Learns anew how much each agreement of two accounts, or of two items, tells, from the newest night's records. The new versions
are challengers of `crossrec-people` and `crossrec-products` in MLflow: look at their match weights, then give one the alias `champion`.
The next night uses it and scores every pair anew. Nights never train these models themselves, but for the very first.
"""

from datetime import datetime, timedelta

from airflow.sdk import dag, task


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
        from dags.steps.merge.train_linkage import newest_linked, train_products

        train_products(newest_linked())

    @task
    def train_people() -> None:
        from dags.steps.merge.train_linkage import newest_linked, train_people

        train_people(newest_linked())

    train_products() >> train_people()


linkage_training()
