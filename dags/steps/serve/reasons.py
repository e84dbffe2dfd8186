"""Why each item is in its list, in words that reveal no platform's data where that platform forbids it."""

import pyarrow as pa

from dags.steps.night import Night
from infra.excluded_sources import read_excluded
from infra.warehouse import connect
from ml.retrieval.scores import HALF_LIFE_DAYS


def with_reasons(night: Night, lists: pa.Table) -> pa.Table:
    """The rows of ``lists`` with their ``reason``, in order of platform, account and rank.

    A reason explains why an item was proposed, not how the network weighed it: by the generator of whose proposals for
    this list the smallest share ranks above the item (of equal ones, the first of `GENERATORS`; one that is not among these
    explains only what no other proposed). Where that generator
    starts from what the person took, the reason names the one take that leads to the item most, among those on this
    platform and on platforms that share theirs with it. Where there is none, the reason is silent about where the interest
    comes from.

    ``lists`` has rank (integer), and platform, account_id, person_id, item_id, product_id, category, strategy, slot and
    reason (string). Other columns stay as they are.
    """
    with connect(night.settings) as warehouse:
        warehouse.register("lists", lists)
        warehouse.register("may_name", _may_name(night))
        reasoned: pa.Table = warehouse.execute(
            REASONED, {"as_of": night.as_of, "generators": GENERATORS}
        ).to_arrow_table()
        return reasoned


def _may_name(night: Night) -> pa.Table:
    """Pairs of platforms: in a list on the first, a reason may name what people did on the second.

    An excluded source has no part in the lists of that platform, and so is no reason for them.
    """
    excluded = read_excluded(night.lake)
    pairs = [
        {"platform": name, "took_on": other}
        for name in night.platforms
        for other, declared in night.platforms.items()
        if declared.is_named_on(name) and other not in excluded.get(name, ())
    ]
    return pa.Table.from_pylist(pairs, pa.schema([("platform", pa.string()), ("took_on", pa.string())]))


# those of which there is something to say; the ones that start from what the person took come first: they say most about why
GENERATORS = [
    "repeats",
    "ease",
    "neighbours",
    "graph",
    "transitions",
    "category_taste",
    "segment_trending",
    "trending",
    "popular",
    "new_items",
]

