"""Who is one person, over nights: how right it is, and what is compared anew."""

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from dags.steps.merge.kinds import PERSON, PRODUCT, Kind
from dags.steps.merge.link import link_people
from dags.steps.merge.linkage_model import serving_model
from dags.steps.merge.linked_records import account_records, product_records, read_vault
from dags.steps.night import Night
from dags.steps.records import Linked
from infra.identity_store import identity_key
from ml.identity import linkage
from tests.e2e.conftest import FIRST, SECOND, THIRD, settings_of
from tests.e2e.identity import a_link, identify, ids

# --- how right it is


def f1(second: Night, kind: Kind, truth: str, human: str) -> tuple[float, float]:
    """Precision and F1 over all pairs of records, against the truth beside the demo."""
    found = second.lake.uri(identity_key(SECOND.isoformat(), kind.ids))
    record = f"{kind.record}_id"
    [(both, linked, same)] = duckdb.execute(
        f"""
        with records as (
            select {kind.name}_id as linked, {human} as same
            from '{found}' inner join '{second.settings.demo_path}/truth/{truth}.parquet' using (platform, {record})
        )
        select
            (select sum(n * (n - 1) / 2) from (select count(*) as n from records group by linked, same)),
            (select sum(n * (n - 1) / 2) from (select count(*) as n from records group by linked)),
            (select sum(n * (n - 1) / 2) from (select count(*) as n from records group by same))
        """
    ).fetchall()
    assert same > 300
    return both / linked, 2 * both / (linked + same)


def test_accounts_of_one_person_are_found(second: Night) -> None:
    precision, both = f1(second, PERSON, "accounts", "person")
    assert precision >= 0.985
    assert both >= 0.96


def test_items_of_one_product_are_found(second: Night) -> None:
    assert f1(second, PRODUCT, "items", "film")[1] >= 0.98


# --- from night to night


def pairs_of_all(night: Night, kind: Kind) -> pa.Table:
    model = serving_model(night, kind)
    assert model is not None
    records = (
        account_records(night, read_vault(night, model)[0], model.vectors) if kind is PERSON else product_records(night)
    )
    return linkage.score(records, kind.spec, model.model)


@pytest.mark.parametrize("kind", [PERSON, PRODUCT], ids=["people", "products"])
def test_a_night_compares_what_is_new_and_carries_all_other_scores_over(kind: Kind, second: Night) -> None:
    pairs = second.read_table(identity_key(SECOND.isoformat(), f"{kind.record}_pairs"))
    compared = second.read(Linked, kind.name).pairs_compared_tonight
    assert compared < pairs.num_rows / 2
    assert compared > 0 or kind is PRODUCT  # the demo's catalogues have nothing new that day
    assert pairs.equals(pairs_of_all(second, kind))


def test_a_whole_night_of_people_is_carried_over_where_nothing_is_new(home: Path) -> None:
    night = Night(THIRD, settings=settings_of(home))
    identify(night)
    for kind in (PERSON, PRODUCT):
        assert night.read(Linked, kind.name).pairs_compared_tonight == 0
    assert ids(night) == ids(Night(SECOND, settings=night.settings))


def test_an_account_that_says_something_else_is_compared_anew(home: Path, second: Night) -> None:
    night, pair = Night(SECOND, settings=settings_of(home)), a_link(second, weakest=True)
    key = f"vault/linkage/as_of={FIRST}/account_fingerprints.parquet"
    them = (pair["platform_r"], pair["id_r"])
    earlier = night.read_table(key).to_pylist()
    changed = [row | {"fingerprint": "other"} if (row["platform"], row["id"]) == them else row for row in earlier]
    assert changed != earlier
    night.write_table(key, pa.Table.from_pylist(changed))
    before = second.read(Linked, "person").pairs_compared_tonight
    link_people(night)
    assert night.read(Linked, "person").pairs_compared_tonight > before
    pairs = night.read_table(identity_key(SECOND.isoformat(), "account_pairs"))
    assert pairs.equals(second.read_table(identity_key(SECOND.isoformat(), "account_pairs")))


def test_another_model_compares_everything_anew(home: Path, second: Night) -> None:
    night = Night(SECOND, settings=settings_of(home))
    path = f"identity/as_of={FIRST}/person_accepted.json"
    night.lake.put(path, json.dumps({**json.loads(night.lake.read(path)[0]), "model_version": "0"}).encode())
    link_people(night)
    pairs = night.read_table(identity_key(SECOND.isoformat(), "account_pairs"))
    assert night.read(Linked, "person").pairs_compared_tonight == pairs.num_rows
    assert pairs.equals(second.read_table(identity_key(SECOND.isoformat(), "account_pairs")))
