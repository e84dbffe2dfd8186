"""Who belongs together: literal clusters for every rule, and what must not matter."""

from random import Random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ml.identity.clusters as clusters
from ml.identity.clusters import cluster

PAIRS = pa.schema([*((name, pa.string()) for name in ("platform_l", "id_l", "platform_r", "id_r"))]).append(
    pa.field("match_weight", pa.float64())
)
Pair = tuple[str, str, float]
Decided = tuple[tuple[str, str], ...]


def records(names: list[str], alone: str = "") -> pa.Table:
    """Records written 'platform:id'; nobody has two on the platforms of ``alone``."""
    platforms = [name.split(":")[0] for name in names]
    return pa.table(
        {
            "platform": pa.array(platforms, pa.string()),
            "id": pa.array([name.split(":")[1] for name in names], pa.string()),
            "alone": pa.array([platform in alone.split() for platform in platforms], pa.bool_()),
        }
    )


def pairs(*rows: Pair) -> pa.Table:
    ends = [(*left.split(":"), *right.split(":"), float(weight)) for left, right, weight in rows]
    return pa.Table.from_pylist([dict(zip(PAIRS.names, row, strict=True)) for row in ends], schema=PAIRS)


def clusters_of(
    names: str,
    *rows: Pair,
    alone: str = "",
    threshold: float = 0.5,  # no bits
    max_size: int = 10,
    always: Decided = (),
    never: Decided = (),
) -> list[str]:
    """Clusters, each as its records in one string; records are 'p:a' and the like, and ``names`` has them with spaces."""
    given = names.split()
    ends = [[(*left.split(":"), *right.split(":")) for left, right in decided] for decided in (always, never)]
    labels = cluster(records(given, alone), pairs(*rows), threshold, max_size, *ends).to_pylist()
    assert [label for number, label in enumerate(sorted({*labels})) if label != number] == []
    return [
        " ".join(sorted(name for name, of in zip(given, labels, strict=True) if of == n)) for n in sorted({*labels})
    ]


def test_everybody_is_alone_without_pairs() -> None:
    assert clusters_of("p:a p:b p:c") == ["p:a", "p:b", "p:c"]


def test_nobody_is_clustered_into_nothing() -> None:
    assert cluster(records([]), pairs(), 0.9, 8).to_pylist() == []
    assert cluster(records([]), pairs(), 0.9, 8, [("p", "a", "q", "b")]).to_pylist() == []


def test_labels_follow_the_first_record_of_each_cluster_not_the_order_of_rows() -> None:
    found = cluster(records(["q:a", "p:z", "p:b"]), pairs(("p:b", "q:a", 5)), 0.5, 8)
    assert found.to_pylist() == [0, 1, 0]
    assert found.type == pa.int64()


def test_an_id_is_another_record_on_another_platform() -> None:
    assert clusters_of("p:1 q:1 q:2", ("p:1", "q:2", 5)) == ["p:1 q:2", "q:1"]


def test_pairs_that_all_agree_are_one_cluster() -> None:
    assert clusters_of("p:a q:b r:c s:d", ("p:a", "q:b", 5), ("q:b", "r:c", 5), ("p:a", "r:c", 5)) == [
        "p:a q:b r:c",
        "s:d",
    ]


def test_the_best_link_comes_first() -> None:
    """q:b would go with either, but those two contradict each other."""
    assert clusters_of("p:a q:b r:c", ("p:a", "q:b", 6), ("q:b", "r:c", 7), ("p:a", "r:c", -8)) == ["p:a", "q:b r:c"]
    assert clusters_of("p:a q:b r:c", ("p:a", "q:b", 7), ("q:b", "r:c", 6), ("p:a", "r:c", -8)) == ["p:a q:b", "r:c"]


def test_of_equally_strong_links_the_one_with_the_smallest_records_comes_first() -> None:
    rows: list[Pair] = [("q:b", "r:c", 6), ("p:a", "q:b", 6), ("p:a", "r:c", -8)]
    assert clusters_of("r:c q:b p:a", *rows) == clusters_of("p:a q:b r:c", *rows) == ["p:a q:b", "r:c"]


