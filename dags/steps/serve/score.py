"""Step 9: scores, re-ranked lists by shard, and the night's lists of all accounts."""

import logging

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.learn.history import too_short_history
from dags.steps.night import Night
from dags.steps.serve.reasons import with_reasons
from infra.mlflow.registry import Registry
from infra.warehouse import connect, query, query_with_sequences
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.scoring import not_finite
from ml.ranking.network.scoring import score as score_candidates
from ml.ranking.rerank import Exploration, assign_slots, rerank
from ml.ranking.rules import check_rules

log = logging.getLogger(__name__)


def score(night: Night, shard: int) -> None:
    """Score one shard of persons with the champion and re-rank it. Before the first model there is nothing to score.

    What might have had the place that explores is kept too, with its features: from them a later night can tell what
    another model would have shown there (`ml.evaluation.off_policy`).

    Raises:
        ValueError: rules of seed list_rules contradict each other.
    """
    settings = night.settings
    check_rules(query(settings, "from marts.active_rules"), settings.list_size)
    registry = Registry(settings)
    champion = registry.champion()
    of_shard = {"as_of": night.as_of, "shards": settings.scoring_shards, "shard": shard}
    candidates = query_with_sequences(settings, CANDIDATES, of_shard)
    if champion is not None:
        model, features = registry.load(champion)
        spec = FeatureSpec.from_json(features)
        version, scores = str(champion.version), score_candidates(model, spec, candidates)
        warn_unseen_values(night, shard, candidates, spec)
    elif too_short_history(night):
        candidates = candidates.slice(0, 0)
        version, scores = None, np.empty(0, np.float32)
    else:
        raise RuntimeError(
            f"no version of '{settings.model_name}' is champion, so nothing may be scored. Received: no alias. "
            "Remedy: see why the promotion gate kept the challenger back, or promote a version in MLflow."
        )
    scored = candidates.select(["person_id", "platform", "item_id", "product_id", "category"])
    scored = scored.append_column("is_new", pc.is_valid(candidates["new_item_reciprocal_rank"]))
    with connect(settings) as warehouse:
        warehouse.register("scored", scored.append_column("score", pa.array(scores)))
        ruled = warehouse.execute(RULED, {"max_impressions": settings.max_impressions}).to_arrow_table()
    exploration = Exploration(settings.exploration, key=f"{settings.seed} {night.as_of}")
    placed = assign_slots(ruled, settings.list_size, settings.max_per_category, settings.diversity, exploration)
    lists = placed.filter(pc.is_valid(placed["rank"]))
    lists = lists.append_column("model_version", pa.array([version] * lists.num_rows, pa.string()))
    night.write_table(night.key(f"scored/shard={shard}.parquet"), lists)
    night.write_table(night.key(f"explorable/shard={shard}.parquet"), _explorable(placed, candidates))
    log.info(f"shard {shard}: {candidates.num_rows:,} candidates scored, {lists.num_rows:,} rows of lists")


def warn_unseen_values(night: Night, shard: int, candidates: pa.Table, spec: FeatureSpec) -> None:
    """Say what the model reads otherwise than it stands there: it gives every candidate a score all the same.

    New products and categories are every night's: one is worth a word only where a platform has no other.
    """
    wrong = [f"{name} ({rows / candidates.num_rows:.1%})" for name, rows in not_finite(candidates, spec).items()]
    if wrong:
        log.warning(
            f"shard {shard}: features are NaN or infinite in some candidates: {', '.join(wrong)}. NaN is read as "
            "missing, infinity as the extreme of the examples. Look for a division by zero in `candidates`"
        )
    with connect(night.settings) as warehouse:
        warehouse.register("candidates", candidates)
        for name in spec.categorical:
            unheard = warehouse.execute(f"""
                select candidates.platform
                from candidates
                left join (select distinct "{name}" as value from marts.training_examples) as learned
                    on candidates."{name}" = learned.value
                where candidates."{name}" is not null
                group by candidates.platform
                having count(learned.value) = 0
                order by all
            """).fetchall()
            if unheard:
                log.warning(
                    f"shard {shard}: on {', '.join(platform for (platform,) in unheard)} no value of feature {name} "
                    "stands in any example. To the model they are all alike, and tell nothing. Look whether the platform, or its "
                    "staging model, calls them otherwise than before"
                )


def assemble_lists(night: Night) -> None:
    """One list for every active account: its person's, or the popular one of its platform and segment."""
    settings = night.settings
    with connect(settings) as warehouse:
        warehouse.register("scored", _all_shards(night, "scored"))
        warehouse.register("popular", _popular(night, warehouse))
        lists = warehouse.execute(ALL_LISTS, {"as_of": night.as_of}).to_arrow_table()
        unknown = warehouse.execute("from marts.active_rules where product_id is null order by all").to_arrow_table()
    for rule in unknown.to_pylist():
        log.warning(
            f"list_rules.csv has a {rule['rule']} of item '{rule['item_id']}', which {rule['platform']} does not have"
        )
    night.write_table(night.key("lists.parquet"), with_reasons(night, lists))
    night.write_table(night.key("explorable.parquet"), _all_shards(night, "explorable"))
    accounts = lists.filter(pc.equal(lists["rank"], 1))
    counts = accounts.group_by(["platform", "strategy"]).aggregate([("account_id", "count")]).to_pylist()
    night.record("lists", sorted(counts, key=lambda row: (row["platform"], row["strategy"])))
    log.info(f"{accounts.num_rows:,} accounts have a list")


