"""Who is one person, over nights: how right it is, what people decide, what the gate holds back, and what a closed vault costs."""

import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from dags.cli.identity import app
from dags.steps.learn.build_marts import build_marts
from dags.steps.learn.check_promotion import check_promotion
from dags.steps.learn.choose_serving_model import choose_serving_model
from dags.steps.learn.evaluate import evaluate
from dags.steps.learn.train import train
from dags.steps.merge.check_identity import check_identity
from dags.steps.merge.decisions import decide
from dags.steps.merge.explain import explain
from dags.steps.merge.extract import extract
from dags.steps.merge.kinds import PERSON, PRODUCT, Kind
from dags.steps.merge.known_records import UnknownRecordError
from dags.steps.merge.link import link_people, link_products
from dags.steps.merge.linkage_model import serving_model
from dags.steps.merge.linked_records import account_records, product_records, read_vault
from dags.steps.merge.prepare import prepare
from dags.steps.night import Night
from dags.steps.records import Linked, MovedShare, Trained
from dags.steps.serve.assemble_lists import assemble_lists
from dags.steps.serve.score import score
from expectations.gate import GateResult, GateStopped
from infra.identity_store import identity_key
from infra.mlflow.registry import Registry
from infra.settings import Settings
from ml.identity import linkage
from ml.identity.overrides import ContradictionError, Decision, Override
from tests.e2e.conftest import FIRST, SECOND, THIRD, TwoNights, copied
from tests.e2e.identifiers import Identifiers

Account = tuple[str, str]  # platform, id


def identify(night: Night) -> None:
    """The night's identity, from what the platforms said by the last night that was prepared."""
    link_products(night)
    link_people(night)
    check_identity(night)


def identity_to_lists(night: Night) -> None:
    identify(night)
    build_marts(night)
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
    """Pairs of accounts of shop and forum, each a person alone who did something before every cut; nothing links them."""
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


@pytest.fixture(scope="session")
def second(two_nights: TwoNights) -> Night:
    """The second night, to be read and left as it is."""
    return Night(SECOND, settings=Settings(home=two_nights.home))


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
    night = Night(THIRD, settings=Settings(home=home))
    identify(night)
    for kind in (PERSON, PRODUCT):
        assert night.read(Linked, kind.name).pairs_compared_tonight == 0
    assert ids(night) == ids(Night(SECOND, settings=night.settings))


def test_an_account_that_says_something_else_is_compared_anew(home: Path, second: Night) -> None:
    night, pair = Night(SECOND, settings=Settings(home=home)), a_link(second, weakest=True)
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
    night = Night(SECOND, settings=Settings(home=home))
    path = f"identity/as_of={FIRST}/person_accepted.json"
    night.lake.put(path, json.dumps({**json.loads(night.lake.read(path)[0]), "model_version": "0"}).encode())
    link_people(night)
    pairs = night.read_table(identity_key(SECOND.isoformat(), "account_pairs"))
    assert night.read(Linked, "person").pairs_compared_tonight == pairs.num_rows
    assert pairs.equals(second.read_table(identity_key(SECOND.isoformat(), "account_pairs")))


# --- what people decide


