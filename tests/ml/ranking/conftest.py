"""Small synthetic examples whose signal is known."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from ml.ranking.network.features import Feature, FeatureSpec


@pytest.fixture(scope="session")
def make_examples() -> Callable[[int, int], pa.Table]:
    """Positives are likelier where `recency` is small and where `genre` is g1; `noise`, `age` and `lately` say nothing."""

    def make(rows: int, seed: int) -> pa.Table:
        random = np.random.default_rng(seed)
        recency = random.lognormal(size=rows)
        genre = random.integers(4, size=rows)
        logit = -1.5 - 1.5 * np.log(recency) + 2.0 * (genre == 1)
        missing = random.random(rows) < 0.1
        lately = ["|".join(f"g{value}" for value in np.arange(length) ** 2 % 5) for length in range(60)]
        return pa.table(
            {
                "recency": pa.array(recency, mask=missing),
                "noise": pa.array(random.normal(size=rows)),
                "genre": pa.array([f"g{value}" for value in genre]),
                "age": pa.array([f"a{value}" for value in random.integers(3, size=rows)]),
                "lately": pa.array([lately[row % 60] for row in range(rows)]),
                "label": pa.array((random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64)),
            }
        )

    return make


@pytest.fixture(scope="session")
def spec() -> FeatureSpec:
    return FeatureSpec(
        (
            Feature("recency", "numeric"),
            Feature("genre", "categorical"),
            Feature("noise", "numeric"),
            Feature("age", "categorical"),
            Feature("genre_x_age", "cross", 200, ("genre", "age")),
            Feature("lately", "sequence", of=("genre",)),
        )
    )