def _popular(night: Night, warehouse: duckdb.DuckDBPyConnection) -> pa.Table:
    """The popular lists of all accounts that nothing is ``scored`` for, ranked by shards: each has a hundred candidates and more.

    Each account is ranked like a person of its own: two accounts of a person may be of different segments.
    """
    settings = night.settings
    common = {"as_of": night.as_of, "shards": settings.scoring_shards, "max_impressions": settings.max_impressions}
    lists = [
        rerank(
            warehouse.execute(POPULAR_CANDIDATES, common | {"shard": shard}).to_arrow_table(),
            settings.list_size,
            settings.max_per_category,
        )
        for shard in range(settings.scoring_shards)
    ]
    return pa.concat_tables(lists)


def _all_shards(night: Night, name: str) -> pa.Table:
    return pa.concat_tables(
        night.read_table(night.key(f"{name}/shard={shard}.parquet")) for shard in range(night.settings.scoring_shards)
    )


def _explorable(placed: pa.Table, candidates: pa.Table) -> pa.Table:
    """The candidates, with all features, that might have had a place that explores; one of each list `is_shown`."""
    chance = placed.append_column("is_shown", pc.is_valid(placed["rank"])).filter(pc.less(placed["propensity"], 1))
    keys = ["person_id", "platform", "item_id"]
    explorable = candidates.join(chance.select([*keys, "propensity", "is_shown"]), keys, join_type="inner")
    return explorable.sort_by([(key, "ascending") for key in keys])


# what rules keep out is no candidate; a platform the champion learned nothing about gets its popular lists instead
CANDIDATES = """
select candidates.*, sequences.* exclude (as_of, person_id, platform)
from marts.candidates
left join sequences using (as_of, person_id, platform)
anti join marts.active_rules as bans
    on bans.rule = 'ban' and candidates.platform = bans.platform and candidates.product_id = bans.product_id
where
    candidates.as_of = $as_of
    and hash(candidates.person_id) % $shards = $shard
    and candidates.platform in (select distinct platform from marts.training_examples)
order by candidates.person_id, candidates.platform, candidates.item_id
"""
# scored candidates, and what is pinned for their people, which the model need not have scored
RULED = """
with pins as (
    from marts.active_rules where rule = 'pin' and is_available
),
lists as (
    select distinct person_id, platform from scored
),
pinned as (
    select
        lists.person_id,
        pins.* exclude (rule, is_available, rank),
        scored.score,
        pins.rank as pinned_rank
    from lists
    inner join pins on lists.platform = pins.platform
    anti join marts.person_products as taken
        on
            lists.person_id = taken.person_id
            and lists.platform = taken.platform
            and pins.product_id = taken.product_id
    left join scored
        on lists.person_id = scored.person_id and pins.platform = scored.platform and pins.item_id = scored.item_id
)
select
    scored.*,
    coalesce(impressions.impressions_28d >= $max_impressions, false) as is_overshown
from scored
anti join pins on scored.platform = pins.platform and scored.product_id = pins.product_id
left join marts.impressions as impressions
    on
        scored.person_id = impressions.person_id
        and scored.platform = impressions.platform
        and scored.product_id = impressions.product_id
union all by name
from pinned
order by person_id, platform, item_id
"""
# whoever took n products finds at least a hundred others among the first n + 100 of the catalogue; a pin stands there as the
# item that was pinned, whichever of the product's items the lists have
POPULAR_CANDIDATES = """
with how_many as (
    select person_id, platform, count(*) as products from marts.person_products group by all
),
bans as (
    from marts.active_rules where rule = 'ban'
),
pins as (
    from marts.active_rules where rule = 'pin' and is_available
)
select
    accounts.account_id as person_id,
    accounts.platform,
    coalesce(pins.item_id, lists.item_id) as item_id,
    lists.product_id,
    coalesce(pins.category, lists.category) as category,
    1.0 / lists.position as score,
    pins.rank as pinned_rank,
    coalesce(impressions.impressions_28d >= $max_impressions, false) as is_overshown
from marts.person_accounts as accounts
anti join scored on accounts.person_id = scored.person_id and accounts.platform = scored.platform
inner join marts.popular_lists as lists
    on accounts.platform = lists.platform and coalesce(accounts.age_band, 'unknown') = lists.segment
left join how_many on accounts.person_id = how_many.person_id and accounts.platform = how_many.platform
anti join marts.person_products as taken
    on
        accounts.person_id = taken.person_id
        and accounts.platform = taken.platform
        and lists.product_id = taken.product_id
anti join bans on lists.platform = bans.platform and lists.product_id = bans.product_id
left join pins on lists.platform = pins.platform and lists.product_id = pins.product_id
left join marts.impressions as impressions
    on
        accounts.person_id = impressions.person_id
        and accounts.platform = impressions.platform
        and lists.product_id = impressions.product_id
where
    accounts.created_at < $as_of
    and hash(accounts.account_id) % $shards = $shard
    and (lists.position <= 100 + coalesce(how_many.products, 0) or pins.item_id is not null)
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
    slot,
    propensity,
    cast(null as varchar) as reason,
    cast($as_of as date) as as_of,
    model_version,
    md5(concat_ws('|', platform, account_id, item_id, cast($as_of as varchar), strategy)) as recommendation_id
from both_kinds
order by platform, account_id, rank
"""
