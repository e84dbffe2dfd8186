"""What people did with the places that explore, and what another model's choice there would have been worth.

The horizon is that of the held-out snapshot: no contender learned from it. So what counts is the publication of the night
of that snapshot; where that night did not run, or explored nothing, there is nothing to tell.
"""

from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from dags.steps.serve.publish import publication_id
from infra.warehouse import connect
from ml.arrays import Floats
from ml.evaluation.off_policy import value_of_best


def logged_choices(night: Night) -> pa.Table | None:
    """The candidates that might have had a place that explores in the lists that ``night`` published; None without any.

    All candidates' features as known then, propensity, is_shown, and reward: 1.0 where that person took the shown product
    on that platform within the horizon, as known when the horizon closed. Accounts that left meanwhile are left out.
    """
    try:
        lists, _ = night.lake.read(night.key("lists.parquet"))
        explorable = night.read_table(night.key("explorable.parquet"))
        night.lake.read(f"publications/{publication_id(night.as_of, lists)}/publication.json")
    except FileNotFoundError:
        return None
    with connect(night.settings) as warehouse:
        warehouse.register("lists", night.read_table(night.key("lists.parquet")))
        warehouse.register("explorable", explorable)
        parameters = {"as_of": night.as_of, "days": night.settings.horizon_days}
        choices = warehouse.execute(REWARDED, parameters).to_arrow_table()
    return choices if choices.num_rows else None


def value_of_choices(choices: pa.Table, predicted: dict[str, Floats]) -> dict[str, Any]:
    """The share of the places that explore whose item was taken, as shown and as each model would have chosen.

    ``choices`` as from `logged_choices`; ``predicted`` has by model the probability of each of their rows.
    """
    values = {name: value_of_best(choices, probabilities) for name, probabilities in predicted.items()}
    logged = next(iter(values.values()))["logged"]
    policies = {("logged", "counting"): logged} | {
        (name, estimator): estimate
        for name, estimates in values.items()
        for estimator, estimate in estimates.items()
        if estimator != "logged"
    }
    return {
        "lists": pc.sum(choices["is_shown"]).as_py(),
        "explored": pc.sum(choices["is_explored"]).as_py(),
        "taken": int(pc.sum(choices["reward"].filter(choices["is_shown"])).as_py()),
        "estimates": [
            {"policy": policy, "estimator": estimator, **asdict(estimate)}
            for (policy, estimator), estimate in policies.items()
        ],
    }


# of a person's accounts on a platform, which have the same list, the first stands for all
REWARDED = """
with shown as (
    select person_id, platform, item_id, slot, min(account_id) as account_id
    from lists
    where propensity < 1
    group by all
),
known_then as (
    select * from marts.interactions
    where
        is_positive
        and $as_of <= occurred_at and occurred_at < $as_of + to_days($days)
        and known_at < $as_of + to_days($days)
        and (superseded_at is null or superseded_at >= $as_of + to_days($days))
),
rewarded as (
    select
        shown.person_id,
        shown.platform,
        shown.slot,
        cast(count(known_then.event_id) > 0 as double) as reward
    from shown
    inner join marts.person_accounts as accounts
        on shown.platform = accounts.platform and shown.account_id = accounts.account_id
    left join marts.product_items as items on shown.platform = items.platform and shown.item_id = items.item_id
    left join known_then
        on
            accounts.person_id = known_then.person_id
            and shown.platform = known_then.platform
            and items.product_id = known_then.product_id
    group by all
)
select
    explorable.*,
    rewarded.reward,
    explorable.is_shown and rewarded.slot = 'explored' as is_explored
from explorable
inner join rewarded on explorable.person_id = rewarded.person_id and explorable.platform = rewarded.platform
order by explorable.person_id, explorable.platform, explorable.item_id
"""
