"""How often the promotion rule errs, by simulation: its nominal rates are 2.5%, one tail of the 95% intervals."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from scipy.stats import binom

from ml.evaluation.comparison import Contender, compare
from ml.evaluation.promotion import MARGIN, decide

NOMINAL = 0.025
COMPARISONS, PEOPLE, ITEMS, REPLICATES = 300, 120, 12, 200
# what a rule that keeps its rate exceeds, or falls below, in one of a thousand such simulations
FEWEST, MOST = (int(count) for count in binom.ppf([0.001, 0.999], COMPARISONS, NOMINAL))


def simulated(missing: float, noise: float) -> Iterator[pa.Table]:
    """Comparisons of a challenger and a champion that both see the same signal, each through noise of its own.

    `missing` of the challenger's lists, at random, are not there and find nothing, so that its expected NDCG is exactly
    that share below the champion's. Little noise would measure something else: that a bootstrap of the six missing
    lists alone, as of any few large losses, gives intervals that are too short.
    """
    random = np.random.default_rng(0)
    people, rows = [f"p{number:03}" for number in range(PEOPLE)], PEOPLE * ITEMS
    person = np.repeat(np.arange(PEOPLE), ITEMS)
    pairs = pa.table(
        {
            "person_id": pa.array(people).take(person),
            "platform": ["shop"] * rows,
            "item_id": [f"i{number:02}" for number in range(ITEMS)] * PEOPLE,
        }
    )
    relevant = pa.table({"person_id": people, "platform": ["shop"] * PEOPLE, "relevant": [1] * PEOPLE})
    for seed in range(COMPARISONS):
        signal = random.normal(size=rows)
        wish = (signal + random.normal(size=rows)).reshape(PEOPLE, ITEMS)
        label = (wish == wish.max(axis=1, keepdims=True)).astype(int).ravel()
        scored = pairs.append_column("label", pa.array(label))
        challenger, champion = (
            scored.append_column("score", pa.array(signal + noise * random.normal(size=rows))) for _ in range(2)
        )
        challenger = challenger.filter((random.random(PEOPLE) >= missing)[person])
        contenders = [Contender("challenger", challenger), Contender("champion", champion)]
        yield compare(contenders, relevant, {"shop": ITEMS}, REPLICATES, seed=seed)


def test_a_challenger_worse_by_the_margin_is_promoted_at_most_at_the_nominal_rate() -> None:
    promoted = sum(decide(table, "challenger", "champion").promote for table in simulated(MARGIN, noise=0.4))
    assert promoted <= MOST


def test_an_equal_challenger_is_called_better_at_the_nominal_rate_and_mostly_promoted() -> None:
    decisions = [decide(table, "challenger", "champion") for table in simulated(0.0, noise=0.2)]
    assert FEWEST <= sum("better than the champion" in decision.reasons[0] for decision in decisions) <= MOST
    assert sum(decision.promote for decision in decisions) > COMPARISONS / 2
