"""What people decide about who is one person: everywhere in a night, undone in the next, and kept until somebody accepts."""

import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import Result

from dags.steps.merge.check_identity import check_identity
from dags.steps.merge.explain import explain
from dags.steps.merge.extract import extract
from dags.steps.merge.kinds import PERSON, PRODUCT, Kind
from dags.steps.merge.known_records import UnknownRecordError
from dags.steps.merge.link import link_people
from dags.steps.merge.prepare import prepare
from dags.steps.merge.stage import stage
from dags.steps.night import Night
from dags.steps.records import Linked, MovedShare, Trained
from expectations.gate import GateResult, GateStopped
from infra.identity_store import identity_key
from infra.mlflow.registry import Registry
from infra.settings import Settings
from ml.identity.overrides import ContradictionError
from tests.e2e.conftest import FIRST, SECOND, THIRD, TwoNights, settings_of
from tests.e2e.identity import Account, decided, identity, identity_to_lists, ids, rows, strangers

# --- what people decide


@pytest.fixture(scope="session")
def third(two_nights: TwoNights, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A third night, up to its lists, in a home where nobody ever decided anything. Tests only read it."""
    home = shutil.copytree(two_nights.home, tmp_path_factory.mktemp("third") / "home", symlinks=True)
    night = Night(THIRD, settings=settings_of(home))
    third_night(night)
    return night


def third_night(night: Night) -> None:
    for platform in night.platforms:
        extract(night, platform)
    stage(night)
    prepare(night)
    identity_to_lists(night)


LASTING = ("person_profiles", "candidates", "training_examples", "interactions")


def test_a_merge_is_everywhere_and_undone_it_never_was(home: Path, second: Night, third: Night) -> None:
    [(one, two)] = strangers(second.settings.home)
    was = ids(second)
    night = Night(SECOND, settings=settings_of(home))
    said = decided(night, one, two, "same")
    identity_to_lists(night)
    kept = ids(night)[one]
    gone = ({was[one], was[two]} - {kept}).pop()
    moved = one if was[one] == gone else two
    one_person_has_both(night, was, (one, two), moved)
    change = {"person_id": kept, "other_person_id": gone, "accounts": ":".join(moved)}
    assert identity(night, "person_changes") == [{"kind": "merge", **change, "evidence": said}]
    assert explain(night, "person", one, two).because == f"people decided so: {said}"
    marts_know_one_person(night, second, kept, gone, said)
    lists = night.read_table(night.key("lists.parquet"))
    shown = lists.filter(pc.equal(lists["person_id"], kept))
    assert {*zip(shown["platform"].to_pylist(), shown["account_id"].to_pylist(), strict=True)} == {one, two}
    challenger = Registry(night.settings).challenger()
    assert challenger is not None
    assert challenger.version == 2  # the model learned from them as one person

    # the next night it is undone
    night = Night(THIRD, settings=settings_of(home))
    said = decided(night, one, two, "different", "2026-01-02")
    third_night(night)
    change = {"person_id": gone, "other_person_id": kept, "accounts": ":".join(moved)}
    assert identity(night, "person_changes") == [{"kind": "split", **change, "evidence": said}]
    nothing_is_left_of_it(night, third)

    # once the decision is forgotten, the evidence decides, with the same result
    decided(night, one, two, "forget", "2026-01-03")
    link_people(night)
    check_identity(night)
    assert ids(night) == ids(third)
    assert [row["evidence"] for row in identity(night, "person_changes")] == ["no pair links them"]


def one_person_has_both(night: Night, was: dict[Account, str], merged: tuple[Account, Account], moved: Account) -> None:
    """A new id for one of the two accounts, and the way from the old one to it; nobody else's id changed."""
    now, (one, two) = ids(night), merged
    assert now[one] == now[two] in (was[one], was[two])
    assert {account for account in was if was[account] != now[account]} == {moved}
    assert night.read(Linked, "person").changed_id == 1
    assert identity(night, "person_redirects") == [{"retired_person_id": was[moved], "person_id": now[one]}]


def marts_know_one_person(night: Night, before: Night, kept: str, gone: str, said: str) -> None:
    """At every snapshot, with the events of both."""
    home = night.settings.home
    assert rows(home, "select person_id from marts.person_redirects") == [(kept,)]
    assert rows(home, "select kind, entity_id, evidence from marts.identity_changes") == [("merge", kept, said)]
    events = "select as_of, sum(events) from marts.person_profiles where person_id in ({}) group by all order by all"
    both = rows(before.settings.home, events.format(f"'{kept}', '{gone}'"))
    assert len(both) >= 4
    assert rows(home, events.format(f"'{kept}'")) == both
    for mart in LASTING:
        assert rows(home, f"select count(*) from marts.{mart} where person_id = '{gone}'") == [(0,)]


def nothing_is_left_of_it(night: Night, never: Night) -> None:
    """The night gave what it gives where nobody ever decided anything: ids, marts, lists and the serving version."""
    assert ids(night) == ids(never)
    assert identity(night, "person_redirects") == []
    for mart in LASTING:
        content = f"select count(*), sum(hash(t)) from marts.{mart} as t"
        assert rows(night.settings.home, content) == rows(never.settings.home, content), mart
    key = night.key("lists.parquet")
    assert night.read_table(key).equals(never.read_table(key))
    assert night.lake.read(key) == never.lake.read(key)
    assert night.read(Trained).version == never.read(Trained).version == 1


# --- what the gate holds back


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
    night = Night(SECOND, settings=settings_of(home, max_identity_moves=0.0001))
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
    night = Night(SECOND, settings=settings_of(home, **change, **limit))
    link_people(night)
    message = stopped(night)
    assert "with a history that merges or splits have changed" in message
    assert re.search(r"split of \w+:\w+.* \(\w+:\w+ ~ \w+:\w+ [+-][0-9.]+ bits \((\w+ [+-][0-9.]+(, )?)+\)\)", message)


def test_what_was_never_linked_cannot_be_accepted(two_nights: TwoNights, cli: Callable[..., Result]) -> None:
    result = cli(two_nights.home, "accept", "person", str(THIRD), "--why", "x", "--who", "kim")
    assert isinstance(result.exception, RuntimeError)
    assert f"the night of {THIRD} has no merges and splits of persons to accept" in str(result.exception)
    assert not (two_nights.home / "lake" / "identity" / f"as_of={THIRD}").exists()


# --- by command


def had(home: Path, as_of: date, kind: Kind, *records: str) -> None:
    """A night that had these accounts or items, as linking leaves it."""
    night = Night(as_of, settings=settings_of(home))
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


def test_a_decision_on_what_is_gone_for_good_can_be_withdrawn(tmp_path: Path, cli: Callable[..., Result]) -> None:
    decided(Night(FIRST, settings=Settings(home=tmp_path)), ("shop", "typo"), ("forum", "b"), "same")
    assert "shop:typo" in cli(tmp_path, "decisions").output
    assert cli(tmp_path, "forget", "shop:typo", "forum:b", *BECAUSE).exit_code == 0
    assert cli(tmp_path, "decisions").output == ""


def test_decisions_are_made_listed_and_withdrawn(tmp_path: Path, cli: Callable[..., Result]) -> None:
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
    assert cli(tmp_path, "same", "shop:a", "forum:b").exit_code != 0  # a reason is missing
