"""The identity of a night, for tests that read it, change it or run it again."""

from pathlib import Path
from typing import Any

import duckdb

from dags.steps.learn.build_marts import build_candidates, build_marts
from dags.steps.learn.check_promotion import check_promotion
from dags.steps.learn.choose_serving_model import choose_serving_model
from dags.steps.learn.evaluate import evaluate
from dags.steps.learn.train import train
from dags.steps.learn.train_towers import train_towers
from dags.steps.merge.check_identity import check_identity
from dags.steps.merge.decisions import decide
from dags.steps.merge.kinds import PERSON, Kind
from dags.steps.merge.link import link_people, link_products
from dags.steps.night import Night
from dags.steps.serve.assemble_lists import assemble_lists
from dags.steps.serve.score import score
from infra.identity_store import identity_key
from ml.identity.overrides import Decision, Override

Account = tuple[str, str]  # platform, id


def identify(night: Night) -> None:
    """The night's identity, from the records of the last night that was prepared."""
    link_products(night)
    link_people(night)
    check_identity(night)


def identity_to_lists(night: Night) -> None:
    identify(night)
    build_marts(night)
    train_towers(night)
    build_candidates(night)
    train(night)
    evaluate(night)
    check_promotion(night)
    choose_serving_model(night)
    for shard in range(night.settings.scoring_shards):
        score(night, shard)
    assemble_lists(night)


def decided(night: Night, left: Account, right: Account, decision: Decision, when: str = "2026-01-01") -> str:
    override = Override(left, right, decision, "kim", when, "they said so")
    decide(PERSON.store(night.lake), override)
    return str(override)


def ids(night: Night, kind: Kind = PERSON) -> dict[Account, str]:
    table = night.read_table(identity_key(night.as_of.isoformat(), kind.ids))
    return {
        (platform, record): of for platform, record, of in zip(*(c.to_pylist() for c in table.columns), strict=True)
    }


def identity(night: Night, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = night.read_table(identity_key(night.as_of.isoformat(), name)).to_pylist()
    return rows


def rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as warehouse:
        return warehouse.execute(sql).fetchall()


def strangers(home: Path, count: int = 1) -> list[tuple[Account, Account]]:
    """Pairs of an account of the shop and one of the forum that nothing links.

    Each account is a person of its own, with five events or more before every snapshot.
    """
    found = [
        rows(
            home,
            f"""
            with alone as (
                select person_id from marts.person_accounts group by all having count(*) = 1
            )
            select platform, account_id
            from marts.person_accounts
            inner join marts.person_profiles using (person_id)
            where person_id in (from alone) and platform = '{platform}' and events >= 5
            group by all
            having count(*) = (select count(distinct as_of) from marts.person_profiles)
            order by all
            limit {count}
            """,
        )
        for platform in ("shop", "forum")
    ]
    return [((left[0], left[1]), (right[0], right[1])) for left, right in zip(*found, strict=True)]


def a_link(second: Night, weakest: bool) -> dict[str, Any]:
    """The strongest pair of all, or the weakest that counts as a link."""
    pairs = [row for row in identity(second, "account_pairs") if row["score"] >= second.settings.person_threshold]
    return sorted(pairs, key=lambda row: row["match_weight"])[0 if weakest else -1]
