"""The lines of the conservation table from interactions to examples, of the snapshots that got their labels tonight."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import groupby

from dags.steps.conservation import Line
from dags.steps.night import Night
from dags.steps.records import BuildPlan
from infra.warehouse import query

TABLE = "labels"
# Of each stage: the platform, what became of the rows (null: nothing that has a name), and how many rows
STAGES = {
    # positive interactions in the horizon, as known when it closed
    "positives": """
with snapshots as (
    select unnest($snapshots) as as_of
),
positives as (
    select snapshots.as_of, happened.person_id, happened.platform, happened.product_id
    from snapshots
    inner join marts.interactions as happened
        on
            happened.occurred_at >= snapshots.as_of
            and happened.occurred_at < snapshots.as_of + to_days($horizon)
            and happened.known_at < snapshots.as_of + to_days($horizon)
            and coalesce(happened.superseded_at >= snapshots.as_of + to_days($horizon), true)
    where happened.is_positive
),
had as (
    select distinct positives.as_of, positives.person_id, positives.product_id
    from positives
    inner join marts.interactions as earlier
        on
            positives.person_id = earlier.person_id
            and positives.product_id = earlier.product_id
            and greatest(earlier.occurred_at, earlier.known_at) < positives.as_of
            and coalesce(earlier.superseded_at >= positives.as_of, true)
)
select
    positives.platform,
    case when labels.product_id is not null then 'label' when had.product_id is not null then 'had_before' end as part,
    count(*) as rows
from positives
left join marts.snapshot_labels as labels using (as_of, person_id, platform, product_id)
left join had using (as_of, person_id, product_id)
group by all
order by all
""",
    "labels": """
select
    labels.platform,
    case
        when examples.product_id is not null then 'positive_example'
        when pairs.person_id is null then 'too_few_events'
        when offers.product_id is null then 'not_on_offer'
        when candidates.product_id is null then 'not_proposed'
    end as part,
    count(*) as rows
from marts.snapshot_labels as labels
left join (from marts.training_examples where label = 1) as examples using (as_of, person_id, platform, product_id)
left join marts.candidate_pairs as pairs using (as_of, person_id, platform)
left join marts.offers as offers using (as_of, platform, product_id)
left join marts.candidates as candidates using (as_of, person_id, platform, product_id)
where list_contains($snapshots, labels.as_of)
group by all
order by all
""",
    "proposed": """
select
    candidates.platform,
    case when examples.item_id is not null then 'example' when labelled.person_id is null then 'of_nobody_with_a_label' end as part,
    count(*) as rows
from marts.candidates as candidates
left join marts.training_examples as examples using (as_of, person_id, platform, item_id)
left join (select distinct as_of, person_id, platform from marts.snapshot_labels) as labelled using (as_of, person_id, platform)
where list_contains($snapshots, candidates.as_of)
group by all
order by all
""",
}


def label_lines(night: Night) -> Iterator[Line]:
    """Positive interactions and the labels of them, labels and their examples, candidates and their examples.

    Only of snapshots whose labels were made tonight. A label stays as it is, and what is known of people and items goes on: whose
    account is deleted later has a label and no interaction.
    """
    snapshots = newly_labelled(night)
    if not snapshots:
        return
    for stage, sql in STAGES.items():
        parameters: dict[str, object] = {"snapshots": snapshots}
        if "$horizon" in sql:
            parameters["horizon"] = night.settings.horizon_days
        counted = query(night.settings, sql, parameters).to_pylist()
        for platform, group in groupby(counted, key=lambda row: row["platform"]):
            rows = {row["part"]: row["rows"] for row in group}
            named = {part: count for part, count in rows.items() if part is not None}
            yield Line(platform, TABLE, night.as_of, stage, sum(rows.values()), named)


def newly_labelled(night: Night) -> list[date]:
    """The snapshots whose labels were made tonight: all, where all marts were built again, or those whose horizon closed since the
    night before.
    """
    labelled = query(night.settings, "select as_of from marts.snapshots where role != 'scoring' order by as_of")
    snapshots: list[date] = labelled["as_of"].to_pylist()
    if night.read(BuildPlan).full_refresh:
        return snapshots
    return [snapshot for snapshot in snapshots if not _had_a_night(night, snapshot)]


def _had_a_night(night: Night, snapshot: date) -> bool:
    """Whether an earlier night built marts after the snapshot's horizon had closed."""
    closed = snapshot + timedelta(night.settings.horizon_days)
    nights = (closed + timedelta(days) for days in range((night.as_of - closed).days))
    return any(Night(as_of, settings=night.settings).find(BuildPlan) is not None for as_of in nights)
