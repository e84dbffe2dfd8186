"""Rules, pins and what was shown too often, on their way into the lists; the marts are made by hand."""

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from dags.steps.night import Night
from dags.steps.serve.score import CANDIDATES, POPULAR_CANDIDATES, RULED, assemble_lists, warn_unseen_values
from infra.settings import Settings
from infra.warehouse import query_with_sequences
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.rerank import rerank

AS_OF = date(2000, 12, 15)
MARTS = """
create schema marts;
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
create table marts.candidates as select date '2000-12-15' as as_of, * from (values
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
    return night


def rows(night: Night, sql: str, parameters: dict[str, object], **tables: pa.Table) -> list[tuple[object, ...]]:
    with duckdb.connect(str(night.settings.warehouse_path), read_only=True) as warehouse:
        for name, table in tables.items():
            warehouse.register(name, table)
        return warehouse.execute(sql, parameters).fetchall()


def scored(*people: str) -> pa.Table:
    items = [("a", "A", 0.5), ("b", "B", 0.4), ("pinned", "PIN", 0.1)]
    found = [
        {
            "person_id": person,
            "platform": "shop",
            "item_id": item,
            "product_id": product,
            "category": "c",
            "score": score,
        }
        for person in people
        for item, product, score in items
        if (person, item) != ("P2", "pinned")
    ]
    return pa.Table.from_pylist(found)


def test_what_is_banned_and_what_is_the_same_product_is_no_candidate(night) -> None:
    found = query_with_sequences(night.settings, CANDIDATES, {"as_of": AS_OF, "shards": 1, "shard": 0}).to_pylist()
    assert [(row["person_id"], row["platform"], row["item_id"]) for row in found] == [("P1", "shop", "a")]
    assert found[0]["recent_products"] == "A"


def test_pins_stand_beside_scored_candidates_of_whoever_never_had_them(night) -> None:
    sql = f"select person_id, item_id, score, pinned_rank, is_overshown from ({RULED})"
    assert rows(night, sql, {"max_impressions": 10}, scored=scored("P1", "P2")) == [
        ("P1", "a", 0.5, None, True),
        ("P1", "b", 0.4, None, False),
        ("P1", "pinned", 0.1, 1, None),
        ("P2", "a", 0.5, None, False),
        ("P2", "b", 0.4, None, False),
    ]


def test_a_pin_need_not_be_a_candidate(night) -> None:
    without = scored("P1").slice(0, 2)
    sql = f"select item_id, score, pinned_rank from ({RULED}) where pinned_rank is not null"
    assert rows(night, sql, {"max_impressions": 10}, scored=without) == [("pinned", None, 1)]


def test_popular_lists_obey_the_rules_too(night) -> None:
    parameters = {"as_of": AS_OF, "max_impressions": 10, "shards": 1, "shard": 0}
    with duckdb.connect(str(night.settings.warehouse_path), read_only=True) as warehouse:
        warehouse.register("scored", scored("P1").slice(0, 0))
        popular = rerank(warehouse.execute(POPULAR_CANDIDATES, parameters).to_arrow_table(), 3)
    assert [(row["person_id"], row["rank"], row["item_id"], row["slot"]) for row in popular.to_pylist()] == [
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
    own = rerank(scored("P1"), 3)
    own = own.append_column("model_version", pa.array(["7"] * own.num_rows))
    ranked: list[set[tuple[str, str]]] = []

    def spy(candidates: pa.Table, *rules: int) -> pa.Table:
        columns = (candidates[name].to_pylist() for name in ("person_id", "platform"))
        ranked.append(set(zip(*columns, strict=True)))
        return rerank(candidates, *rules)

    monkeypatch.setattr("dags.steps.serve.score.rerank", spy)
    monkeypatch.setattr("dags.steps.serve.score.with_reasons", lambda night, lists: lists)
    files = []
    for shards in (1, 4):
        part = Night(AS_OF, settings=night.settings.model_copy(update={"scoring_shards": shards}))
        for shard in range(shards):
            for name in ("scored", "explorable"):
                part.write_table(part.key(f"{name}/shard={shard}.parquet"), own.slice(0, 0 if shard else None))
        assemble_lists(part)
        files.append(part.lake.read(part.key("lists.parquet"))[0])
    whole, *parts = ranked
    assert len(whole) == 42
    assert len(parts) == 4
    assert all(0 < len(part) < 20 for part in parts)
    assert sum(len(part) for part in parts) == 42
    assert files[0] == files[1]


@pytest.mark.parametrize(("is_available", "first"), [(True, ("pinned", 1)), (False, ("a", None))])
def test_a_pin_shows_its_own_item_where_another_of_the_product_is_popular(night, is_available, first) -> None:
    """A popular list has one item of a product; while the pinned one is not available, the other stands where it would."""
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("update marts.popular_lists set item_id = 'another' where product_id = 'PIN'")
        warehouse.execute("update marts.popular_lists set position = 5 where product_id = 'PIN'")
        warehouse.execute("update marts.active_rules set is_available = ? where item_id = 'pinned'", [is_available])
    sql = f"""
        select item_id, pinned_rank from ({POPULAR_CANDIDATES})
        where person_id = 'C1' order by pinned_rank nulls last, score desc
    """
    found = rows(
        night, sql, {"as_of": AS_OF, "max_impressions": 10, "shards": 1, "shard": 0}, scored=scored("P1").slice(0, 0)
    )
    assert found[0] == first
    assert [item for item, _ in found if item in ("pinned", "another")] == ["pinned" if is_available else "another"]


def test_what_the_model_reads_otherwise_than_it_stands_there_is_said(night, caplog) -> None:
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