def test_a_chain_of_strangers_is_no_cluster() -> None:
    """Each agrees with its neighbour; the ends contradict each other by more."""
    chain: list[Pair] = [("p:a", "q:b", 9), ("q:b", "r:c", 8), ("r:c", "s:d", 9)]
    against: list[Pair] = [("p:a", "r:c", -9), ("q:b", "s:d", -9), ("p:a", "s:d", -9)]
    assert clusters_of("p:a q:b r:c s:d", *chain, *against) == ["p:a q:b", "r:c s:d"]


def test_a_pair_that_was_never_compared_counts_against() -> None:
    """As much as a pair of ten bits against."""
    assert clusters_of("p:a q:b r:c", ("p:a", "q:b", 9), ("q:b", "r:c", 9.9)) == ["p:a", "q:b r:c"]
    assert clusters_of("p:a q:b r:c", ("p:a", "q:b", 12), ("q:b", "r:c", 10.1)) == ["p:a q:b r:c"]


def test_a_third_record_joins_two_that_agree_with_it_together() -> None:
    """r:c disagrees with p:a by less than it agrees with q:b."""
    assert clusters_of("p:a q:b r:c", ("p:a", "q:b", 9), ("q:b", "r:c", 5), ("p:a", "r:c", -4)) == ["p:a q:b r:c"]
    assert clusters_of("p:a q:b r:c", ("p:a", "q:b", 9), ("q:b", "r:c", 5), ("p:a", "r:c", -6)) == ["p:a q:b", "r:c"]


def test_links_of_clusters_that_met_add_up() -> None:
    """Neither p:a nor q:b is nearer to s:d than r:c is, but both together are."""
    rows: list[Pair] = [("p:a", "q:b", 9), ("r:c", "s:d", 6), ("p:a", "s:d", 4), ("q:b", "s:d", 4)]
    apart: list[Pair] = [("p:a", "r:c", -9), ("q:b", "r:c", -9)]
    assert clusters_of("p:a q:b r:c s:d", *rows, *apart) == ["p:a q:b s:d", "r:c"]


def test_nobody_has_two_accounts_where_that_is_so() -> None:
    rows: list[Pair] = [("shop:1", "q:b", 5), ("shop:2", "q:b", 9), ("shop:1", "shop:2", 20)]
    assert clusters_of("q:b shop:1 shop:2", *rows, alone="shop") == ["q:b shop:2", "shop:1"]
    assert clusters_of("q:b shop:1 shop:2", *rows) == ["q:b shop:1 shop:2"]


def test_two_platforms_without_second_accounts_may_meet() -> None:
    assert clusters_of("forum:1 shop:1", ("forum:1", "shop:1", 5), alone="forum shop") == ["forum:1 shop:1"]


def test_two_clusters_with_an_account_each_on_such_a_platform_stay_apart() -> None:
    rows: list[Pair] = [("shop:1", "q:a", 9), ("shop:2", "q:b", 9), ("q:a", "q:b", 25), ("shop:1", "q:b", 9)]
    assert clusters_of("q:a q:b shop:1 shop:2", *rows, alone="shop") == ["q:a q:b shop:1", "shop:2"]


def test_no_cluster_outgrows_the_cap() -> None:
    """The best links fill it; whoever comes late stays out, or stays with those left."""
    names = ["p:a", "p:b", "p:c", "p:d", "p:e"]
    weights = {("p:a", "p:b"): 9.0, ("p:a", "p:c"): 8.0, ("p:b", "p:c"): 8.0}
    rows = [(a, b, weights.get((a, b), 5.0)) for n, a in enumerate(names) for b in names[n + 1 :]]
    assert clusters_of(" ".join(names), *rows, max_size=5) == ["p:a p:b p:c p:d p:e"]
    assert clusters_of(" ".join(names), *rows, max_size=3) == ["p:a p:b p:c", "p:d p:e"]


