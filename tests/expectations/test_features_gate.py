"""Tonight's candidates beside those of other nights and beside the examples: generated tables, each broken in one way."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from expectations import features
from expectations.gate import GateResult, run_gate
from ml.evaluation.snapshots import SERVED, serving_statistics, snapshot_statistics, together

NIGHT = date(2000, 12, 15)
NUMERIC = ["days_since_first", "price", "events_1d", "rare"]
SEEDS = range(5)

Fault = Callable[[pa.Table], pa.Table]


def candidates(as_of: date, random: np.random.Generator, *, persons: int = 300) -> pa.Table:
    """Candidates of two platforms. days_since_first grows, and some days have many times the events of others."""
    rows, day = persons * 40, (as_of - date(2000, 1, 1)).days
    busy = random.choice([0.05, 0.1, 3.0])
    return pa.table(
        {
            "as_of": pa.array([as_of] * rows),
            "person_id": [f"p{number}" for number in np.repeat(np.arange(persons), 40)],
            "platform": np.tile(["forum", "shop"], rows // 2),
            "label": pa.array((random.random(rows) < 0.1).astype("int32")),
            "days_since_first": np.repeat(random.exponential(50, persons), 40) + day,
            "price": np.exp(random.normal(3, 1, rows)),
            "events_1d": random.poisson(busy, rows).astype(float),
            "rare": np.where(random.random(rows) < 0.05, random.random(rows), 0.0),
            "category": random.choice(["drama", "crime", "war"], rows),
        }
    )


def served(table: pa.Table) -> pa.Table:
    return serving_statistics(table, NUMERIC, ["category"])


def check(nights: int, seed: int, fault: Fault = lambda table: table, *, accepted: bool = False) -> GateResult:
    """The gate's result on a night after so many ``nights``, whose candidates have the ``fault``; the examples are of eight weeks."""
    random = np.random.default_rng(seed)
    weeks = [candidates(NIGHT - timedelta(7 * week), random, persons=100) for week in range(8, 0, -1)]
    past = [served(candidates(NIGHT - timedelta(night), random)) for night in range(nights, 0, -1)]
    frame = features.frame(
        served(fault(candidates(NIGHT, random))),
        pa.concat_tables(past) if past else SERVED.empty_table(),
        snapshot_statistics(pa.concat_tables(weeks), NUMERIC, ["category"]),
    )
    return run_gate("features", features.suite(accepted=accepted), frame, as_of=NIGHT)


def with_values(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def nothing(table: pa.Table, name: str) -> pa.Table:
    return with_values(table, name, pa.nulls(table.num_rows, table[name].type))


def nothing_on_the_shop(table: pa.Table, name: str) -> pa.Table:
    on_shop = pc.equal(table["platform"], "shop")
    return with_values(table, name, pc.if_else(on_shop, pa.scalar(None, table[name].type), table[name]))


AT_ONCE: dict[str, tuple[Fault, str]] = {
    "a thousand times": (lambda table: with_values(table, "price", pc.multiply(table["price"], 1000.0)), "shop price"),
    "days became hours": (
        lambda table: with_values(table, "days_since_first", pc.multiply(table["days_since_first"], 24.0)),
        "shop days_since_first",
    ),
    "null everywhere": (lambda table: nothing(table, "price"), "price"),
    "no category": (lambda table: nothing(table, "category"), "category"),
}
BESIDE_NIGHTS: dict[str, tuple[Fault, str]] = {
    "null on one platform": (lambda table: nothing_on_the_shop(table, "price"), "shop price"),
    "one category": (lambda table: with_values(table, "category", pa.repeat("war", table.num_rows)), "forum category"),
    "a tenth": (lambda table: with_values(table, "price", pc.multiply(table["price"], 0.1)), "forum price"),
    "half of the candidates gone": (lambda table: table.filter(pa.array(np.arange(table.num_rows) % 4 < 2)), "shop"),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("nights", [0, 1, 3, 10])
def test_a_usual_night_passes(nights: int, seed: int) -> None:
    assert check(nights, seed).verdict == "pass"


@pytest.mark.parametrize("fault", AT_ONCE)
@pytest.mark.parametrize("nights", [0, 10])
def test_what_no_example_is_like_stops_the_first_night_too(nights: int, fault: str) -> None:
    broken, said = AT_ONCE[fault]
    for seed in SEEDS:
        result = check(nights, seed, broken)
        assert result.verdict == "stop"
        assert any(f"found {said} (" in reason or f", {said} (" in reason for reason in result.reasons), result.reasons


@pytest.mark.parametrize("fault", BESIDE_NIGHTS)
def test_what_no_other_night_is_like_stops(fault: str) -> None:
    broken, said = BESIDE_NIGHTS[fault]
    for seed in SEEDS:
        result = check(10, seed, broken)
        assert result.verdict == "stop"
        assert any(f"found {said} (" in reason or f", {said} (" in reason for reason in result.reasons), result.reasons


@pytest.mark.parametrize("fault", BESIDE_NIGHTS)
def test_with_few_other_nights_it_warns(fault: str) -> None:
    assert check(3, 0, BESIDE_NIGHTS[fault][0]).verdict == "warn"


def test_what_a_person_found_right_only_warns() -> None:
    assert check(10, 0, AT_ONCE["a thousand times"][0], accepted=True).verdict == "warn"


def test_the_statistics_of_shards_are_those_of_all_candidates() -> None:
    table = candidates(NIGHT, np.random.default_rng(1))
    person = pc.cast(pc.utf8_slice_codeunits(table["person_id"], 1), pa.int64())
    shards = [served(table.filter(pc.equal(pc.bit_wise_and(person, 1), shard))) for shard in (0, 1)]
    whole, parts = served(table).to_pandas(), together(shards).to_pandas()
    keys = ["platform", "feature"]
    both = whole.merge(parts, on=keys, suffixes=("", "_parts"))
    assert len(both) == len(whole) == len(parts)
    assert (both["candidates"] == both["candidates_parts"]).all()
    assert (both["persons"] == both["persons_parts"]).all()
    for share in ("missing", "commonest"):
        assert both[share].to_numpy() == pytest.approx(both[f"{share}_parts"].to_numpy(), abs=0.01)
    price = both[both["feature"] == "price"].iloc[0]
    assert price["quantiles_parts"][50] == pytest.approx(price["quantiles"][50], rel=0.05)
