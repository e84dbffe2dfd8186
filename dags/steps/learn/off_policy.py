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
from infra.warehouse import query
from ml.arrays import Floats
from ml.evaluation.off_policy import rewarded, value_of_best


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
    accounts = query(night.settings, "select platform, account_id from marts.person_accounts")
    rewards = query(night.settings, "from marts.evaluation_rewards")
    choices = rewarded(explorable, night.read_table(night.key("lists.parquet")), accounts, rewards)
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
