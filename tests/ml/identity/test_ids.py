"""Ids that outlive the night: who keeps which, who gets one back, where a retired one went, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ml.identity.ids as ids
from ml.identity.ids import CHANGES, RETIRED, changes, moves, redirects, retire, stable_ids, waterfall

Groups = list[str]  # clusters, each as the letters of its records: "ab" holds p:a and p:b


@dataclass(frozen=True)
class Identity:
    """One night's ids, and all that were ever retired."""

    current: pa.Table
    retired: pa.Table
    moved: pa.Table

    @property
    def of(self) -> dict[str, str]:
        """The id by record."""
        return dict(zip(self.current["id"].to_pylist(), self.current["cluster_id"].to_pylist(), strict=True))

    @property
    def redirects(self) -> dict[str, str]:
        table = redirects(self.current, self.retired)
        return dict(zip(table["retired_id"].to_pylist(), table["cluster_id"].to_pylist(), strict=True))

    @property
    def gone(self) -> dict[str, str]:
        """The records of each retired id."""
        rows = self.retired.to_pylist()
        return {
            row["retired_id"]: "".join(r["id"] for r in rows if r["retired_id"] == row["retired_id"]) for row in rows
        }


def table(of: Mapping[str, str]) -> pa.Table:
    """``{'a': 'one'}``: record 'p:a' has the id 'one'."""
    names = sorted(of)
    columns = {"platform": ["p"] * len(names), "id": names, "cluster_id": [of[name] for name in names]}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def night(groups: Groups, before: Identity | Mapping[str, str] | None = None, prefix: str = "person_") -> Identity:
    names = [name for group in groups for name in group]
    records = pa.table({"platform": pa.array(["p"] * len(names), pa.string()), "id": pa.array(names, pa.string())})
    labels = pa.array([label for label, group in enumerate(groups) for _ in group], pa.int64())
    if isinstance(before, Identity):
        previous, retired = before.current, before.retired
    else:
        previous, retired = (table(before) if before is not None else None), None
    current = stable_ids(records, labels, previous, retired, prefix)
    assert current.column_names == ["platform", "id", "cluster_id"]
    assert current["id"].to_pylist() == sorted(names)
    return Identity(current, retire(current, previous, retired), moves(current, previous))


# --- new ids


def test_new_ids_have_the_prefix_and_depend_on_the_smallest_record_alone() -> None:
    alone = night(["a", "bc"]).of
    assert alone["b"] == alone["c"] != alone["a"]
    assert all(made.startswith("person_") and len(made) == len("person_") + 24 for made in alone.values())
    assert night(["bd", "e"]).of["b"] == alone["b"]
    assert night(["b"], prefix="product_").of["b"] == alone["b"].replace("person_", "product_")


def test_ids_do_not_depend_on_the_order_of_records_or_the_numbers_of_labels() -> None:
    before = {"a": "one", "d": "two"}
    assert night(["ab", "d", "c"], before).of == night(["c", "d", "ba"], before).of
    assert night(["ab", "d", "c"]).of == night(["c", "d", "ba"]).of


def test_no_night_before_is_as_good_as_an_empty_one() -> None:
    assert night(["a", "b"], {}).of == night(["a", "b"]).of


def test_nobody_gets_no_id() -> None:
    assert night([]).of == {}
    assert night([], {"a": "one"}).gone == {"one": "a"}


def test_a_new_id_never_is_one_that_others_have_or_had() -> None:
    """b left the cluster that was named after its smallest record a; a comes back alone, another cluster has its name."""
    name_of_a = night(["a"]).of["a"]
    found = night(["a", "bc"], {"b": name_of_a, "c": name_of_a}).of
    assert found["b"] == found["c"] == name_of_a
    assert found["a"] != name_of_a
    assert found["a"].startswith("person_")
    # ... and once more where the id is nobody's any more
    later = night(["a", "d"], night(["d"], night(["bd"], {"b": name_of_a, "d": "one"})))
    assert name_of_a in later.gone
    assert later.of["a"] not in (name_of_a, "one")


def test_two_clusters_of_one_hash_are_an_error_and_no_merger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_hashed_ids", lambda seeds, prefix: seeds.map(lambda _: f"{prefix}same"))
    with pytest.raises(ValueError, match="1 clusters were given an id that another one has"):
        night(["a", "b"])


# --- who keeps an id