# what each product of a person's history adds to the score of an item, as in candidate_sources.sql
CONTRIBUTIONS = f"""
with sources as (
    select
        *,
        (position - 1) / count(*) over (partition by person_id, platform, generator) as share_before
    from marts.candidate_sources
    where as_of = $as_of
),
personalised as (
    select distinct person_id, platform, item_id, product_id from lists where strategy = 'personalised'
),
strongest as (
    select personalised.*, sources.generator
    from personalised
    inner join sources using (person_id, platform, item_id)
    qualify row_number() over (
        partition by person_id, platform, item_id
        order by
            list_contains($generators, sources.generator) desc,
            sources.share_before,
            list_position($generators, sources.generator),
            sources.generator
    ) = 1
),
history as (
    select *, pow(0.5, datediff('hour', occurred_at, as_of) / (24.0 * {HALF_LIFE_DAYS})) as recency
    from marts.person_history
    semi join personalised using (person_id)
    where as_of = $as_of
),
leads as (
    select generator, product_id, neighbour_id, weight as strength
    from marts.item_similarity where as_of = $as_of
    union all
    select 'neighbours' as generator, product_id, neighbour_id, similarity as strength
    from marts.product_neighbours where as_of = $as_of
    union all
    select 'transitions' as generator, product_id, next_product_id as neighbour_id, probability as strength
    from marts.product_transitions where as_of = $as_of
),
contributions as (
    select
        strongest.person_id,
        strongest.platform,
        strongest.item_id,
        history.product_id,
        round(leads.strength * case strongest.generator
            when 'neighbours' then (0.2 + history.weight) * pow(0.95, history.position - 1)
            when 'transitions' then 1 / history.position
            else history.recency
        end, 12) as contribution
    from strongest
    inner join history using (person_id)
    inner join leads
        on
            strongest.generator = leads.generator
            and history.product_id = leads.product_id
            and strongest.product_id = leads.neighbour_id
    where history.position <= case strongest.generator when 'neighbours' then 20 when 'transitions' then 5 else 30 end
)
"""
REASONED = f"""
{CONTRIBUTIONS},

---- what a reason may name: by the platform of the list, the newest time that a person took a product on each other
titles as (
    select platform, product_id, min_by(title, (length(title), title)) as title from marts.product_items group by all
),
known as (
    select person_id, product_id, platform, event_id, category, occurred_at, verb
    from marts.interactions
    inner join seeds.event_types using (event_type)
    where
        interactions.is_positive
        and known_at < $as_of
        and occurred_at < $as_of
        and (superseded_at is null or superseded_at >= $as_of)
),
takes as (
    select
        person_id,
        product_id,
        platform as took_on,
        max_by(category, (occurred_at, event_id)) as category,
        max_by(verb, (occurred_at, event_id)) as verb,
        max(occurred_at) as occurred_at
    from known
    semi join history using (person_id, product_id)
    group by all
),
nameable as (
    select may_name.platform, takes.*, coalesce(here.title, there.title) as title
    from takes
    inner join may_name using (took_on)
    left join titles as here on may_name.platform = here.platform and takes.product_id = here.product_id
    left join titles as there on takes.took_on = there.platform and takes.product_id = there.product_id
),

---- the take on such a platform that leads to an item most
led_here as (
    select
        contributions.person_id,
        contributions.platform,
        contributions.item_id,
        concat('because you ', nameable.verb, ' ', nameable.title, ' on ', nameable.took_on) as words
    from contributions
    inner join nameable using (person_id, platform, product_id)
    where nameable.title is not null
    qualify row_number() over (
        partition by contributions.person_id, contributions.platform, contributions.item_id
        order by
            contributions.contribution desc,
            contributions.product_id,
            nameable.took_on = contributions.platform desc,
            nameable.occurred_at desc,
            nameable.took_on
    ) = 1
),
tastes as (
    select distinct person_id, platform, category from nameable where category != 'unknown'
),

---- how often a person took on the list's own platform what they take again there, by the verb that says it most often
repeats as (
    select
        strongest.person_id,
        strongest.platform,
        strongest.item_id,
        concat('because you ', verb, ' it ', case count(*) when 1 then 'before' else concat(count(*), ' times') end) as words
    from strongest
    inner join known using (person_id, platform, product_id)
    where strongest.generator = 'repeats'
    group by strongest.person_id, strongest.platform, strongest.item_id, verb
    qualify row_number() over (
        partition by strongest.person_id, strongest.platform, strongest.item_id order by count(*) desc, verb
    ) = 1
),

---- what a popular list is ordered by
items as (
    select * from marts.item_popularity where as_of = $as_of
),
segments as (
    select segment, product_id, events_7d from marts.segment_popularity where as_of = $as_of and events_28d > 0
)

select lists.* replace (
    case
        when lists.slot = 'pinned' then 'chosen by the editors'
        when repeats.words is not null then repeats.words
        when lists.slot = 'explored' then 'something different for you'
        when lists.strategy = 'popular' then case
            when segments.product_id is not null and items.events > 0 then 'popular with people your age'
            when items.events_28d > 0 then concat('popular on ', lists.platform)
            when items.product_events > 0 then 'popular across platforms'
            when items.days_on_offer <= 60 then concat('new on ', lists.platform)
            else concat('available on ', lists.platform)
        end
        when led_here.words is not null then led_here.words
        when strongest.generator = 'category_taste' and tastes.category is not null
            then concat('because you like the category ', lists.category)
        when strongest.generator = 'segment_trending' then case
            when segments.events_7d > 0 then 'trending with people your age'
            else 'trending this week'
        end
        when strongest.generator = 'trending' then concat('trending on ', lists.platform, ' this week')
        when strongest.generator = 'popular' then 'popular across platforms'
        when strongest.generator = 'new_items' then concat('new on ', lists.platform)
        else 'because of what you like'
    end as reason
)
from lists
left join strongest using (person_id, platform, item_id)
left join repeats using (person_id, platform, item_id)
left join led_here using (person_id, platform, item_id)
left join tastes using (person_id, platform, category)
left join items using (platform, item_id)
left join marts.person_accounts as accounts using (platform, account_id)
left join segments on accounts.age_band = segments.segment and lists.product_id = segments.product_id
order by lists.platform, lists.account_id, lists.rank
"""
