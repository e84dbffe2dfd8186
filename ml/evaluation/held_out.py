"""The held-out snapshot, on which every contender is judged."""

from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class HeldOut:
    """The newest labelled snapshot as tables; ids are strings.

    - ``examples``: as_of, person_id, platform, item_id, product_id, label and all features of each candidate.
    - ``relevant``: person_id, platform, relevant and the columns of `ml.evaluation.metrics.Lists.from_table`.
    - ``labels``: person_id, platform, product_id, label: the products of positive interactions in the horizon, by anybody.
    - ``catalogue``: platform, item_id, product_id, category, popularity, is_new, is_available.
    - ``baselines``: contender, person_id, platform, item_id, score, label: the lists of the methods that SQL computes.
    - ``interactions``: person_id, product_id, age_days: everybody's positive interactions before the snapshot.
    - ``consumed``: person_id, platform, product_id: what no list may show.
    - ``objectives``: objective, person_id, platform, product_id: what counted for each other objective in the horizon.
    - ``choices``: what exploration slots might have shown, see `ml.evaluation.off_policy.rewarded`; None without any.
    """

    as_of: date
    examples: pa.Table
    relevant: pa.Table
    labels: pa.Table
    catalogue: pa.Table
    baselines: pa.Table
    interactions: pa.Table
    consumed: pa.Table
    objectives: pa.Table
    choices: pa.Table | None

    def tables(self) -> list[pa.Table]:
        return [value for value in vars(self).values() if isinstance(value, pa.Table)]

    def lists(self, baseline: str) -> pa.Table:
        return self.baselines.filter(pc.equal(self.baselines["contender"], baseline))

    @property
    def available(self) -> pa.Table:
        return self.catalogue.filter(self.catalogue["is_available"])

    @property
    def sizes(self) -> dict[str, int]:
        """How many items each platform could show."""
        counted = self.available.group_by("platform").aggregate([([], "count_all")])
        return {row["platform"]: row["count_all"] for row in counted.to_pylist()}

    def described(self, scored: pa.Table) -> pa.Table:
        """A contender's rows with the facts about their items, which are the same for every contender."""
        known = self.catalogue.drop_columns(["product_id", "is_available"])
        return scored.join(known, ["platform", "item_id"])
