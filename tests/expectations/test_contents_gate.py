"""Gate `contents` on platforms by formula: quiet on good nights, and loud on each kind of fault."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from expectations.contents import METRICS, NAMES, Finding, Limits, Loads, frame, judge, suite
from expectations.gate import run_gate
from infra.platforms.declaration import GATE_METRICS
from tests.expectations.corruptions import CORRUPTIONS, everything
from tests.expectations.generated import FIRST_NIGHT, Generated, Shape, Warehouse

pytestmark = pytest.mark.slow
NAMES_OF_PLATFORMS = ("shop", "stream", "forum")
BAD_NIGHT = FIRST_NIGHT + timedelta(24)
EVERY_NIGHT = Loads(
    {(name, contract): 1 for name in NAMES_OF_PLATFORMS for contract in ("accounts", "items", "events")}
)
HOLIDAY = ((20, 0.5),)  # on all platforms


def world(seed: int, sizes: tuple[int, ...], **shape: object) -> dict[str, Generated]:
    return {
        name: Generated(name, Shape(events=size, **shape), seed)
        for name, size in zip(NAMES_OF_PLATFORMS, sizes, strict=True)
    }


def up_to(profiles: pa.Table, night: object) -> pa.Table:
    return profiles.filter(pc.field("load_date") <= night)


def stops(findings: list[Finding]) -> list[str]:
    return [f"{found.metric}: {found.text}" for found in findings if found.stop > 1]


@pytest.mark.parametrize(("seed", "sizes"), [(1, (50, 1_000, 2_000)), (2, (50, 300, 1_000))])
def test_thirty_good_nights_with_a_weekly_rhythm_growth_and_a_holiday_do_not_stop(seed, sizes):
    platforms = world(seed, sizes, factors=HOLIDAY)
    profiles = Warehouse(platforms, FIRST_NIGHT + timedelta(30)).profiles()
    stopped = {
        (str(night), name): found
        for night in platforms["shop"].nights
        for name in platforms
        if (found := stops(judge(up_to(profiles, night), name, as_of=night, loads=EVERY_NIGHT)))
    }
    assert len(stopped) <= 1, stopped


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    """Three weeks of good nights on top of two months, and one more night of two of the platforms."""
    platforms = world(3, (50, 1_000, 300))
    made = Warehouse(platforms, BAD_NIGHT)
    for name in ("shop", "forum"):
        made.land(name, BAD_NIGHT, platforms[name].load(BAD_NIGHT))
    yield made
    made.connection.close()


def judged(warehouse: Warehouse, load: dict, **options: object) -> list[Finding]:
    return judge(profiled(warehouse, load), "stream", as_of=BAD_NIGHT, loads=EVERY_NIGHT, **options)


def profiled(warehouse: Warehouse, load: dict) -> pa.Table:
    """The profiles of all loads with this one, which is forgotten again."""
    warehouse.begin()
    try:
        warehouse.land("stream", BAD_NIGHT, load)
        warehouse.profile(BAD_NIGHT)
        return warehouse.profiles()
    finally:
        warehouse.forget()


def test_the_same_night_without_a_fault_passes(warehouse):
    assert stops(judged(warehouse, warehouse.platforms["stream"].load(BAD_NIGHT))) == []


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_fault_stops(warehouse, kind):
    findings = judged(warehouse, CORRUPTIONS[kind](warehouse.platforms["stream"], BAD_NIGHT))
    assert stops(findings), [(found.metric, round(found.stop, 2), found.text) for found in findings[:5]]


def test_a_platform_may_widen_a_metric(warehouse):
    load = CORRUPTIONS["events: half"](warehouse.platforms["stream"], BAD_NIGHT)
    metrics = {found.metric for found in judged(warehouse, load) if found.stop > 1}
    assert metrics
    assert stops(judged(warehouse, load, bounds=dict.fromkeys(metrics, 3.0))) == []


def test_a_young_installation_warns_and_does_not_stop(warehouse):
    load = CORRUPTIONS["events: a third"](warehouse.platforms["stream"], BAD_NIGHT)
    findings = judged(warehouse, load, limits=Limits(min_history_days=100))
    assert stops(findings) == []
    assert any(found.warn > 1 for found in findings)


def test_nonsense_stops_a_young_installation(warehouse):
    load = CORRUPTIONS["account_id in upper case"](warehouse.platforms["stream"], BAD_NIGHT)
    findings = judged(warehouse, load, limits=Limits(min_history_days=100))
    assert [found.metric for found in findings if found.stop > 1] == ["events.account_known"]


@pytest.mark.parametrize("kind", ["items: categories recoded", "items: none available", "accounts: gender swapped"])
def test_a_change_of_most_that_is_known_stops_a_young_installation(warehouse, kind):
    load = CORRUPTIONS[kind](warehouse.platforms["stream"], BAD_NIGHT)
    assert stops(judged(warehouse, load, limits=Limits(min_history_days=100)))


@pytest.mark.parametrize("contract", ["accounts", "items"])
def test_an_export_of_all_that_changes_nothing_does_not_stop(warehouse, contract):
    findings = judged(warehouse, everything(contract, lambda known, _: known)(warehouse.platforms["stream"], BAD_NIGHT))
    assert stops(findings) == []
    assert any(found.metric == f"{contract}.status" and found.warn > 1 for found in findings)


@pytest.mark.parametrize(("nights", "is_held"), [(1, True), (2, False)])
def test_rows_that_are_a_day_old_are_usual_only_where_a_load_was_late(warehouse, nights, is_held):
    load = CORRUPTIONS["occurred_at a day earlier"](warehouse.platforms["stream"], BAD_NIGHT)
    covered = {**EVERY_NIGHT.nights_covered, ("stream", "events"): nights}
    findings = judge(profiled(warehouse, load), "stream", as_of=BAD_NIGHT, loads=Loads(covered))
    told = [found for found in findings if found.metric in ("events.age", "events.days_old")]
    assert any(found.stop > 1 for found in told) == is_held
    assert any(found.warn > 1 for found in told)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_bursts_of_all_platforms_do_not_hide_what_happens_to_one(factor):
    """Days differ by a factor of up to thirty, on all platforms alike."""
    bursts = np.exp(np.random.default_rng(4).normal(0, 1.0, 25))
    factors = tuple(enumerate(bursts))
    platforms = world(4, (300, 300, 300), factors=factors)
    bad = (*factors[:-1], (24, bursts[-1] * factor))
    stream = Generated("stream", Shape(events=300, factors=bad), 4)

    def told(stream: Generated) -> list[str]:
        profiles = Warehouse({**platforms, "stream": stream}, BAD_NIGHT + timedelta(1)).profiles()
        return [
            text
            for text in stops(judge(profiles, "stream", as_of=BAD_NIGHT, loads=EVERY_NIGHT))
            if "other platforms" in text
        ]

    assert told(stream)
    assert told(platforms["stream"]) == []


@pytest.mark.parametrize(
    ("name", "size", "factors"),
    [
        ("stream", 1_000, tuple(0.9 ** (number + 1) for number in range(7))),
        ("shop", 150, tuple(0.9 ** (number + 1) for number in range(7))),
        ("stream", 1_000, (0.72,) * 7),
    ],
)
def test_a_decline_is_told_within_a_week(name, size, factors):
    """By the seven nights together: no single one has to be far from usual."""
    falling = tuple((15 + number, factor) for number, factor in enumerate(factors))
    platforms = world(5, (50, 300, 300)) | {name: Generated(name, Shape(events=size, factors=falling), 5)}
    profiles = Warehouse(platforms, FIRST_NIGHT + timedelta(24)).profiles()
    told = [
        night
        for night in (FIRST_NIGHT + timedelta(15 + number) for number in range(7))
        if any(
            "in the last seven nights together" in found.text and found.warn > 1
            for found in judge(up_to(profiles, night), name, as_of=night, loads=EVERY_NIGHT)
        )
    ]
    assert told, "fewer events for a week, and nobody says so"


def test_nobody_learns_from_a_load_that_was_stopped(warehouse):
    """The last weeks had five times the events, and events without a device; where they count as good, that is usual."""
    bad = [BAD_NIGHT - timedelta(number) for number in range(1, 21)]
    profiles = profiled(warehouse, warehouse.platforms["stream"].load(BAD_NIGHT))
    bad_load = pc.and_(
        pc.equal(profiles["platform"], "stream"), pc.is_in(profiles["load_date"], pa.array(bad, pa.date32()))
    )
    raised = pc.or_(pc.equal(profiles["metric"], "rows"), pc.equal(profiles["bucket"], "(none)"))
    amount = pc.if_else(pc.and_(bad_load, raised), pc.multiply(profiles["amount"], 5.0), profiles["amount"])
    changed = profiles.set_column(profiles.schema.get_field_index("amount"), "amount", amount)
    loads = Loads(EVERY_NIGHT.nights_covered, {"stream": bad})
    learned = judge(changed, "stream", as_of=BAD_NIGHT, loads=EVERY_NIGHT)
    left_out = judge(changed, "stream", as_of=BAD_NIGHT, loads=loads)
    assert usually(learned, "events a night") > 4_000 > 3_000 > usually(left_out, "events a night")
    assert usually(learned, "devices of events: none") > 20 > 15 > usually(left_out, "devices of events: none")


def usually(findings: list[Finding], words: str) -> float:
    """The upper end of what is usual."""
    [text] = [found.text for found in findings if found.text.startswith(words) and "usual" in found.text]
    return float(text.rpartition(" to ")[2].replace(",", "").rstrip("%"))


def test_the_gate_says_what_was_found_and_what_is_usual(warehouse):
    findings = judged(warehouse, CORRUPTIONS["device constant"](warehouse.platforms["stream"], BAD_NIGHT))
    result = run_gate("contents", suite("stream"), frame(findings), as_of=BAD_NIGHT, platform="stream")
    assert result.verdict == "stop"
    [failed] = [check for check in result.failed if check.severity == "stop"]
    assert "events.device (devices of events differ by" in failed.observed
    assert "mobile" not in failed.observed, "what a source wrote is not printed"
    assert "usual" in failed.observed
    assert "gate_bounds" in failed.remedy
    assert failed.why


def test_the_declaration_knows_the_metrics_of_the_gate():
    assert sorted(NAMES) == list(GATE_METRICS)
    assert len({*NAMES}) == len(METRICS)