def test_a_link_is_more_likely_than_the_threshold() -> None:
    two = ("p:a q:b", ("p:a", "q:b", 3.1))  # probability 0.8956
    assert clusters_of(two[0], two[1], threshold=0.89) == ["p:a q:b"]
    assert clusters_of(two[0], two[1], threshold=0.9) == ["p:a", "q:b"]
    assert clusters_of("p:a q:b", ("p:a", "q:b", 0.0)) == ["p:a", "q:b"]


def test_every_pair_across_has_to_pay_the_threshold() -> None:
    """6 and -1 bits are 5 in all, but two pairs at 0.9 cost 3.17 each."""
    rows: list[Pair] = [("p:a", "q:b", 9), ("q:b", "r:c", 6), ("p:a", "r:c", -1)]
    assert clusters_of("p:a q:b r:c", *rows) == ["p:a q:b r:c"]
    assert clusters_of("p:a q:b r:c", *rows, threshold=0.9) == ["p:a q:b", "r:c"]


# --- what people decide


def test_people_may_join_what_was_never_compared() -> None:
    assert clusters_of("p:a q:b", always=(("q:b", "p:a"),)) == ["p:a q:b"]


def test_people_may_part_what_evidence_joins() -> None:
    assert clusters_of("p:a q:b", ("p:a", "q:b", 60), never=(("q:b", "p:a"),)) == ["p:a", "q:b"]


def test_what_is_parted_does_not_meet_through_a_third_record() -> None:
    rows: list[Pair] = [("p:a", "q:b", 60), ("p:a", "r:c", 60), ("q:b", "r:c", 50)]
    assert clusters_of("p:a q:b r:c", *rows, never=(("p:a", "q:b"),)) == ["p:a r:c", "q:b"]


def test_a_decision_outweighs_the_rule_of_one_account() -> None:
    assert clusters_of("shop:1 shop:2", alone="shop", always=(("shop:1", "shop:2"),)) == ["shop:1 shop:2"]


def test_a_decision_outweighs_the_rule_of_one_account_through_a_third_record() -> None:
    decided = (("shop:1", "q:b"), ("shop:2", "q:b"))
    assert clusters_of("q:b shop:1 shop:2", alone="shop", always=decided) == ["q:b shop:1 shop:2"]


def test_who_has_two_accounts_by_decision_may_have_others_elsewhere() -> None:
    rows: list[Pair] = [("q:b", "shop:1", 9), ("q:b", "shop:2", 9), ("q:b", "shop:3", 9)]
    found = clusters_of("q:b shop:1 shop:2 shop:3", *rows, alone="shop", always=(("shop:1", "shop:2"),))
    assert found == ["q:b shop:1 shop:2", "shop:3"]


def test_a_decision_outweighs_the_cap() -> None:
    decided = (("p:a", "p:b"), ("p:b", "p:c"))
    assert clusters_of("p:a p:b p:c p:d", ("p:a", "p:d", 99), max_size=2, always=decided) == ["p:a p:b p:c", "p:d"]


def test_a_decision_brings_the_two_records_together_and_takes_nobody_along() -> None:
    """r:c is with q:b by evidence, and may not be with p:a by a decision."""
    found = clusters_of(
        "p:a q:b r:c", ("q:b", "r:c", 30), ("p:a", "q:b", -30), always=(("p:a", "q:b"),), never=(("p:a", "r:c"),)
    )
    assert found == ["p:a q:b", "r:c"]


def test_a_decision_about_records_that_are_gone_is_passed_over() -> None:
    decided = (("p:a", "p:gone"), ("q:gone", "p:a"), ("q:x", "q:y"))
    assert clusters_of("p:a q:b", ("p:a", "q:b", 5), always=decided) == ["p:a q:b"]
    assert clusters_of("p:a q:b", ("p:a", "q:b", 5), never=decided) == ["p:a q:b"]


# --- what must not matter, and what must not be