@pytest.fixture(scope="session")
def third(two_nights: TwoNights, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A third night, up to its lists, after which nobody ever decided anything; to be read and left as it is."""
    home = copied(two_nights.home, tmp_path_factory.mktemp("third") / "home")
    night = Night(THIRD, settings=Settings(home=home))
    third_night(night)
    return night


def third_night(night: Night) -> None:
    for platform in night.platforms:
        extract(night, platform)
    prepare(night)
    identity_to_lists(night)


LASTING = ("person_profiles", "candidates", "training_examples", "interactions")


def test_a_merge_is_everywhere_and_undone_it_never_was(home: Path, second: Night, third: Night) -> None:
    [(one, two)] = strangers(second.settings.home)
    was = ids(second)
    night = Night(SECOND, settings=Settings(home=home))
    said = decided(night, one, two, "same")
    identity_to_lists(night)

    # a new id for one of them, and the way from the old one
    now = ids(night)
    assert now[one] == now[two] in (was[one], was[two])
    gone = ({was[one], was[two]} - {now[one]}).pop()
    assert {account for account in was if was[account] != now[account]} == {one if was[one] == gone else two}
    assert night.read(Linked, "person").changed_id == 1
    moved = ":".join(one if was[one] == gone else two)
    assert identity(night, "person_redirects") == [{"retired_person_id": gone, "person_id": now[one]}]
    merge = {"kind": "merge", "person_id": now[one], "other_person_id": gone, "accounts": moved, "evidence": said}
    assert identity(night, "person_changes") == [merge]

    assert explain(night, "person", one, two).because == f"people decided so: {said}"

    # in the marts, at every cut
    assert rows(home, "select person_id from marts.person_redirects") == [(now[one],)]
    assert rows(home, "select kind, entity_id, evidence from marts.identity_changes") == [("merge", now[one], said)]
    events = "select as_of, sum(events) from marts.person_profiles where person_id in ({}) group by all order by all"
    both = rows(second.settings.home, events.format(f"'{was[one]}', '{was[two]}'"))
    assert len(both) >= 5
    assert rows(home, events.format(f"'{now[one]}'")) == both
    for mart in LASTING:
        assert rows(home, f"select count(*) from marts.{mart} where person_id = '{gone}'") == [(0,)]
    lists = night.read_table(night.key("lists.parquet"))
    shown = lists.filter(pc.equal(lists["person_id"], now[one]))
    assert {*zip(shown["platform"].to_pylist(), shown["account_id"].to_pylist(), strict=True)} == {one, two}

    challenger = Registry(night.settings).challenger()
    assert challenger is not None
    assert challenger.version == 2  # the model learned from them as one person

    # the next night it is undone
    night = Night(THIRD, settings=Settings(home=home))
    said = decided(night, one, two, "different", "2026-01-02")
    third_night(night)
    assert ids(night) == ids(third)
    assert identity(night, "person_redirects") == []
    split = {"kind": "split", "person_id": gone, "other_person_id": now[one], "accounts": moved, "evidence": said}
    assert identity(night, "person_changes") == [split]
    for mart in LASTING:
        content = f"select count(*), sum(hash(t)) from marts.{mart} as t"
        assert rows(home, content) == rows(third.settings.home, content), mart
    key = night.key("lists.parquet")
    assert night.read_table(key).equals(third.read_table(key))
    assert night.lake.read(key) == third.lake.read(key)
    assert night.read(Trained).version == third.read(Trained).version == 1

    # forgotten, it is left to the evidence, which says the same
    decided(night, one, two, "forget", "2026-01-03")
    link_people(night)
    check_identity(night)
    assert ids(night) == ids(third)
    assert [row["evidence"] for row in identity(night, "person_changes")] == ["no pair links them"]


# --- what the gate holds back


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``cli(home, 'explain', ...)``: `crossrec identity` in this process."""

    def run(home: Path, *arguments: str) -> Result:
        monkeypatch.setenv("CROSSREC_HOME", str(home))
        return CliRunner().invoke(app, arguments)

    return run


def stopped(night: Night, kind: str = "person") -> str:
    with pytest.raises(GateStopped) as error:
        check_identity(night)
    assert night.read(GateResult, f"identity_{kind}s").verdict == "stop"
    message = str(error.value)
    assert "what was published before stays up" in message
    assert f"crossrec identity accept {kind} {SECOND}" in message
    return message


@pytest.mark.usefixtures("nothing_published")
def test_merges_that_move_too_much_stop_until_somebody_accepts_them(
    home: Path, second: Night, cli: Callable[..., Result]
) -> None:
    night = Night(SECOND, settings=Settings(home=home, max_identity_moves=0.0001))
    after = Night(THIRD, settings=night.settings)
    pairs = strangers(home, 3)
    said = [decided(night, *pair, "same") for pair in pairs[:2]]
    link_people(night)
    message = stopped(night)
    assert "at most 0.01% of the known records" in message
    assert all(text in message for text in said)

    # the next night compares itself with the night before this one
    def compares_with(as_of: date) -> bool:
        known = PERSON.store(after.lake).previous(after.as_of).ids
        assert known is not None
        return known.to_pylist() == [
            {"platform": platform, "id": record, "cluster_id": of}
            for (platform, record), of in ids(Night(as_of, settings=night.settings)).items()
        ]

    assert compares_with(FIRST)
    assert not compares_with(SECOND)
    link_people(night)  # as the cleared task would
    stopped(night)

    accepted = cli(home, "accept", "person", str(SECOND), "--why", "looked at them", "--who", "kim")
    assert accepted.exit_code == 0, accepted.output
    assert "2 merges and splits" in accepted.output
    check_identity(night)
    assert night.read(MovedShare, "person").accepted is True
    assert compares_with(SECOND)

    # another change is another question, and so is what is left of this one
    decided(night, *pairs[2], "same")
    link_people(night)
    assert str(said[0]) in stopped(night)
    assert night.read(MovedShare, "person").accepted is False
    assert compares_with(FIRST)
    decided(night, *pairs[2], "different", "2026-01-02")
    link_people(night)
    check_identity(night)
    assert compares_with(SECOND)
    assert ids(Night(SECOND, settings=second.settings)) != ids(night)


@pytest.mark.usefixtures("nothing_published")
@pytest.mark.parametrize(
    ("change", "limit"),
    [({"person_threshold": 0.9999999}, {}), ({"person_threshold": 0.99}, {"max_identity_moves": 0.0001})],
)
def test_another_threshold_that_moves_too_much_stops_and_names_the_evidence(
    change: dict[str, float], limit: dict[str, float], home: Path
) -> None:
    night = Night(SECOND, settings=Settings(home=home, **change, **limit))
    link_people(night)
    message = stopped(night)
    assert "with a history that merges or splits have changed" in message
    assert re.search(r"split of \w+:\w+.* \(\w+:\w+ ~ \w+:\w+ [+-][0-9.]+ bits \((\w+ [+-][0-9.]+(, )?)+\)\)", message)


def test_what_was_never_linked_cannot_be_accepted(two_nights: TwoNights, cli: Callable[..., Result]) -> None:
    result = cli(two_nights.home, "accept", "person", str(THIRD), "--why", "x", "--who", "kim")
    assert isinstance(result.exception, RuntimeError)
    assert f"the night of {THIRD} has no merges and splits of persons to accept" in str(result.exception)
    assert not (two_nights.home / "lake" / "identity" / f"as_of={THIRD}").exists()


# --- a closed vault


@contextmanager
def no_vault(home: Path) -> Iterator[None]:
    """Nothing in the vault can be read."""
    files = {path: path.read_bytes() for path in (home / "lake" / "vault").rglob("*.parquet")}
    assert files
    for path in files:
        path.write_bytes(b"closed")
    yield
    for path, content in files.items():
        path.write_bytes(content)


TOKENS = ("email_token", "phone_token", "device_token", "loyalty_token")


def persons_of_two(second: Night, sharing: bool) -> tuple[Account, Account]:
    """A person with two accounts, which have a token in common, or none."""
    [(*found,)] = rows(
        second.settings.home,
        f"""
        with accounts as (
            select platform, account_id, person_id, {", ".join(TOKENS)}
            from '{second.lake.uri(identity_key(SECOND.isoformat(), PERSON.ids))}'
            inner join intermediate.int_identity__account_records using (platform, account_id)
            qualify count(*) over (partition by person_id) = 2
        )
        select l.platform, l.account_id, r.platform, r.account_id
        from accounts as l
        inner join accounts as r on l.person_id = r.person_id and l.platform < r.platform
        where {"" if sharing else "not"} coalesce(l.email_token = r.email_token, false)
            and coalesce(l.phone_token != r.phone_token, true)
        order by all
        limit 1
        """,
    )
    return (found[0], found[1]), (found[2], found[3])


def never_seen(night: Night, accounts: Sequence[Account]) -> None:
    """The night did not have these accounts yet."""
    for name, ends in ((PERSON.ids, ("",)), ("account_pairs", ("_l", "_r"))):
        path = Path(night.lake.uri(identity_key(night.as_of.isoformat(), name)))
        table = pq.read_table(path)
        for platform, record in accounts:
            for end in ends:
                which = f"id{end}" if end else "account_id"
                them = pc.and_(pc.equal(table[f"platform{end}"], platform), pc.equal(table[which], record))
                table = table.filter(pc.invert(them))
        pq.write_table(table, path)


def test_a_closed_vault_costs_new_accounts_their_names_for_one_night(
    home: Path, second: Night, caplog: pytest.LogCaptureFixture
) -> None:
    # what accounts like is no way round: of whoever has no name tonight, the names may be known and differ
    settings = Settings(home=home, behaviour_threshold=0.9)
    first, night = (Night(as_of, settings=settings) for as_of in (FIRST, SECOND))
    by_token, by_name = persons_of_two(second, sharing=True), persons_of_two(second, sharing=False)
    never_seen(first, [by_token[1], by_name[1]])
    with no_vault(home), caplog.at_level(logging.INFO):
        identify(night)
    warning = "Tonight links accounts that are new by what is certain only: their tokens."
    assert [r.levelname for r in caplog.records if warning in r.getMessage()] == ["WARNING"]
    assert night.read(Linked, "person").vault_is_open is False

    tonight, before = ids(night), ids(first)
    assert tonight[by_token[0]] == tonight[by_token[1]]
    assert tonight[by_name[0]] != tonight[by_name[1]]
    assert {account for account in before if before[account] != tonight[account]} == set()
    assert ids(night, PRODUCT) == ids(second, PRODUCT)

    after = Night(THIRD, settings=night.settings)  # although the second night could read the vault when it ran first
    identify(after)
    assert ids(after)[by_name[0]] == ids(after)[by_name[1]]
    pairs = after.read_table(identity_key(THIRD.isoformat(), "account_pairs"))
    assert pairs.equals(second.read_table(identity_key(SECOND.isoformat(), "account_pairs")))


def test_names_without_their_frequencies_are_as_good_as_none(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    night = Night(THIRD, settings=Settings(home=home))
    next((home / "lake" / "vault" / "linkage" / "people").rglob("surname.parquet")).write_bytes(b"closed")
    with caplog.at_level(logging.INFO):
        identify(night)
    assert "how frequent names are cannot be read" in caplog.text
    assert night.read(Linked, "person").vault_is_open is False
    assert ids(night) == ids(Night(SECOND, settings=night.settings))


def test_a_first_night_with_a_closed_vault_links_by_tokens_alone(home: Path, second: Night) -> None:
    """There is no model yet, and none is trained from what cannot be read."""
    for path in (home / "lake" / "identity").rglob("person_accepted.json"):
        path.unlink()
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as mlflow, mlflow:
        mlflow.execute("delete from registered_model_aliases where name = 'crossrec-people'")
    night = Night(SECOND, settings=Settings(home=home))
    with no_vault(home):
        link_people(night)
        check_identity(night)
    assert serving_model(night, PERSON) is None
    assert night.read(Linked, "person").model_version == "untrained"
    by_token, by_name = persons_of_two(second, sharing=True), persons_of_two(second, sharing=False)
    assert ids(night)[by_token[0]] == ids(night)[by_token[1]]
    assert ids(night)[by_name[0]] != ids(night)[by_name[1]]


# --- interests alone


def test_interests_link_by_themselves_where_a_threshold_says_so_and_nothing_else_compares(home: Path) -> None:
    """Here the forum tells nobody's name, and its members have no tokens."""
    for path in (home / "lake" / "vault" / "platform=forum").rglob("*.parquet"):
        path.unlink()
    with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
        nothing = ", ".join(f"{token} = null" for token in TOKENS)
        warehouse.execute(f"update intermediate.int_identity__account_records set {nothing} where platform = 'forum'")

    def linked(**behaviour: float) -> dict[Account, list[Account]]:
        """The others of each forum account's person."""
        night = Night(SECOND, settings=Settings(home=home, **behaviour))
        link_people(night)
        found = ids(night)
        forum = {of: account for account, of in found.items() if account[0] == "forum"}
        together = {account: [a for a in found if found[a] == of and a != account] for of, account in forum.items()}
        named = {account: of for account, of in found.items() if account[0] != "forum"}
        persons.append(len({*named.values()}))
        return {account: others for account, others in together.items() if others}

    persons: list[int] = []
    assert linked() == {}
    found = linked(behaviour_threshold=0.95)
    assert len(found) > 20
    assert 0 < len(linked(behaviour_threshold=0.99)) < len(found)
    assert len({*persons}) == 1  # who has a name is judged by it

    night = Night(SECOND, settings=Settings(home=home, behaviour_threshold=0.95))
    link_people(night)
    account, others = next(iter(found.items()))
    assert (
        explain(night, "person", account, others[0]).because
        == "what they like is alike, and nothing else compares them"
    )


def test_every_night_shows_what_interests_alone_would_tell_by_the_model_in_use(second: Night) -> None:
    """The first night trained it."""
    model = serving_model(second, PERSON)
    assert model is not None
    curve = second.read(Linked, "person").interests_alone
    assert [round(point.threshold, 2) for point in curve] == [round(0.05 * step, 2) for step in range(20)]
    assert (
        curve == model.interests_alone == Night(FIRST, settings=second.settings).read(Linked, "person").interests_alone
    )
    page = second.lake.read(second.key("report.html"))[0].decode()
    assert "Interests alone link nobody" in page
    assert f"<td>{100 * curve[-1].precision:.2f}%</td><td>{100 * curve[-1].recall:.1f}%</td>" in page


def test_a_version_of_before_the_curve_was_kept_links_without_one(home: Path) -> None:
    for path in (home / "mlflow").rglob("interests_alone.json"):
        path.unlink()
    night = Night(SECOND, settings=Settings(home=home))
    link_people(night)
    assert night.read(Linked, "person").interests_alone == ()


# --- why


def a_link(second: Night, weakest: bool) -> dict[str, Any]:
    """The strongest pair of all, or the weakest that counts as a link."""
    pairs = [row for row in identity(second, "account_pairs") if row["score"] >= second.settings.person_threshold]
    return sorted(pairs, key=lambda row: row["match_weight"])[0 if weakest else -1]


@pytest.mark.parametrize("weakest", [True, False])
def test_an_explanation_adds_up_to_what_the_night_found(weakest: bool, second: Night) -> None:
    pair = a_link(second, weakest)
    one, two = (pair["platform_l"], pair["id_l"]), (pair["platform_r"], pair["id_r"])
    found = explain(second, "person", two, one)
    assert found.weight == pytest.approx(pair["match_weight"], abs=1e-3)
    assert found.start + sum(bits for _, bits in found.steps) == pytest.approx(found.weight, abs=1e-2)
    assert dict(found.steps) == {name: pair[name] for name in PERSON.spec.compared if pair[name]}
    assert found.same is (ids(second)[one] == ids(second)[two])


def test_strangers_are_explained_too(second: Night) -> None:
    """They share no block, so the night never compared them."""
    [(one, two)] = strangers(second.settings.home)
    found = explain(second, "person", one, two)
    assert found.weight < -10
    assert found.start + sum(bits for _, bits in found.steps) == pytest.approx(found.weight, abs=1e-2)
    assert not found.same
    assert re.fullmatch(r"[0-9.]+ bits are missing to a probability of 90%", found.because)


def test_what_else_keeps_two_apart_is_said(second: Night) -> None:
    """Where a link is strong enough, which here any is."""
    any_link = Night(SECOND, settings=Settings(home=second.settings.home, person_threshold=1e-20))
    [(one, member), (two, _)] = strangers(second.settings.home, 2)
    assert explain(any_link, "person", one, two).because == "nobody has two accounts on shop"
    assert explain(any_link, "person", one, member).because.startswith(
        "stronger links put each into a person of its own"
    )


def test_two_whom_others_link(second: Night) -> None:
    of = ids(second)
    pairs = [
        ((row["platform_l"], row["id_l"]), (row["platform_r"], row["id_r"]))
        for row in identity(second, "account_pairs")
        if row["score"] < second.settings.person_threshold
    ]
    one, two = next(pair for pair in pairs if of[pair[0]] == of[pair[1]])
    assert explain(second, "person", one, two).because == f"others link them, as one person {of[one]}"


def test_a_product_is_explained_by_its_titles_and_codes(second: Night) -> None:
    pair = next(row for row in identity(second, "item_pairs") if row["score"] > 0.99)
    found = explain(second, "product", (pair["platform_l"], pair["id_l"]), (pair["platform_r"], pair["id_r"]))
    assert "title" in dict(found.steps)
    assert found.because == "their link is strong enough"


def test_explain_prints_a_waterfall_without_what_was_compared(
    second: Night, two_nights: TwoNights, identifiers: Identifiers, cli: Callable[..., Result]
) -> None:
    pair = a_link(second, weakest=False)
    one, two = (f"{pair[f'platform_{end}']}:{pair[f'id_{end}']}" for end in ("l", "r"))
    result = cli(two_nights.home, "explain", one, two)
    assert result.exit_code == 0, result.output
    lines = re.findall(r"([a-z ]+?) +│ +([+-][0-9.]+) +│ +([+-][0-9.]+) +│", result.output)
    assert lines[0][0].strip() == "any two"
    running = 0.0
    for _, bits, sum_ in lines:
        running += float(bits)
        assert float(sum_) == pytest.approx(running, abs=0.1 * len(lines))
    assert float(lines[-1][2]) == pytest.approx(pair["match_weight"], abs=0.06)
    assert f"{pair['match_weight']:+.1f} bits" in result.output
    assert "one person, for their link is strong enough" in result.output
    assert identifiers.in_text(result.output) == set()
    values = [str(value).lower() for value in said_of_themselves(second, pair) if value]
    assert len(values) > 8
    assert [value for value in values if value in result.output.lower()] == []


def said_of_themselves(second: Night, pair: dict[str, Any]) -> list[object]:
    """What the vault has of both accounts, as written and as compared; two letters of a state are in any text."""
    model = serving_model(second, PERSON)
    people, _ = read_vault(second, model)
    accounts = [(pair[f"platform_{end}"], pair[f"id_{end}"]) for end in ("l", "r")]
    return [
        value
        for table in (people, account_records(second, people, model.vectors if model else people))
        for row in table.to_pylist()
        if (row["platform"], row["id"]) in accounts
        for name, value in row.items()
        if name in PERSON.spec.compared and name not in ("state", "interests")
    ]


def test_who_is_unknown_is_named(two_nights: TwoNights, second: Night, cli: Callable[..., Result]) -> None:
    [((platform, account), _)] = strangers(two_nights.home)
    result = cli(two_nights.home, "explain", f"{platform}:{account}", "shop:nobody")
    assert isinstance(result.exception, UnknownRecordError)
    assert "account 'shop:nobody' is unknown" in str(result.exception)
    assert str(SECOND) in str(result.exception)
    result = cli(two_nights.home, "explain", "nobody", "shop:1")
    assert result.exit_code == 2
    assert "expected PLATFORM:ID" in result.output


def had(home: Path, as_of: date, kind: Kind, *records: str) -> None:
    """A night that had these accounts or items, as linking leaves it."""
    night = Night(as_of, settings=Settings(home=home))
    platforms, ids = zip(*(record.split(":") for record in records), strict=True)
    table = pa.table({"platform": platforms, f"{kind.record}_id": ids, f"{kind.name}_id": ids})
    night.write_table(identity_key(as_of.isoformat(), kind.ids), table)


BECAUSE = ("--why", "they called [twice]", "--who", "kim")


@pytest.mark.parametrize("decision", ["same", "different"])
def test_a_decision_on_what_no_night_has_seen_is_refused(
    decision: str, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    had(tmp_path, FIRST, PERSON, "shop:a", "shop:gone", "forum:b")
    had(tmp_path, SECOND, PERSON, "shop:a", "forum:b")
    had(tmp_path, SECOND, PRODUCT, "shop:film", "forum:film")

    def refused(*arguments: str) -> str:
        result = cli(tmp_path, decision, *arguments, *BECAUSE)
        assert isinstance(result.exception, UnknownRecordError), result.output
        return str(result.exception)

    message = refused("shop:a", "forum:a")  # an id of another platform
    assert "no night has ever seen account 'forum:a'. Received: --kind person; " in message
    assert f"the newest of 2 nights, {SECOND}, has platforms forum, shop. Remedy: " in message
    assert "as the platform spells it" in message
    assert "run `crossrec nightly` first" in message
    assert "seen account 'forum:c' and account 'shop:A'. " in refused("shop:A", "forum:c")
    assert "seen account 'shop:film'. " in refused("shop:film", "forum:b")  # an item
    assert "seen item 'shop:a'. Received: --kind product; " in refused("shop:a", "forum:film", "--kind", "product")
    assert cli(tmp_path, "decisions").output == cli(tmp_path, "decisions", "--kind", "product").output == ""

    assert cli(tmp_path, decision, "forum:b", "shop:gone", *BECAUSE).exit_code == 0  # may come back


def test_before_the_first_night_nothing_can_be_decided(tmp_path: Path, cli: Callable[..., Result]) -> None:
    had(tmp_path, SECOND, PRODUCT, "shop:film", "forum:film")  # a night that stopped before it linked accounts
    result = cli(tmp_path, "same", "shop:a", "forum:b", *BECAUSE)
    assert isinstance(result.exception, UnknownRecordError)
    assert "account 'forum:b' and account 'shop:a' cannot be known yet. Received: no night that linked accounts" in str(
        result.exception
    )
    assert "Remedy: run `crossrec nightly` first." in str(result.exception)


def test_a_decision_on_what_is_gone_for_good_can_be_taken_back(tmp_path: Path, cli: Callable[..., Result]) -> None:
    decided(Night(FIRST, settings=Settings(home=tmp_path)), ("shop", "typo"), ("forum", "b"), "same")
    assert "shop:typo" in cli(tmp_path, "decisions").output
    assert cli(tmp_path, "forget", "shop:typo", "forum:b", *BECAUSE).exit_code == 0
    assert cli(tmp_path, "decisions").output == ""


def test_decisions_are_taken_listed_and_taken_back(tmp_path: Path, cli: Callable[..., Result]) -> None:
    had(tmp_path, FIRST, PERSON, "shop:a", "forum:b", "stream:c")
    had(tmp_path, FIRST, PRODUCT, "shop:film", "forum:film")

    def said(*arguments: str) -> str:
        result = cli(tmp_path, *arguments)
        assert result.exit_code == 0, result.output
        return result.output

    assert "forum:b and shop:a: same (kim, " in said("same", "shop:a", "forum:b", *BECAUSE)  # no emoji :a:
    assert "they called [twice])" in said("same", "shop:a", "stream:c", *BECAUSE)
    said("same", "shop:film", "forum:film", "--kind", "product", *BECAUSE)
    refused = cli(tmp_path, "different", "forum:b", "stream:c", *BECAUSE)
    assert isinstance(refused.exception, ContradictionError)
    assert "forum:b and shop:a: same (kim" in str(refused.exception)
    said("forget", "stream:c", "shop:a", *BECAUSE)
    said("different", "forum:b", "stream:c", *BECAUSE)
    listed = [line.split(" (")[0] for line in said("decisions").splitlines()]
    assert listed == ["forum:b and shop:a: same", "forum:b and stream:c: different"]
    assert "they called [twice])" in said("decisions")
    assert "forum:film and shop:film: same" in said("decisions", "--kind", "product")
    assert cli(tmp_path, "same", "shop:a", "forum:b").exit_code != 0  # nobody says why