def test_a_cluster_that_did_not_change_keeps_its_id() -> None:
    assert night(["ab", "c"], {"a": "one", "b": "one", "c": "two"}).of == {"a": "one", "b": "one", "c": "two"}


def test_a_new_member_takes_the_id_of_the_others() -> None:
    assert night(["abn"], {"a": "one", "b": "one"}).of == {"a": "one", "b": "one", "n": "one"}


def test_who_leaves_takes_no_id_along() -> None:
    assert night(["b"], {"a": "one", "b": "one"}).of == {"b": "one"}


def test_a_merge_goes_on_under_the_id_of_most_records() -> None:
    found = night(["abc"], {"a": "one", "b": "two", "c": "two"})
    assert {*found.of.values()} == {"two"}
    assert found.redirects == {"one": "two"}


def test_when_equal_shares_merge_the_smallest_id_names_them() -> None:
    assert {*night(["ab"], {"a": "two", "b": "one"}).of.values()} == {"one"}


def test_when_a_cluster_splits_the_id_stays_with_the_larger_part() -> None:
    found = night(["a", "bc"], {"a": "one", "b": "one", "c": "one"}).of
    assert found["b"] == found["c"] == "one"
    assert found["a"].startswith("person_")


def test_when_a_cluster_splits_in_halves_the_part_with_the_smallest_record_keeps_the_id() -> None:
    found = night(["db", "ac"], dict.fromkeys("abcd", "one")).of
    assert found["a"] == found["c"] == "one"
    assert found["b"] == found["d"] != "one"


def test_a_cluster_that_is_owed_two_ids_takes_one_and_nobody_gets_the_other() -> None:
    """'one' and 'two' both have most of their records in the second cluster, two each."""
    found = night(["a", "bcde"], {"a": "two", "b": "one", "c": "one", "d": "two", "e": "two"})
    assert [found.of[name] for name in "bcde"] == ["one"] * 4
    assert found.of["a"].startswith("person_")
    assert found.redirects == {"two": "one"}


# --- who gets one back


def test_undoing_a_merge_gives_both_their_own_ids_back() -> None:
    first = night(["ab", "cd"], {"a": "one", "b": "one", "c": "two", "d": "two"})
    merged = night(["abcd"], first)
    assert {*merged.of.values()} == {"one"}
    assert (merged.gone, merged.redirects) == ({"two": "cd"}, {"two": "one"})
    undone = night(["ab", "cd"], merged)
    assert undone.of == first.of
    assert (undone.gone, undone.redirects) == ({}, {})


def test_undoing_a_merge_of_a_large_and_a_small_person_gives_both_their_own_ids_back() -> None:
    first = night(["a", "bcd"], {"a": "one", "b": "two", "c": "two", "d": "two"})
    merged = night(["abcd"], first)
    assert {*merged.of.values()} == {"two"}
    assert night(["a", "bcd"], merged).of == first.of


def test_who_joined_since_does_not_keep_a_former_id_from_coming_back() -> None:
    merged = night(["abcd"], {"a": "one", "b": "one", "c": "two", "d": "two"})
    later = night(["abn", "cdm"], night(["abcdnm"], merged))
    assert [later.of[name] for name in "abn cdm" if name != " "] == ["one"] * 3 + ["two"] * 3


def test_after_two_merges_a_split_gives_all_three_their_own_ids_back() -> None:
    first = night(["a", "b", "cde"], {"a": "one", "b": "two", "c": "ten", "d": "ten", "e": "ten"})
    second = night(["ab", "cde"], first)
    third = night(["abcde"], second)
    assert {*third.of.values()} == {"ten"}
    assert third.gone == {"one": "ab", "two": "b"}
    assert third.redirects == {"one": "ten", "two": "ten"}
    assert night(["a", "b", "cde"], third).of == first.of
    assert night(["ab", "cde"], third).of == second.of


def test_a_retired_id_goes_to_the_part_with_more_of_its_records() -> None:
    merged = night(["abcxyz"], {"a": "two", "b": "two", "c": "two", "x": "one", "y": "one", "z": "one"})
    found = night(["ab", "cxyz"], merged).of
    assert found == {"a": "two", "b": "two", "c": "one", "x": "one", "y": "one", "z": "one"}


