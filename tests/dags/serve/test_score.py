"""Rules, pins and what was shown too often, on their way into the lists; the marts are made by hand."""

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from dags.steps.night import Night
from dags.steps.serve import score as serve
from dags.steps.serve.score import ServingRanker, score, warn_unseen_values
from infra.settings import Settings
from infra.warehouse import query
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.rerank import rerank
from ml.ranking.shards import popular_to_rank, to_rank
from tests.compiled import create_views

AS_OF = date(2000, 12, 15)
MARTS = """
create schema marts;
create table marts.snapshots as select date '2000-12-15' as as_of, 'scoring' as role;
create table marts.active_rules as from (values
    ('shop', 'banned', 'BAN', 'ban', null, 'c', true),
    ('shop', 'pinned', 'PIN', 'pin', 1, 'c', true),
    ('shop', 'sold-out', 'OUT', 'pin', 2, 'c', false),
    ('shop', 'unheard-of', null, 'ban', null, null, false)
) as rules (platform, item_id, product_id, rule, rank, category, is_available);
create table marts.impressions as from (values
    ('P1', 'shop', 'A', 10), ('P1', 'shop', 'B', 9), ('P2', 'stream', 'A', 99), ('P3', 'shop', 'A', 10)
) as shown (person_id, platform, product_id, impressions_28d);
create table marts.person_products as from (values
    ('P1', 'stream', 'PIN'), ('P2', 'shop', 'PIN'), ('P3', 'stream', 'B'), ('P4', 'shop', 'PIN')
) as had (person_id, platform, product_id);
create table marts.training_examples as select 'shop' as platform;
create table marts.candidates as
select date '2000-12-15' as as_of, *, null::double as new_item_reciprocal_rank from (values
    ('P1', 'shop', 'a', 'A', 'c'), ('P1', 'shop', 'banned', 'BAN', 'c'), ('P1', 'shop', 'other-edition', 'BAN', 'c'),
    ('P1', 'stream', 'a', 'A', 'c')
) as candidates (person_id, platform, item_id, product_id, category);
create table marts.person_sequences as select distinct as_of, person_id, platform, 'A' as recent_products from marts.candidates;
create table marts.person_accounts as select *, timestamp '2000-01-01' as created_at, null::varchar as age_band from (values
    ('P1', 'shop', 'C1'), ('P3', 'shop', 'C3'), ('P4', 'shop', 'C4')
) as accounts (person_id, platform, account_id);
create table marts.popular_lists as select 'shop' as platform, 'unknown' as segment, * from (values
    ('a', 'A', 'c', 1), ('banned', 'BAN', 'c', 2), ('b', 'B', 'c', 3), ('d', 'D', 'c', 4), ('pinned', 'PIN', 'c', 500)
) as lists (item_id, product_id, category, position);
"""


@pytest.fixture
def night(tmp_path: Path) -> Night:
    night = Night(AS_OF, settings=Settings(home=tmp_path, scoring_shards=1, list_size=3))
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(MARTS)
        create_views(warehouse, "serving_candidates", "popular_list_candidates")
    return night


def propose(night: Night, *proposals: tuple[str, str, str]) -> None:
    """Candidates (person, item, product) on the shop, and none else."""
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("delete from marts.candidates")
        for proposal in proposals:
            warehouse.execute(
                "insert into marts.candidates by name select $as_of as as_of, $person as person_id, 'shop' as platform,"
                " $item as item_id, $product as product_id, 'c' as category",
                dict(zip(("person", "item", "product"), proposal, strict=True)) | {"as_of": AS_OF},
            )


def to_be_ranked(night: Night) -> list[tuple[object, ...]]:
    """Person, item, score, pinned rank and whether it was shown too often; candidates score by the beginning of the alphabet."""
    candidates = query(night.settings, "from marts.serving_candidates order by person_id, platform, item_id")
    proposed = candidates.filter(candidates["is_candidate"])["item_id"].to_pylist()
    scores = np.array([{"a": 0.5, "b": 0.25}.get(item, 0.125) for item in proposed], np.float32)
    rows = to_rank(candidates, scores, 10).to_pylist()
    return [
        tuple(row[name] for name in ("person_id", "item_id", "score", "pinned_rank", "is_overshown")) for row in rows
    ]


def popular(night: Night) -> pa.Table:
    """The candidates of popular lists, of accounts that have no others."""
    return popular_to_rank(query(night.settings, "from marts.popular_list_candidates where not has_candidates"), 10)


def test_what_is_banned_and_what_is_the_same_product_is_no_candidate(night) -> None:
    found = serve._candidates(night, 0)
    found = found.filter(found["is_candidate"]).to_pylist()
    assert [(row["person_id"], row["platform"], row["item_id"]) for row in found] == [("P1", "shop", "a")]
    assert found[0]["recent_products"] == "A"


def test_pins_stand_beside_scored_candidates_of_whoever_never_had_them(night) -> None:
    propose(night, *((person, item, item.upper()) for person in ("P1", "P2") for item in "ab"), ("P1", "pinned", "PIN"))
    assert to_be_ranked(night) == [
        ("P1", "a", 0.5, None, True),
        ("P1", "b", 0.25, None, False),
        ("P1", "pinned", 0.125, 1, False),
        ("P2", "a", 0.5, None, False),
        ("P2", "b", 0.25, None, False),
    ]


def test_a_pin_need_not_be_a_candidate(night) -> None:
    propose(night, ("P1", "a", "A"), ("P1", "b", "B"))
    assert [row for row in to_be_ranked(night) if row[3]] == [("P1", "pinned", None, 1, False)]


