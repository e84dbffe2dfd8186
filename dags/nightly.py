"""
### The night

Loads what is new in the platforms' warehouses, merges it, links accounts to people, trains and compares rankers, ranks items,
and writes each platform its own lists. A gate that does not hold stops the night; **what was published before stays up**.
A bad load of one platform is held, and the night goes on with that platform's last good data (DAG `loads`, `crossrec loads`).

| param | meaning |
|---|---|
| logical date | the night's `as_of`: the night knows everything before its 00:00 UTC, and nothing later |

**When it is red:** open the log of the red task. Its last lines name the platform, the table or the check, what was received,
and what to do. Then clear that task: every task may run again, and changes nothing the second time. The runbook
(`docs/runbook.md`) has an entry for each gate.
"""

from datetime import datetime, timedelta

from airflow.sdk import TaskGroup, chain, dag, task

from dags.assets import ranker, recommendations
from dags.tasks import step

EACH_PLATFORM = {"map_index_template": "{{ task.op_kwargs['platform'] }}"}
EACH_SHARD = {"map_index_template": "shard {{ task.op_kwargs['shard'] }}"}
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=10)}  # for what talks to the platforms' servers


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
    with TaskGroup("merge", prefix_group_id=False) as merge:
        platforms = step("open_night", "merge.open_night")()
        chain(
            step("extract", "merge.extract", **EACH_PLATFORM, **RETRIES).expand(platform=platforms),
            step("check_loads", "merge.check_loads", **EACH_PLATFORM).expand(platform=platforms),
            step("stage", "merge.stage")(),
            step("check_contents", "merge.check_contents", **EACH_PLATFORM).expand(platform=platforms),
            step("prepare", "merge.prepare")(),
            step("check_reconciliation", "merge.check_reconciliation")(),
            step("link_products", "merge.link")(),
            step("link_people", "merge.link")(),
            step("check_identity", "merge.check_identity")(),
        )

    with TaskGroup("learn", prefix_group_id=False) as learn:
        chain(
            step("build_marts", "learn.build_marts")(),
            step("check_interactions", "learn.check_interactions")(),
            step("train_towers", "learn.train_towers")(),
            step("build_candidates", "learn.build_marts")(),
            step("judge_sources", "learn.judge_sources")(),
            step("exclude_sources", "learn.exclude_sources")(),
            [
                step("check_training_data", "learn.check_training_data")(),
                step("check_leakage", "learn.check_leakage")(),
            ],
            step("train", "learn.train", outlets=[ranker])(),
            step("evaluate", "learn.evaluate")(),
            step("check_promotion", "learn.check_promotion")(),
            step("choose_serving_model", "learn.choose_serving_model")(),
        )

    with TaskGroup("serve", prefix_group_id=False) as serve:

        @task
        def shards() -> list[int]:
            from infra.settings import Settings

            return list(range(Settings().scoring_shards))

        chain(
            step("score", "serve.score", **EACH_SHARD).expand(shard=shards()),
            step("check_features", "serve.check_features")(),
            step("assemble_lists", "serve.assemble_lists")(),
            step("check_recommendations", "serve.check_recommendations")(),
            step("check_lists", "serve.check_lists")(),
            step("publish", "serve.publish", outlets=[recommendations])(),
            step("write_back", "serve.write_back", **EACH_PLATFORM, **RETRIES).expand(platform=platforms),
            step("report", "serve.report")(),
        )

    merge >> learn >> serve


nightly()
