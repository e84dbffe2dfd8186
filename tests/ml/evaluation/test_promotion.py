import pyarrow as pa
import pytest

from ml.evaluation.comparison import SCHEMA
from ml.evaluation.promotion import decide

Interval = tuple[float, float, float]


def comparison(
    overall: Interval = (0.0, -0.001, 0.001),
    shop: Interval = (0.0, -0.02, 0.02),
    shop_people: int = 30,
    heavy: Interval = (0.0, -0.02, 0.02),
    heavy_people: int = 100,
    popularity: Interval = (0.05, 0.04, 0.06),
) -> pa.Table:
    """A champion at NDCG 0.2; the challenger's differences to it and to popularity as given."""
    rows = [
        ("challenger", None, "all", "all", "ndcg_at_10", 0.2 + overall[0], 0.18, 0.22, 500),
        ("challenger", None, "all", "all", "log_loss", 0.3, 0.2, 0.4, 500),
        ("challenger", None, "all", "activity: heavy", "ndcg_at_10", 0.3, 0.28, 0.32, heavy_people),
        ("champion", None, "all", "all", "ndcg_at_10", 0.2, 0.18, 0.22, 500),
        ("champion", None, "all", "activity: heavy", "ndcg_at_10", 0.3, 0.28, 0.32, heavy_people),
        ("challenger", "champion", "all", "activity: heavy", "ndcg_at_10", *heavy, heavy_people),
        ("challenger", "champion", "all", "all", "ndcg_at_10", *overall, 500),
        ("challenger", "champion", "shop", "all", "ndcg_at_10", *shop, shop_people),
        ("challenger", "popularity", "all", "all", "ndcg_at_10", *popularity, 500),
    ]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


@pytest.mark.parametrize(
    ("table", "promote", "reason"),
    [
        (comparison(), True, "promote: not worse than the champion"),
        (comparison(overall=(0.02, 0.01, 0.03)), True, "promote: better than the champion"),
        (comparison(overall=(-0.004, -0.009, 0.001)), True, "promote: not worse than the champion"),  # margin 0.01
        (comparison(overall=(0.0, -0.011, 0.011)), False, "below the margin of -0.0100 (5% of the champion's)"),
        (comparison(overall=(-0.004, -0.006, -0.002)), False, "keep: on all the challenger is significantly worse"),
        (comparison(shop=(-0.02, -0.03, -0.01)), False, "keep: on shop the challenger is significantly worse"),
        (comparison(shop=(-0.02, -0.03, -0.01), shop_people=29), True, "promote: not worse than the champion"),
        (
            comparison(heavy=(-0.02, -0.03, -0.01)),
            False,
            "keep: on cohort activity: heavy the challenger is significantly worse",
        ),
        (comparison(heavy=(-0.02, -0.03, -0.01), heavy_people=99), True, "promote: not worse than the champion"),
    ],
)
def test_not_worse_overall_and_nowhere_clearly_worse(table: pa.Table, promote: bool, reason: str) -> None:
    decision = decide(table, "challenger", "champion")
    assert decision.promote is promote
    assert reason in decision.reasons[0]


@pytest.mark.parametrize(
    ("popularity", "warning"),
    [((-0.05, -0.06, -0.04), "warning: loses to popularity"), ((0.01, -0.01, 0.03), "warning: does not clearly beat")],
)
def test_a_baseline_warns_but_does_not_decide(popularity: Interval, warning: str) -> None:
    decision = decide(comparison(popularity=popularity), "challenger", "champion", ["popularity"])
    assert decision.promote
    assert decision.reasons[1].startswith(warning)


def test_a_broken_challenger_is_never_promoted() -> None:
    rows = comparison().to_pylist()
    rows[1]["value"] = float("nan")
    decision = decide(pa.Table.from_pylist(rows, SCHEMA), "challenger", None)
    assert not decision.promote
    assert decision.reasons == ["keep: the challenger's log_loss is not finite"]


def test_nothing_found_is_no_evidence() -> None:
    rows = [row | dict.fromkeys(("value", "low", "high"), 0.0) for row in comparison().to_pylist()]
    found_nothing = pa.Table.from_pylist(rows, SCHEMA)
    assert decide(found_nothing, "challenger", "champion").reasons == [
        "keep: the challenger's NDCG@10 is 0: it found none of the positive interactions"
    ]
    assert decide(found_nothing, "challenger", None).promote


def test_a_contender_that_was_not_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="no overall ndcg_at_10 of 'challenger' against 'yesterday'"):
        decide(comparison(), "challenger", "yesterday")