def test_popular_lists_obey_the_rules_too(night) -> None:
    propose(night)
    lists = rerank(popular(night), 3)
    assert [(row["person_id"], row["rank"], row["item_id"], row["slot"]) for row in lists.to_pylist()] == [
        *(("C1", 1, "pinned", "pinned"), ("C1", 2, "b", "ranked"), ("C1", 3, "d", "ranked")),
        *(("C3", 1, "pinned", "pinned"), ("C3", 2, "b", "ranked"), ("C3", 3, "d", "ranked")),
        *(("C4", 1, "a", "ranked"), ("C4", 2, "b", "ranked"), ("C4", 3, "d", "ranked")),
    ]


def test_popular_lists_are_ranked_shard_by_shard_and_come_out_the_same(night, monkeypatch) -> None:
    """C1's person has a scored list; 42 other accounts, of which those on two platforms have the same ids, get popular ones."""
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(
            "insert into marts.person_accounts (person_id, platform, account_id, created_at)"
            " select 'N' || n, p, 'N' || n, timestamp '2000-01-01' from range(20) as n (n), (values ('shop'), ('stream')) as p (p)"
        )
        warehouse.execute(
            "insert into marts.popular_lists select * replace ('stream' as platform) from marts.popular_lists"
        )
    monkeypatch.setattr(
        serve,
        "serving_ranker",
        lambda night: ServingRanker("7", None, FeatureSpec((Feature("platform", "categorical"),))),
    )
    monkeypatch.setattr(serve, "score_candidates", lambda model, spec, rows: np.full(rows.num_rows, 0.5, np.float32))
    order = [(name, "ascending") for name in ("strategy", "platform", "person_id", "account_id", "rank")]
    found = []
    for shards in (1, 4):
        part = Night(AS_OF, settings=night.settings.model_copy(update={"scoring_shards": shards}))
        for shard in range(shards):
            score(part, shard)
        found.append([part.read_table(part.key(f"ranked/shard={shard}.parquet")) for shard in range(shards)])
    [whole], parts = found
    counts = [lists(part, "popular") for part in parts]
    assert lists(whole, "popular") == 42
    assert all(0 < count < 20 for count in counts)
    assert sum(counts) == 42
    assert lists(whole, "personalised") == 1
    assert pa.concat_tables(parts).sort_by(order).equals(whole.sort_by(order))
    personal = whole.filter(pc.equal(whole["strategy"], "personalised"))
    assert personal.select(["person_id", "account_id", "model_version"]).to_pylist()[0] == {
        "person_id": "P1",
        "account_id": None,
        "model_version": "7",
    }


def lists(ranked: pa.Table, strategy: str) -> int:
    return ranked.filter((pc.field("strategy") == strategy) & (pc.field("rank") == 1)).num_rows


def test_while_no_model_serves_those_with_candidates_get_popular_lists_too(night, monkeypatch) -> None:
    monkeypatch.setattr(serve, "serving_ranker", lambda night: None)
    score(night, 0)
    ranked = night.read_table(night.key("ranked/shard=0.parquet"))
    assert {*ranked["account_id"].to_pylist()} == {"C1", "C3", "C4"}
    assert {*ranked["strategy"].to_pylist()} == {"popular"}
    assert night.read_table(night.key("explorable/shard=0.parquet")).num_rows == 0


@pytest.mark.parametrize(("is_available", "first"), [(True, ("pinned", 1)), (False, ("a", None))])
def test_a_pin_shows_its_own_item_where_another_of_the_product_is_popular(night, is_available, first) -> None:
    """A popular list has one item of a product; while the pinned one is not available, the other stands where it would."""
    propose(night)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("update marts.popular_lists set item_id = 'another' where product_id = 'PIN'")
        warehouse.execute("update marts.popular_lists set position = 5 where product_id = 'PIN'")
        warehouse.execute("update marts.active_rules set is_available = ? where item_id = 'pinned'", [is_available])
    rows = [row for row in popular(night).to_pylist() if row["person_id"] == "C1"]
    rows.sort(key=lambda row: (row["pinned_rank"] is None, -row["score"]))
    found = [(row["item_id"], row["pinned_rank"]) for row in rows]
    assert found[0] == first
    assert [item for item, _ in found if item in ("pinned", "another")] == ["pinned" if is_available else "another"]


def test_values_that_the_model_has_not_seen_are_warned_of(night, caplog) -> None:
    """Some new values are every night's; where a platform has no other, it calls them otherwise than before."""
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(
            "create or replace table marts.training_examples as from (values"
            " ('shop', 'crime'), ('shop', null), ('forum', 'war')) as examples (platform, category)"
        )
    candidates = pa.table(
        {
            "platform": ["shop", "shop", "forum", "stream"],
            "category": ["Krimi", None, "war", "Krieg"],
            "price": [1.0, None, float("nan"), float("inf")],
            "release_year": [1990.0, None, 1991.0, 1992.0],
        }
    )
    features = [Feature("platform", "categorical"), Feature("category", "categorical")]
    features += [Feature("price", "numeric"), Feature("release_year", "numeric")]
    caplog.set_level("INFO", "dags.steps")
    warn_unseen_values(night, 0, candidates.take([0, 1, 2]), FeatureSpec(tuple(features[:1])))
    warn_unseen_values(night, 0, candidates.slice(0, 0), FeatureSpec(tuple(features)))
    assert not caplog.messages
    warn_unseen_values(night, 0, candidates, FeatureSpec(tuple(features)))
    numbers, platforms, categories = caplog.messages
    assert "shard 0: features are NaN or infinite in some candidates: price (50.0%)." in numbers
    assert "on stream no value of feature platform stands in any example" in platforms
    assert "on shop, stream no value of feature category stands in any example" in categories
