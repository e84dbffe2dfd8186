"""The lines of the conservation table from proposals to ranked rows: what was proposed, scored, and is in a list."""

from collections import defaultdict
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.conservation import Line
from dags.steps.night import Night
from dags.steps.records import ServingModel
from infra.warehouse import query

TABLE = "candidates"
# proposals of tonight, and those that the candidates are made of: several generators may propose one item
PROPOSED = """
select coalesce(proposed.platform, made.platform) as platform, coalesce(rows, 0) as rows, coalesce(of_candidates, 0) as of_candidates
from (select platform, count(*) as rows from marts.candidate_sources where as_of = $as_of group by all) as proposed
full join (
    select platform, sum(generators)::bigint as of_candidates from marts.candidates where as_of = $as_of group by all
) as made using (platform)
order by all
"""
# the candidates of tonight, and why one of them is not scored; how many were scored the score tasks say
CANDIDATES = """
with rules as (
    select distinct platform, product_id, rule from marts.active_rules where rule = 'ban' or is_available
),
learned as (
    select distinct platform from marts.training_examples
)
select
    candidates.platform,
    case
        when serving.item_id is not null then if($is_served, 'scored', 'no_model')
        when learned.platform is null then 'not_learned'
        when bans.product_id is not null then 'banned'
        when pins.product_id is not null then 'of_a_pinned_product'
    end as part,
    count(*) as rows
from marts.candidates as candidates
left join (from marts.serving_candidates where is_candidate) as serving using (person_id, platform, item_id)
left join learned using (platform)
left join rules as bans
    on candidates.platform = bans.platform and candidates.product_id = bans.product_id and bans.rule = 'ban'
left join rules as pins
    on candidates.platform = pins.platform and candidates.product_id = pins.product_id and pins.rule = 'pin'
where candidates.as_of = $as_of
group by all
order by all
"""
# a list is as long as it can be, so that what has no room in it is known without asking who ranked it
TO_RANK = """
select platform, sum(rows)::bigint as to_rank, sum(greatest(0, rows - $list_size))::bigint as below_the_list
from (select platform, person_id, count(*) as rows from marts.serving_candidates group by all)
where $is_served
group by all
order by all
"""


def candidate_lines(night: Night) -> Iterator[Line]:
    """Proposals and the candidates of them; candidates, and which were scored; rows that were to be ranked, and which were ranked."""
    for row in query(night.settings, PROPOSED, {"as_of": night.as_of}).to_pylist():
        yield Line(
            row["platform"], TABLE, night.as_of, "proposals", row["rows"], {"of_a_candidate": row["of_candidates"]}
        )
    is_served = night.read(ServingModel).version is not None
    counted = query(night.settings, CANDIDATES, {"as_of": night.as_of, "is_served": is_served}).to_pylist()
    to_rank = query(
        night.settings, TO_RANK, {"list_size": night.settings.list_size, "is_served": is_served}
    ).to_pylist()
    scored = _of_shards(night, "scored", pc.field("is_candidate"))
    ranked = _of_shards(night, "ranked", pc.field("strategy") == "personalised")
    candidates: dict[str, int] = defaultdict(int)
    parts: dict[str, dict[str, int | None]] = defaultdict(dict)
    for row in counted:
        candidates[row["platform"]] += row["rows"]
        if row["part"] == "scored":
            parts[row["platform"]]["scored"] = scored.get(row["platform"], 0)
        elif row["part"] is not None:
            parts[row["platform"]][row["part"]] = row["rows"]
    for platform in sorted({*candidates, *scored}):
        named = {"scored": scored[platform], **parts[platform]} if platform in scored else parts[platform]
        yield Line(platform, TABLE, night.as_of, "candidates", candidates[platform], named)
    rows = {row["platform"]: row for row in to_rank}
    for platform in sorted({*rows, *ranked}):
        there = rows.get(platform, {"to_rank": 0, "below_the_list": 0})
        became = {"ranked": ranked.get(platform, 0), "below_the_list": there["below_the_list"]}
        yield Line(platform, TABLE, night.as_of, "scored", there["to_rank"], became)


def _of_shards(night: Night, name: str, wanted: pc.Expression) -> dict[str, int]:
    """Rows by platform that the score tasks of all shards left in their files ``name``."""
    shards = range(night.settings.scoring_shards)
    tables = [night.read_table(night.key(f"{name}/shard={shard}.parquet")).filter(wanted) for shard in shards]
    together = pa.concat_tables(tables)
    if name == "ranked":
        together = together.select(["platform"]).append_column("rows", pa.repeat(1, together.num_rows))
    counted = together.group_by("platform").aggregate([("rows", "sum")])
    return dict(zip(counted["platform"].to_pylist(), counted["rows_sum"].to_pylist(), strict=True))
