"""
### The night

Brings in what the platforms' warehouses have new, merges it, links accounts to people, trains and compares rankers, scores,
and writes each platform its own ranked lists. A gate that does not hold stops the night; **what was published before stays up**.

| param | meaning |
|---|---|
| logical date | the night's cut `as_of`: everything known before its 00:00 UTC, nothing later |

**When it is red:** open the red task's log; its last lines say which platform, table or check it is, what was received and
what to do. Then clear that task: every task may run again, and changes nothing the second time. The runbook has the longer
stories (`docs/runbook.md`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from dags.assets import ranker, recommendations

AS_OF = "{{ (logical_date or dag_run.run_after).strftime('%Y-%m-%d') }}"
RUN_ID = "{{ run_id }}"
WAREHOUSE = {"pool": "warehouse"}  # one slot: DuckDB takes one writer, and no reader beside it


def night(as_of: str, run: str):
    from datetime import date

    from dags.steps.night import Night

    return Night(date.fromisoformat(as_of), run)


@contextmanager
def no_retry_where_waiting_does_not_cure() -> Iterator[None]:
    from infra.platforms import PlatformError

    try:
        yield
    except PlatformError as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from None


@dag(
    schedule="0 2 * * *",
    start_date=datetime(1970, 1, 1),  # a logical date before it would run no task at all, and be green
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["crossrec"],
    default_args={"retries": 0, "execution_timeout": timedelta(hours=2)},
)
def nightly():
    @task
    def open_night(as_of: str, run: str) -> list[str]:
        from dags.steps.merge.open_night import open_night

        return open_night(night(as_of, run))

    @task(map_index_template="{{ task.op_kwargs['platform'] }}", retries=2, retry_delay=timedelta(seconds=10))
    def extract(platform: str, as_of: str, run: str) -> None:
        from dags.steps.merge.extract import extract

        this = get_current_context()["ti"]
        with no_retry_where_waiting_does_not_cure():
            extract(night(as_of, run), platform, last_try=this.try_number > this.max_tries)

    @task(map_index_template="{{ task.op_kwargs['platform'] }}")
    def check_loads(platform: str, as_of: str, run: str) -> None:
        from dags.steps.merge.check_loads import check_loads

        check_loads(night(as_of, run), platform)

    @task(**WAREHOUSE)
    def prepare(as_of: str, run: str) -> None:
        from dags.steps.merge.prepare import prepare

        prepare(night(as_of, run))

    @task
    def check_reconciliation(as_of: str, run: str) -> None:
        from dags.steps.merge.check_reconciliation import check_reconciliation

        check_reconciliation(night(as_of, run))

    @task
    def link_people(as_of: str, run: str) -> None:
        from dags.steps.merge.link import link_people

        link_people(night(as_of, run))

    @task
    def link_products(as_of: str, run: str) -> None:
        from dags.steps.merge.link import link_products

        link_products(night(as_of, run))

    @task
    def check_identity(as_of: str, run: str) -> None:
        from dags.steps.merge.check_identity import check_identity

        check_identity(night(as_of, run))

    @task(**WAREHOUSE)
    def build_marts(as_of: str, run: str) -> None:
        from dags.steps.learn.build_marts import build_marts

        build_marts(night(as_of, run))

    @task
    def check_training_data(as_of: str, run: str) -> None:
        from dags.steps.learn.check_training_data import check_training_data

        check_training_data(night(as_of, run))

    @task
    def check_leakage(as_of: str, run: str) -> None:
        from dags.steps.learn.check_leakage import check_leakage

        check_leakage(night(as_of, run))

    @task
    def check_transfer(as_of: str, run: str) -> None:
        from dags.steps.learn.judge_sources import check_transfer

        check_transfer(night(as_of, run))

    @task(**WAREHOUSE)
    def exclude_sources(as_of: str, run: str) -> None:
        from dags.steps.learn.exclude_sources import exclude_sources

        exclude_sources(night(as_of, run))

    @task(outlets=[ranker])
    def train(as_of: str, run: str) -> None:
        from dags.steps.learn.train import train

        train(night(as_of, run))

    @task
    def evaluate(as_of: str, run: str) -> None:
        from dags.steps.learn.evaluate import evaluate

        evaluate(night(as_of, run))

    @task
    def check_promotion(as_of: str, run: str) -> None:
        from dags.steps.learn.check_promotion import check_promotion

        check_promotion(night(as_of, run))

    @task
    def choose_serving_model(as_of: str, run: str) -> None:
        from dags.steps.learn.choose_serving_model import choose_serving_model

        choose_serving_model(night(as_of, run))

    @task
    def shards(as_of: str, run: str) -> list[int]:
        return list(range(night(as_of, run).settings.scoring_shards))

    @task(map_index_template="shard {{ task.op_kwargs['shard'] }}")
    def score(shard: int, as_of: str, run: str) -> None:
        from dags.steps.serve.score import score

        score(night(as_of, run), shard)

    @task(**WAREHOUSE)
    def assemble_lists(as_of: str, run: str) -> None:
        from dags.steps.serve.assemble_lists import assemble_lists

        assemble_lists(night(as_of, run))

    @task
    def check_recommendations(as_of: str, run: str) -> None:
        from dags.steps.serve.check_recommendations import check_recommendations

        check_recommendations(night(as_of, run))

    @task(outlets=[recommendations])
    def publish(as_of: str, run: str) -> None:
        from dags.steps.serve.publish import publish

        publish(night(as_of, run))

    @task(map_index_template="{{ task.op_kwargs['platform'] }}", retries=2, retry_delay=timedelta(seconds=10))
    def write_back(platform: str, as_of: str, run: str) -> None:
        from dags.steps.serve.write_back import write_back

        with no_retry_where_waiting_does_not_cure():
            write_back(night(as_of, run), platform)

    @task
    def report(as_of: str, run: str) -> None:
        from dags.steps.serve.report import report

        report(night(as_of, run))

    when = {"as_of": AS_OF, "run": RUN_ID}
    platforms = open_night(**when)
    loaded = extract.partial(**when).expand(platform=platforms)
    sources_hold = check_loads.partial(**when).expand(platform=platforms)
    prepared = prepare(**when)
    linked = link_people(**when)
    identified = check_identity(**when)
    marts = build_marts(**when)
    helpful = exclude_sources(**when)
    evaluated = evaluate(**when)
    scored = score.partial(**when).expand(shard=shards(**when))
    published = publish(**when)
    written = write_back.partial(**when).expand(platform=platforms)

    loaded >> sources_hold >> prepared >> check_reconciliation(**when) >> link_products(**when) >> linked
    linked >> identified >> marts >> check_transfer(**when) >> helpful
    helpful >> [check_training_data(**when), check_leakage(**when)] >> train(**when) >> evaluated
    evaluated >> check_promotion(**when) >> choose_serving_model(**when) >> scored
    scored >> assemble_lists(**when) >> check_recommendations(**when) >> published >> written >> report(**when)


nightly()
