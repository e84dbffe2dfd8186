"""Which pairs show what linking can tell."""

import pyarrow as pa

from ml.identity.nearest import NearestPair, nearest_pairs


def pairs(*weights: float) -> pa.Table:
    rows = [
        {"platform_l": "shop", "id_l": f"C{n}", "platform_r": "forum", "id_r": f"m{n}", "match_weight": weight}
        | {"score": 0.5, "name": 4.0, "town": -1.0, "phone": 0.0}
        for n, weight in enumerate(weights)
    ]
    return pa.Table.from_pylist(rows)


def test_the_nearest_on_each_side_of_the_threshold_with_its_comparisons() -> None:
    found = list(nearest_pairs(pairs(9.0, 2.0, 5.0, 5.0, 4.5, -3.0), 5.0, ["name", "town", "phone"]))
    assert [(pair.left, pair.weight) for pair in found] == [("shop:C2", 5.0), ("shop:C4", 4.5)]
    assert found[0] == NearestPair(
        "The weakest link that counts",
        left="shop:C2",
        right="forum:m2",
        start=2.0,
        steps=[("name", 4.0), ("town", -1.0)],
        weight=5.0,
        probability=0.5,
    )


def test_a_side_without_pairs_shows_none() -> None:
    assert [pair.caption for pair in nearest_pairs(pairs(1.0), 5.0, [])] == ["The strongest that does not"]
