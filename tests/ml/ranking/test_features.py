from typing import Any

import pytest

from ml.ranking.network.features import Feature, FeatureSpec


def test_reads_columns_as_dbt_has_them() -> None:
    spec = FeatureSpec.from_dbt_columns(
        [
            {"name": "person_id", "meta": {}},
            {"name": "popularity", "meta": {"feature": "numeric"}},
            {"name": "repeats", "meta": {"feature": "numeric", "may_be_constant": True}},
            {"name": "genre", "meta": {"feature": "categorical"}},
            {"name": "age", "meta": {"feature": "categorical"}},
            {"name": "genre_x_age", "feature": "cross", "of": ["genre", "age"], "buckets": 500},
            {"name": "age_x_genre", "feature": "cross", "of": ["age", "genre"]},
            {"name": "recent_genres", "meta": {"feature": "sequence", "of": ["genre"]}},
        ]
    )
    assert spec.features == (
        Feature("popularity", "numeric"),
        Feature("repeats", "numeric", may_be_constant=True),
        Feature("genre", "categorical"),
        Feature("age", "categorical"),
        Feature("genre_x_age", "cross", 500, ("genre", "age")),
        Feature("age_x_genre", "cross", 10_000, ("age", "genre")),
        Feature("recent_genres", "sequence", of=("genre",)),
    )
    assert spec.columns == ("genre", "age", "popularity", "repeats", "recent_genres")
    assert FeatureSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], "no column is declared a feature"),
        ([{"name": "a", "feature": "text"}], "'a': kind must be one of"),
        ([{"name": "a", "feature": "numeric"}, {"name": "a", "feature": "numeric"}], r"\['a'\] are declared more than"),
        ([{"name": "a", "feature": "categorical", "buckets": 50}], "'a': only a cross is hashed.*buckets=50"),
        (
            [
                {"name": "a", "feature": "categorical"},
                {"name": "x", "feature": "cross", "of": ["a", "a"], "buckets": 1},
            ],
            "at least 2 buckets. Received: buckets=1",
        ),
        (
            [{"name": "n", "feature": "numeric"}, {"name": "x", "feature": "cross", "of": ["n", "m"]}],
            r"cross 'x'.*not categorical: \['n', 'm'\]",
        ),
        (
            [{"name": "n", "feature": "numeric"}, {"name": "s", "feature": "sequence", "of": ["n"]}],
            r"sequence 's'.*the one categorical feature.*Received: of=\['n'\]",
        ),
    ],
)
def test_contradictions_name_the_feature(columns: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureSpec.from_dbt_columns(columns)
