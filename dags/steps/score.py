"""Step 9: scores, re-ranked lists by shard, and the night's lists of all accounts."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.history import too_short_history
from dags.steps.night import Night
from infra.registry import Registry
from infra.warehouse import connect, query
from ml.ranking.features import FeatureSpec
from ml.ranking.rerank import rerank
from ml.ranking.training import score as score_candidates


def score(night: Night, shard: int) -> None:
    """Score one shard of persons with the champion and re-rank it. Before the first model there is nothing to score."""
    settings = night.settings
    registry = Registry(settings)
    champion = registry.champion()
    # a platform the champion learned nothing about gets its popular lists instead
    candidates = query(
        settings,
        """
        select * from marts.candidates
        where
            as_of = $as_of
            and hash(person_id) % $shards = $shard
            and platform in (select distinct platform from marts.training_examples)
        order by person_id, platform, item_id
        """,
        {"as_of": night.as_of, "shards": settings.scoring_shards, "shard": shard},
    )
    if champion is not None:
        model, features = registry.load(champion)
        version, scores = str(champion.version), score_candidates(model, FeatureSpec.from_json(features), candidates)
    elif too_short_history(night):
        candidates = candidates.slice(0, 0)
        version, scores = None, np.empty(0, np.float32)
    else:
        raise RuntimeError(
            f"no version of '{settings.model_name}' is champion, so nothing may be scored. Received: no alias. "
            "Remedy: see why the promotion gate kept the challenger back, or promote a version in MLflow."
        )
    scored = candidates.select(["person_id", "platform", "item_id", "product_id", "category"]).append_column(
        "score", pa.array(scores)
    )
    lists = rerank(scored, settings.list_size, settings.max_per_category)
    lists = lists.append_column("model_version", pa.array([version] * lists.num_rows, pa.string()))
    night.write_table(night.key(f"scored/shard={shard}.parquet"), lists)
    night.say(f"shard {shard}: {candidates.num_rows:,} candidates scored, {lists.num_rows:,} rows of lists")


def assemble_lists(night: Night) -> None:
    """One list for every active account: its person's, or the popular one of its platform and segment."""
    settings = night.settings
    shards = [night.read_table(night.key(f"scored/shard={shard}.parquet")) for shard in range(settings.scoring_shards)]
    with connect(settings) as warehouse:
        warehouse.register("scored", pa.concat_tables(shards))
        popular = warehouse.execute(POPULAR_CANDIDATES, {"as_of": night.as_of}).to_arrow_table()
        # each account is ranked like a person of its own: two accounts of a person may be of different segments
        warehouse.register("popular", rerank(popular, settings.list_size, settings.max_per_category))
        lists = warehouse.execute(ALL_LISTS, {"as_of": night.as_of}).to_arrow_table()
    night.write_table(night.key("lists.parquet"), lists)
    accounts = lists.filter(pc.equal(lists["rank"], 1))
    counts = accounts.group_by(["platform", "strategy"]).aggregate([("account_id", "count")]).to_pylist()
    night.record("lists", sorted(counts, key=lambda row: (row["platform"], row["strategy"])))
    night.say(f"{accounts.num_rows:,} accounts have a list")


# whoever took n products finds at least a hundred others among the first n + 100 of the catalogue
POPULAR_CANDIDATES = """
with how_many as (
    select person_id, count(*) as products from marts.person_products group by all
)
select
    accounts.account_id as person_id,
    accounts.platform,
    lists.item_id,
    lists.product_id,
    lists.category,
    1.0 / lists.position as score
from marts.person_accounts as accounts
anti join scored on accounts.person_id = scored.person_id and accounts.platform = scored.platform
inner join marts.popular_lists as lists
    on accounts.platform = lists.platform and coalesce(accounts.age_band, 'unknown') = lists.segment
left join how_many on accounts.person_id = how_many.person_id
anti join marts.person_products as taken on accounts.person_id = taken.person_id and lists.product_id = taken.product_id
where accounts.created_at < $as_of and lists.position <= 100 + coalesce(how_many.products, 0)
order by all
"""
ALL_LISTS = """
with accounts as (
    select platform, account_id, person_id from marts.person_accounts where created_at < $as_of
),
both_kinds as (
    select accounts.*, scored.* exclude (person_id, platform), 'personalised' as strategy
    from accounts
    inner join scored on accounts.person_id = scored.person_id and accounts.platform = scored.platform
    union all by name
    select accounts.*, popular.* exclude (person_id, platform), 'popular' as strategy
    from accounts
    inner join popular on accounts.account_id = popular.person_id and accounts.platform = popular.platform
)
select
    platform,
    account_id,
    person_id,
    item_id,
    product_id,
    category,
    cast(rank as integer) as rank,
    cast(score as double) as score,
    strategy,
    cast(null as varchar) as reason,
    cast($as_of as date) as as_of,
    model_version,
    md5(concat_ws('|', platform, account_id, item_id, cast($as_of as varchar), strategy)) as recommendation_id
from both_kinds
order by platform, account_id, rank
"""