def test_half_of_its_records_is_enough_and_less_is_not() -> None:
    merged = night(["abxyz"], {"a": "two", "b": "two", "x": "one", "y": "one", "z": "one"})
    found = night(["a", "b", "xyz"], merged).of
    assert found["a"] == "two"
    assert found["b"].startswith("person_")
    merged = night(["abcwxyz"], {**dict.fromkeys("abc", "two"), **dict.fromkeys("wxyz", "one")})
    found = night(["a", "b", "c", "wxyz"], merged).of
    assert "two" not in found.values()


def test_of_two_retired_ids_a_part_gets_the_one_that_it_holds_more_of() -> None:
    """Both of the two that were 'two', rather than three of the six that were 'one'; that goes to the other three."""
    before = Identity(
        table(dict.fromkeys("abcdefg", "new")),
        pa.Table.from_pylist(retired(one="abcdef", two="ab"), RETIRED),
        pa.table({}),
    )
    found = night(["abc", "def", "g"], before).of
    assert [found[name] for name in "adg"] == ["two", "one", "new"]


def test_parts_that_could_all_have_an_id_back_keep_the_common_one_too() -> None:
    """Both ids that merged are retired, for a newer one; the part with more records goes on with that."""
    before = Identity(
        table(dict.fromkeys("abc", "new")), pa.Table.from_pylist(retired(one="a", two="bc"), RETIRED), pa.table({})
    )
    assert night(["a", "bc"], before).of == {"a": "one", "b": "new", "c": "new"}


def test_a_part_that_joins_others_does_not_bring_them_its_former_id() -> None:
    """Nothing happened to x, y and z but that a came."""
    merged = night(
        ["abc", "xyz"],
        night(["a", "bc", "xyz"], {"a": "two", **dict.fromkeys("bc", "one"), **dict.fromkeys("xyz", "ten")}),
    )
    assert merged.gone == {"two": "a"}
    assert {*night(["axyz", "bc"], merged).of.values()} == {"one", "ten"}


def test_who_comes_back_after_nights_away_gets_its_own_id_back() -> None:
    first = night(["a", "bc"])
    away = night(["bc"], night(["bc"], first))
    assert night(["a", "bc"], away).of == first.of
    assert night(["an", "bc"], away).of == {**first.of, "n": first.of["a"]}


def retired(**records: str) -> list[dict[str, str]]:
    return [{"retired_id": of, "platform": "p", "id": name} for of, names in records.items() for name in names]


# --- what became of ids that nobody has


def test_a_redirect_follows_later_merges() -> None:
    first = night(["a", "bc", "xyz"], {"a": "one", **dict.fromkeys("bc", "two"), **dict.fromkeys("xyz", "ten")})
    second = night(["abc", "xyz"], first)
    assert second.redirects == {"one": "two"}
    assert night(["abcxyz"], second).redirects == {"one": "ten", "two": "ten"}


def test_a_redirect_leads_to_most_records_and_on_a_tie_to_the_smallest_id() -> None:
    before = Identity(
        table({"a": "five", "b": "four", "c": "four", "d": "six"}),
        pa.Table.from_pylist(retired(one="abc", two="ad", three="gone"), RETIRED),
        pa.table({}),
    )
    assert before.redirects == {"one": "four", "two": "five"}


def test_an_id_whose_records_are_all_gone_leads_nowhere_until_they_are_back() -> None:
    away = night(["b"], {"a": "one", "b": "two"})
    assert (away.gone, away.redirects) == ({"one": "a"}, {})


def test_a_retired_id_keeps_the_records_it_had_then() -> None:
    """What happens to the others afterwards changes nothing of it."""
    merged = night(["abcd"], {"a": "one", "b": "one", "c": "two", "d": "two"})
    assert night(["abd"], night(["abd"], merged)).gone == {"two": "cd"}


def test_nothing_is_retired_in_the_first_night() -> None:
    found = night(["ab"])
    assert found.retired.schema == RETIRED
    assert (found.gone, found.redirects, found.moved.num_rows) == ({}, {}, 0)


# --- what changed


def moved(identity: Identity) -> list[str]:
    return [
        f"{row['kind']} {row['id']}: {row['other_id']} -> {row['cluster_id']}" for row in identity.moved.to_pylist()
    ]


def test_a_merge_moves_those_whose_id_is_retired() -> None:
    assert moved(night(["abc"], {"a": "one", "b": "two", "c": "two"})) == ["merge a: one -> two"]


