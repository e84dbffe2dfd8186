"""A source that does not help a platform is excluded for that platform, and comes back when it helps."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from dags.steps.dbt import build
from dags.steps.learn import judge_sources
from dags.steps.learn.exclude_sources import apply_again, exclude_sources
from dags.steps.night import Night
from expectations.gate import GateResult
from infra.excluded_sources import read_excluded
from infra.warehouse import query
from ml.evaluation.transfer import SCHEMA
from tests.e2e.conftest import SECOND, NightOf

CANDIDATES = "select * from marts.candidates order by as_of, person_id, platform, item_id"
SEQUENCES = "select * from marts.person_sequences order by as_of, person_id, platform"
EXAMPLES = "select * from marts.training_examples order by as_of, person_id, platform, item_id"


def found(*rows: dict[str, object]) -> Callable[[pa.Table], pa.Table]:
    return lambda _: pa.Table.from_pylist(list(rows), SCHEMA)


def test_an_excluded_source_leaves_no_trace_in_its_targets_candidates(
    night_of: NightOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_of(SECOND)
    before, examples, sequences = (query(night.settings, sql) for sql in (CANDIDATES, EXAMPLES, SEQUENCES))
    monkeypatch.setattr(Night, "earlier_with", lambda *_: None)
    harm = {"source": "forum", "target": "shop", "cohort": "all", "people": 200, "verdict": "harms"}
    rest = {"source": "shop", "target": "stream", "cohort": "all", "people": 200, "verdict": "kept"}

    monkeypatch.setattr(judge_sources, "judge", found(harm, rest))
    judge_sources.judge_sources(night)
    gate = night.read(GateResult, "transfer")
    assert gate.verdict == "warn"
    assert "forum for shop" in gate.checks[1].observed
    assert query(night.settings, CANDIDATES).equals(before)  # a gate checks and nothing else
    exclude_sources(night)
    assert read_excluded(night.lake) == {"shop": ("forum",)}
    after = query(night.settings, CANDIDATES)
    others = pc.not_equal(before["platform"], "shop")
    assert after.filter(pc.not_equal(after["platform"], "shop")).equals(before.filter(others))
    assert events_of_candidates(night) == events_of_candidates(night, "where platform != 'forum'") != {}
    assert had_before(night) == 0
    assert read_of_forum_alone(night, "stream") > read_of_forum_alone(night, "shop") == 0
    assert query(night.settings, EXAMPLES).schema == examples.schema

    build(night, "candidates+")  # by hand, as `crossrec dbt build` does
    assert not query(night.settings, CANDIDATES).equals(after)
    apply_again(night, ["candidates", "training_examples"])
    assert query(night.settings, CANDIDATES).equals(after)

    monkeypatch.setattr(judge_sources, "judge", found(harm | {"verdict": "kept"}, rest))
    judge_sources.judge_sources(night)
    exclude_sources(night)
    assert read_excluded(night.lake) == {}
    assert query(night.settings, CANDIDATES).equals(before)
    assert query(night.settings, EXAMPLES).equals(examples)
    assert query(night.settings, SEQUENCES).equals(sequences)


def read_of_forum_alone(night: Night, platform: str) -> int:
    """How many products in a platform's sequences have interactions of the person on the forum alone."""
    [row] = query(
        night.settings,
        """
        with read_products as (
            select as_of, person_id, unnest(string_split(recent_products, '|')) as product_id
            from marts.person_sequences where platform = $platform
        ),
        elsewhere as (from marts.interactions where platform != 'forum')
        select count(*) as products from read_products anti join elsewhere using (person_id, product_id)
        """,
        {"platform": platform},
    ).to_pylist()
    return int(row["products"])


def events_of_candidates(night: Night, known: str | None = None) -> dict[tuple[object, str], float]:
    """Events of each person with candidates of the shop.

    They are read from the candidates, or with ``known`` counted in those interactions.
    """
    in_candidates = "select distinct as_of, person_id, person_events from marts.candidates where platform = 'shop'"
    counted = f"""
        select as_of, person_id, count(*) as person_events
        from ({in_candidates}) inner join (from marts.interactions {known}) as interactions using (person_id)
        where occurred_at < as_of and known_at < as_of and (superseded_at is null or superseded_at >= as_of)
        group by all
    """
    rows = query(night.settings, counted if known else in_candidates).to_pylist()
    return {(row["as_of"], row["person_id"]): row["person_events"] for row in rows}


def had_before(night: Night) -> int:
    [row] = query(
        night.settings,
        "select count(*) as had from marts.candidates semi join marts.positive_interactions using (as_of, person_id, product_id)",
    ).to_pylist()
    return int(row["had"])