@pytest.mark.parametrize("pair", [("p:a", "p:nobody", 5.0), ("p:nobody", "p:a", 5.0), ("p:a", "p:nobody", -9.0)])
def test_a_pair_with_an_unknown_record_is_an_error(pair: Pair) -> None:
    with pytest.raises(KeyError, match="not among the records"):
        clusters_of("p:a p:b", pair)


@pytest.mark.parametrize("again", [("p:a", "q:b", 5.0), ("q:b", "p:a", 5.0)])
def test_a_pair_that_comes_twice_is_an_error(again: Pair) -> None:
    with pytest.raises(ValueError, match="1 pairs again"):
        clusters_of("p:a q:b", ("p:a", "q:b", 5), again)


def test_of_many_ties_the_order_of_records_breaks_none() -> None:
    """A cluster that was joined from two sides has one name, whichever side came first."""
    weights = {"03": -4, "04": -2, "05": 0, "01": -4, "13": 4, "14": 0, "15": 2, "23": 0, "24": -2, "25": 4}
    weights |= {"34": 6, "35": 4, "45": -2}
    rows = [(f"p:{pair[0]}", f"p:{pair[1]}", float(weight)) for pair, weight in weights.items()]
    names = [f"p:{number}" for number in range(6)]
    expected = clusters_of(" ".join(names), *rows, max_size=4)
    assert clusters_of(" ".join(names[number] for number in (4, 0, 5, 2, 3, 1)), *rows, max_size=4) == expected


NAMES = [f"{platform}:{number}" for platform in "pqs" for number in range(3)]
ENDS = [(a, b) for n, a in enumerate(NAMES) for b in NAMES[n + 1 :]]


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Pair], Decided, Decided]:
    """Pairs of nine records of three platforms with few different weights, so that ties are many, and some decisions."""
    chosen = draw(st.lists(st.sampled_from(ENDS), unique=True))
    rows = [(a, b, float(draw(st.sampled_from([-9, -3, 2, 5, 7, 14])))) for a, b in chosen]
    decided = draw(st.lists(st.sampled_from(ENDS), unique=True, max_size=3))
    cut = draw(st.integers(0, len(decided)))
    return rows, tuple(decided[:cut]), tuple(decided[cut:])


@settings(max_examples=150, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_and_direction_of_everything_do_not_matter(
    problem: tuple[list[Pair], Decided, Decided], random: Random
) -> None:
    rows, always, never = problem
    expected = clusters_of(" ".join(NAMES), *rows, alone="s", max_size=4, always=always, never=never)
    turned = [(b, a, weight) if random.random() < 0.5 else (a, b, weight) for a, b, weight in rows]
    names, turned_always = NAMES.copy(), [(b, a) for a, b in always]
    for everything in (names, turned, turned_always):
        random.shuffle(everything)
    found = clusters_of(
        " ".join(names), *turned, alone="s", max_size=4, always=tuple(turned_always), never=tuple(never[::-1])
    )
    assert found == expected


@settings(max_examples=150, deadline=None)
@given(problems())
def test_what_needs_no_contraction_would_be_the_same_with_it(problem: tuple[list[Pair], Decided, Decided]) -> None:
    rows, always, never = problem
    given = {"alone": "s", "max_size": 6, "always": always, "never": never}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "_doubtful", lambda labels, *_: clusters.np.ones(labels.max() + 1, dtype=bool))
        contracted = clusters_of(" ".join(NAMES), *rows, **given)
    assert clusters_of(" ".join(NAMES), *rows, **given) == contracted


@settings(max_examples=150, deadline=None)
@given(problems())
def test_the_rules_hold_whatever_the_pairs_are(problem: tuple[list[Pair], Decided, Decided]) -> None:
    rows, _, never = problem
    for found in clusters_of(" ".join(NAMES), *rows, alone="s", max_size=4, never=never):
        members = found.split()
        assert len(members) <= 4
        assert sum(name.startswith("s:") for name in members) <= 1
        assert not [pair for pair in never if {*pair} <= {*members}]