def test_a_split_moves_those_who_lose_the_id() -> None:
    found = night(["a", "bc"], dict.fromkeys("abc", "one"))
    assert moved(found) == [f"split a: one -> {found.of['a']}"]


def test_who_goes_from_one_person_to_another_is_split_and_merged() -> None:
    before = {"a": "one", "b": "one", "c": "one", "x": "two", "y": "two"}
    assert moved(night(["ab", "cxy"], before)) == ["merge c: one -> two", "split c: one -> two"]


def test_arrivals_and_departures_move_nobody() -> None:
    assert moved(night(["bn", "m", "x"], {"a": "one", "b": "one", "x": "two", "gone": "ten"})) == []


def test_undoing_a_merge_moves_those_who_get_their_id_back() -> None:
    merged = night(["abc"], {"a": "one", "b": "two", "c": "two"})
    assert moved(night(["a", "bc"], merged)) == ["split a: two -> one"]


COMPARED = ["surname", "birth_date"]


def pair(left: str, right: str, surname: float, birth_date: float) -> dict[str, object]:
    return {
        "platform_l": "p",
        "id_l": left,
        "platform_r": "p",
        "id_r": right,
        "match_weight": surname + birth_date - 10,
        "surname": surname,
        "birth_date": birth_date,
    }


PAIRS = pa.Table.from_pylist(
    [
        pair("a", "b", 12.25, 8.0),
        pair("a", "c", 9.0, 0.0),
        pair("b", "c", 11.0, 9.0),
        pair("b", "x", 30.0, 30.0),
        pair("a", "x", 40.0, 30.0),
        pair("c", "x", -4.5, 12.0),
    ]
)


def found_changes(
    identity: Identity, decided: dict[tuple[ids.Record, ids.Record], str] | None = None
) -> list[dict[str, str]]:
    found = changes(identity.moved, identity.current, PAIRS, COMPARED, decided or {})
    assert found.schema == CHANGES
    return found.to_pylist()


def test_a_merge_is_told_by_the_strongest_link_between_those_who_met() -> None:
    """Not by that of a and x, who is somebody else."""
    found = night(["abc", "x"], {"a": "one", "b": "two", "c": "two", "x": "ten"})
    assert found_changes(found) == [
        {
            "kind": "merge",
            "cluster_id": "two",
            "other_id": "one",
            "records": "p:a",
            "evidence": "p:a ~ p:b +10.2 bits (surname +12.2, birth_date +8.0)",
        }
    ]


def test_a_split_is_told_by_what_is_left_of_a_link() -> None:
    found = night(["abx", "c"], dict.fromkeys("abcx", "one"))
    assert found_changes(found) == [
        {
            "kind": "split",
            "cluster_id": found.of["c"],
            "other_id": "one",
            "records": "p:c",
            "evidence": "p:b ~ p:c +10.0 bits (surname +11.0, birth_date +9.0)",
        }
    ]


def test_those_who_moved_together_are_one_change() -> None:
    [change] = found_changes(night(["bc", "ax"], dict.fromkeys("abcx", "one")))
    assert change["records"] == "p:b, p:c"
    assert change["evidence"] == "p:b ~ p:x +50.0 bits (surname +30.0, birth_date +30.0)"


def test_a_link_between_two_who_moved_together_tells_nothing() -> None:
    """That of a and b is stronger."""
    [change] = found_changes(night(["abcm"], {"a": "two", "b": "two", "c": "one", "m": "one"}))
    assert change["records"] == "p:a, p:b"
    assert change["evidence"].startswith("p:b ~ p:c +10.0 bits")


def test_no_link_is_said_to_be_none() -> None:
    [change] = found_changes(night(["ay"], {"a": "one", "y": "two"}))
    assert change["evidence"] == "no pair links them"


def test_a_decision_comes_first() -> None:
    found = night(["abc"], {"a": "one", "b": "two", "c": "two"})
    [change] = found_changes(found, {(("p", "a"), ("p", "c")): "p:a and p:c: same (kim)"})
    assert change["evidence"] == "p:a and p:c: same (kim)"
    [change] = found_changes(night(["a", "bc"], found), {(("p", "a"), ("p", "c")): "p:a and p:c: different (kim)"})
    assert change["evidence"] == "p:a and p:c: different (kim)"


