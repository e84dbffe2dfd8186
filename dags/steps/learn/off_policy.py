"""What people did with exploration slots, and what another model's choice there would have been worth.

The horizon is that of the held-out snapshot, from which no contender learned. So the publication of the night of that
snapshot counts. Where that night did not run, or explored nothing, there is no answer.
"""

from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from dags.steps.serve.frozen import lists_to_publish
from infra.publications import PublishError, publication_id
from infra.report.facts import OffPolicy, PolicyValue
from infra.warehouse import query
from ml.arrays import Floats
from ml.evaluation.off_policy import rewarded, value_of_best


def logged_choices(night: Night) -> pa.Table | None:
    """The candidates that the exploration slots of the lists that ``night`` published might have shown; None without any.

    They have all features as known then, propensity, is_shown and reward. The reward is 1.0 where the person had a positive
    interaction with the shown product on that platform within the horizon, as known when the horizon closed. Accounts that
    left meanwhile are left out.
    """
    try:
        lists = lists_to_publish(night)
        explorable = night.read_table(night.key("explorable.parquet"))
        night.lake.read(f"publications/{publication_id(night.as_of, lists)}/publication.json")
    except (FileNotFoundError, PublishError):
        return None
    accounts = query(night.settings, "select platform, account_id from marts.person_accounts")
    rewards = query(night.settings, "from marts.evaluation_rewards")
    choices = rewarded(explorable, night.read_table(night.key("lists.parquet")), accounts, rewards)
    return choices if choices.num_rows else None


def value_of_choices(choices: pa.Table, predicted: dict[str, Floats]) -> OffPolicy:
    """The share of exploration slots whose item got a positive interaction, as shown and as each model would have chosen.

    ``choices`` is as from `logged_choices`. ``predicted`` has, by model, the probability of each of its rows.
    """
    values = {name: value_of_best(choices, probabilities) for name, probabilities in predicted.items()}
    logged = next(iter(values.values()))["logged"]
    policies = {("logged", "counting"): logged} | {
        (name, estimator): estimate
        for name, estimates in values.items()
        for estimator, estimate in estimates.items()
        if estimator != "logged"
    }
    return OffPolicy(
        lists=pc.sum(choices["is_shown"]).as_py(),
        explored=pc.sum(choices["is_explored"]).as_py(),
        interacted=int(pc.sum(choices["reward"].filter(choices["is_shown"])).as_py()),
        estimates=tuple(
            PolicyValue(policy=policy, estimator=estimator, **asdict(estimate))
            for (policy, estimator), estimate in policies.items()
        ),
    )
