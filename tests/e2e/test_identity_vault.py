"""What a closed vault costs the links of a night, and what interests alone may link."""

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dags.steps.merge.check_identity import check_identity
from dags.steps.merge.explain import explain
from dags.steps.merge.kinds import PERSON, PRODUCT
from dags.steps.merge.link import link_people
from dags.steps.merge.linkage_model import serving_model
from dags.steps.night import Night
from dags.steps.records import Linked
from infra.identity_store import identity_key
from tests.e2e.conftest import FIRST, SECOND, THIRD, settings_of
from tests.e2e.identity import Account, identify, ids, rows

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
    settings = settings_of(home, behaviour_threshold=0.9)
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
    night = Night(THIRD, settings=settings_of(home))
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
    night = Night(SECOND, settings=settings_of(home))
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
    """Here the forum's accounts have neither names nor tokens."""
    for path in (home / "lake" / "vault" / "platform=forum").rglob("*.parquet"):
        path.unlink()
    with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
        nothing = ", ".join(f"{token} = null" for token in TOKENS)
        warehouse.execute(f"update intermediate.int_identity__account_records set {nothing} where platform = 'forum'")

    def linked(**behaviour: float) -> dict[Account, list[Account]]:
        """The others of each forum account's person."""
        night = Night(SECOND, settings=settings_of(home, **behaviour))
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

    night = Night(SECOND, settings=settings_of(home, behaviour_threshold=0.95))
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
    for path in (home / "lake" / "models").glob("*.json"):
        digests = json.loads(path.read_text())
        kept = {name: digest for name, digest in digests["files"].items() if not name.endswith("interests_alone.json")}
        path.write_text(json.dumps({"files": kept}))
    night = Night(SECOND, settings=settings_of(home))
    link_people(night)
    assert night.read(Linked, "person").interests_alone == ()