@pytest.mark.parametrize("other", [("p", "x"), ("p", "gone"), ("q", "b")])
def test_a_decision_about_others_is_no_reason(other: ids.Record) -> None:
    """One of the two moved, but not for the sake of the other one; nor does one about two who moved together count."""
    found = night(["abc", "x"], {"a": "one", "b": "two", "c": "two", "x": "ten"})
    [change] = found_changes(found, {(("p", "a"), other): "wrong"})
    assert change["evidence"].startswith("p:a ~ p:b")
    found = night(["bxac"], {"a": "two", "c": "two", "b": "one", "x": "one"})
    [change] = found_changes(found, {(("p", "a"), ("p", "c")): "wrong", (("p", "b"), ("p", "x")): "wrong"})
    assert "~" in change["evidence"]


def test_no_change_is_no_row() -> None:
    assert found_changes(night(["ab"], {"a": "one", "b": "one"})) == []


def test_a_waterfall_has_the_strongest_first_and_leaves_out_what_said_nothing() -> None:
    assert waterfall({"a": 1.5, "b": -7.0, "c": 0.0, "d": 3.0}, ["a", "b", "c", "d"]) == [
        ("b", -7.0),
        ("d", 3.0),
        ("a", 1.5),
    ]


# --- over nights


def test_who_is_untouched_keeps_the_id_over_nights_with_arrivals() -> None:
    """Three nights with 5% arrivals each, of which a third joins somebody, a third brings two persons together."""
    random = Random(7)
    groups = [[f"{number:05}-{account}" for account in range(random.randint(1, 3))] for number in range(2000)]
    touched: set[str] = set()
    history = [identity_of(groups, None)]
    for day in range(3):
        for number in range(100):
            arrival, fate = f"{random.random()}-{day}", number % 3
            if fate == 0:
                groups.append([arrival])
            else:
                chosen = [groups.pop(random.randrange(len(groups))) for _ in range(fate)]
                touched |= {name for group in chosen for name in group} if fate == 2 else set()
                groups.append([*(name for group in chosen for name in group), arrival])
        random.shuffle(groups)
        history.append(identity_of(groups, history[-1]))
    first, last = history[0].of, history[-1].of
    untouched = [name for name in first if name not in touched]
    assert len(untouched) > 3000
    assert [name for name in untouched if first[name] != last[name]] == []
    for before, after in pairwise(history):  # whoever lost an id finds its new one
        lost = {*before.of.values()} - {*after.of.values()}
        assert lost <= {*after.redirects}


def identity_of(groups: list[list[str]], before: Identity | None) -> Identity:
    rows = [(name, label) for label, group in enumerate(groups) for name in group]
    records = pa.table({"platform": ["p"] * len(rows), "id": [name for name, _ in rows]})
    previous, gone = (before.current, before.retired) if before else (None, None)
    current = stable_ids(records, pa.array([label for _, label in rows]), previous, gone, "person_")
    return Identity(current, retire(current, previous, gone), moves(current, previous))


@st.composite
def partitions(draw: st.DrawFn) -> Groups:
    """Some of eight records, in clusters."""
    of = {name: draw(st.integers(-1, 3)) for name in "abcdefgh"}
    return ["".join(name for name in of if of[name] == number) for number in range(4) if number in of.values()]


@settings(max_examples=12, deadline=None)
@given(st.lists(partitions(), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_whatever_happens_ids_are_one_to_one_and_none_is_lost(nights: list[Groups], random: Random) -> None:
    history, shuffled = [night(nights[0])], [night(nights[0])]
    for groups in nights[1:]:
        history.append(night(groups, history[-1]))
        mixed = ["".join(random.sample(group, len(group))) for group in random.sample(groups, len(groups))]
        shuffled.append(night(mixed, shuffled[-1]))
    for groups, found, other in zip(nights, history, shuffled, strict=True):
        assert [found.of, found.gone, found.moved] == [other.of, other.gone, other.moved]
        assert len({*found.of.values()}) == len(groups)
        assert all(len({found.of[name] for name in group}) == 1 for group in groups)
        assert not {*found.of.values()} & {*found.gone}
        assert {*found.redirects} <= {*found.gone}
        assert {*found.redirects.values()} <= {*found.of.values()}
    for before, after in pairwise(history):
        assert {*before.of.values()} | {*before.gone} <= {*after.of.values()} | {*after.gone}
