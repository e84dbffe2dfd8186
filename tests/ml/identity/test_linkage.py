"""Linkage itself: what is compared, what a model remembers, and that a night's share of the pairs is as good as all of them."""

import math
import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.identity.linkage import FLOOR, MAX_BLOCK, PAIR_KEYS, LinkageModel, LinkageSpec, bits, score, score_pair, train

if TYPE_CHECKING:
    from splink.internals.comparison_creator import ComparisonCreator

SCHEMA = pa.schema(
    [
        ("platform", pa.string()),
        ("id", pa.string()),
        ("alone", pa.bool_()),
        ("card", pa.string()),
        ("name", pa.string()),
        ("town", pa.string()),
        ("colour", pa.string()),
    ]
)


def comparisons() -> "list[ComparisonCreator]":
    import splink.comparison_level_library as levels
    from splink.comparison_library import CustomComparison

    def text(column: str, frequency: bool) -> "ComparisonCreator":
        return CustomComparison(
            output_column_name=column,
            comparison_levels=[
                levels.NullLevel(column),
                levels.ExactMatchLevel(column, term_frequency_adjustments=frequency).configure(m_probability=0.9),
                levels.ElseLevel().configure(m_probability=0.1),
            ],
        )

    card = CustomComparison(
        output_column_name="card",
        comparison_levels=[
            levels.NullLevel("card"),
            levels.ExactMatchLevel("card").configure(
                label_for_charts="equal",
                m_probability=0.5,
                u_probability=1e-6,
                fix_m_probability=True,
                fix_u_probability=True,
            ),
            levels.ElseLevel().configure(
                m_probability=0.5, u_probability=1.0, fix_m_probability=True, fix_u_probability=True
            ),
        ],
    )
    return [card, text("name", True), text("town", False), text("colour", False)]


SPEC = LinkageSpec(
    name="test",
    comparisons=comparisons,
    certain={"card": 0.999},
    blocks=["card", "name", "town"],
    anchors=["name || '|' || town"],
    anchor_recall=0.8,
    term_frequencies=["name"],
)


def table(*rows: tuple[str, str | None, str | None, str | None], alone: tuple[str, ...] = ()) -> pa.Table:
    """Records of 'platform:id', name, town and colour."""
    return pa.Table.from_pylist(
        [
            {
                "platform": record.split(":")[0],
                "id": record.split(":")[1],
                "alone": record.split(":")[0] in alone,
                "card": None,
                "name": name,
                "town": town,
                "colour": colour,
            }
            for record, name, town, colour in rows
        ],
        schema=SCHEMA,
    )


def people(count: int, seed: int = 3, noise: float = 0.3) -> pa.Table:
    """``count`` people on two platforms each; a share of ``noise`` wear a random colour there, some names and towns are unknown."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        name, town = f"name{rng.randrange(count)}", f"town{rng.randrange(40)}"
        colour = rng.choice("rgby")
        rows.append((f"left:{number:04}", name, town, colour))
        other = rng.choice("rgby") if rng.random() < noise else colour
        rows.append(
            (f"right:{number:04}", name if rng.random() < 0.9 else None, town if rng.random() < 0.9 else None, other)
        )
    return table(*rows)


def weight(model: LinkageModel, comparison: str, level: int) -> tuple[float, float]:
    """m and u of a level that is not the null level."""
    (found,) = (c for c in model.settings["comparisons"] if c["output_column_name"] == comparison)
    chosen = found["comparison_levels"][level + 1]
    return chosen["m_probability"], chosen["u_probability"]


def names(pairs: pa.Table) -> list[tuple[str, str]]:
    return [(f"{p['platform_l']}:{p['id_l']}", f"{p['platform_r']}:{p['id_r']}") for p in pairs.to_pylist()]


@pytest.fixture(scope="module")
def everybody() -> pa.Table:
    return people(300)


@pytest.fixture(scope="module")
def model(everybody: pa.Table) -> LinkageModel:
    return train(everybody, SPEC, seed=1)


# --- training


def test_the_same_records_give_the_same_model_in_any_order(everybody: pa.Table, model: LinkageModel) -> None:
    order = list(range(everybody.num_rows))
    random.Random(1).shuffle(order)
    again = train(everybody.take(pa.array(order)), SPEC, seed=1)
    assert again.to_json() == model.to_json()
    assert again.frequencies == model.frequencies


def test_training_learns_how_much_an_agreement_tells() -> None:
    """Declared is that nine in ten pairs of one person agree; random pairs agree in one of four colours."""
    reliable, chance = (weight(train(people(300, noise=noise), SPEC, seed=1), "colour", 0) for noise in (0.0, 0.8))
    assert chance[0] < 0.75 < 0.97 < reliable[0]
    assert reliable[1] == pytest.approx(0.25, abs=0.03)


def test_a_few_anchored_pairs_teach_nothing() -> None:
    few = train(people(60), SPEC, seed=1)
    assert weight(few, "colour", 0)[0] == 0.9
    assert weight(few, "colour", 1)[0] == 0.1


def test_how_rare_a_match_is_comes_from_the_anchored_pairs() -> None:
    """Two pairs agree in name and town, which is 0.8 of those there are, among the fifteen of six records."""
    six = table(
        ("a:1", "ann", "x", "r"),
        ("b:1", "ann", "x", "r"),
        ("a:2", "bob", "y", "g"),
        ("b:2", "bob", "y", "g"),
        ("a:3", "cy", "z", "b"),
        ("b:3", "di", "z", "b"),
    )
    assert train(six, SPEC, seed=1).prior == pytest.approx(2 / 0.8 / 15)


def test_a_certain_column_makes_a_pair_the_same_by_itself_however_rare_that_is(model: LinkageModel) -> None:
    cards = pa.Table.from_pylist(
        [{"platform": p, "id": "1", "alone": False, "card": "c1"} for p in ("a", "b")], schema=SCHEMA
    )
    assert score(cards, SPEC, model)["score"].to_pylist() == pytest.approx([0.999], abs=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_no_record_and_one_have_no_pairs(count: int, model: LinkageModel) -> None:
    records = people(1).slice(0, count)
    own = train(records, SPEC, seed=1)
    for trained in (own, model):
        pairs = score(records, SPEC, trained)
        assert pairs.num_rows == 0
        assert pairs.column_names == [*PAIR_KEYS, "match_weight", "score", *SPEC.compared]


# --- which pairs are compared


def test_pairs_agree_in_a_block_and_stand_in_order(model: LinkageModel) -> None:
    records = table(
        ("b:1", "ann", "x", "r"), ("a:2", "ann", "y", "r"), ("a:1", None, "x", "r"), ("c:1", None, None, "r")
    )
    assert names(score(records, SPEC, model)) == [("a:1", "b:1"), ("a:2", "b:1")]


def test_records_of_one_platform_are_compared_unless_they_are_alone(model: LinkageModel) -> None:
    rows = ("a:1", "ann", "x", "r"), ("a:2", "ann", "x", "r"), ("b:1", "ann", "x", "r")
    assert names(score(table(*rows), SPEC, model)) == [("a:1", "a:2"), ("a:1", "b:1"), ("a:2", "b:1")]
    assert names(score(table(*rows, alone=("a", "b")), SPEC, model)) == [("a:1", "b:1"), ("a:2", "b:1")]


def test_a_key_that_too_many_share_compares_nobody(model: LinkageModel) -> None:
    crowd = [(f"p:{number:03}", None, "x", "r") for number in range(MAX_BLOCK)]
    one_more = ("q:1", "ann", "x", "r")
    assert score(table(*crowd), SPEC, model).num_rows == MAX_BLOCK * (MAX_BLOCK - 1) // 2
    assert score(table(*crowd, one_more), SPEC, model).num_rows == 0
    assert names(score(table(*crowd, one_more, ("q:2", "ann", "x", "r")), SPEC, model)) == [("q:1", "q:2")]


def test_pairs_below_the_floor_are_not_kept(everybody: pa.Table, model: LinkageModel) -> None:
    against = table(("a:1", "ann", "x", "r"), ("b:1", "bob", "x", "g"))
    against = against.set_column(SCHEMA.names.index("card"), "card", pa.array(["c1", "c2"]))
    weak = score_pair(against, SPEC, model)["match_weight"].to_pylist()[0]
    kept = pc.min(score(everybody, SPEC, model)["match_weight"]).as_py()
    assert weak < FLOOR <= kept
    assert score(against, SPEC, model).num_rows == 0


def test_a_pair_is_scored_though_it_agrees_in_no_block(everybody: pa.Table, model: LinkageModel) -> None:
    strangers = table(("a:1", "ann", "x", "r"), ("b:1", "bob", "y", "r"))
    assert score(strangers, SPEC, model).num_rows == 0
    (pair,) = score_pair(strangers, SPEC, model).to_pylist()
    assert pair["colour"] > 0 > pair["name"]


def test_a_pair_by_itself_scores_as_among_all(everybody: pa.Table, model: LinkageModel) -> None:
    pairs = score(everybody, SPEC, model).to_pylist()
    for pair in pairs[:: len(pairs) // 4]:
        keys = [(pair["platform_l"], pair["id_l"]), (pair["platform_r"], pair["id_r"])]
        both = pa.Table.from_pylist(
            [row for row in everybody.to_pylist() if (row["platform"], row["id"]) in keys], schema=SCHEMA
        )
        assert score_pair(both, SPEC, model).to_pylist() == [pair]


# --- what a score is made of


def test_a_score_is_the_prior_and_its_evidence(everybody: pa.Table, model: LinkageModel) -> None:
    for pair in score(everybody, SPEC, model).to_pylist()[::20]:
        total = bits(model.prior) + sum(pair[name] for name in SPEC.compared)
        assert pair["match_weight"] == pytest.approx(total, abs=5e-4)
        assert pair["score"] == pytest.approx(1 / (1 + 2 ** -pair["match_weight"]), abs=1e-4)


def test_a_rare_name_says_more_and_an_unseen_one_as_much_as_the_rarest(model: LinkageModel) -> None:
    frequency = {row["value"]: row["frequency"] for row in model.frequencies["name"].to_pylist()}
    common, rare = max(frequency, key=frequency.__getitem__), min(frequency, key=frequency.__getitem__)

    def evidence(name: str) -> float:
        pair = table(("a:1", name, None, None), ("b:1", name, None, None))
        return float(score_pair(pair, SPEC, model)["name"].to_pylist()[0])

    assert evidence(rare) - evidence(common) == pytest.approx(math.log2(frequency[common] / frequency[rare]), abs=1e-3)
    assert evidence("never seen") == evidence(rare)


# --- from night to night


def test_what_changed_and_what_was_carried_are_together_the_whole(everybody: pa.Table, model: LinkageModel) -> None:
    """Some records are new, some have another town, some are gone: only pairs with the first two are compared."""
    rng = random.Random(5)
    rows = everybody.to_pylist()
    before = [dict(row) for row in rows if rng.random() < 0.9]
    now = [dict(row) for row in rows if rng.random() < 0.95]
    for row in now:
        if rng.random() < 0.1:
            row["town"] = f"town{rng.randrange(40)}"
    known = {(row["platform"], row["id"]): row for row in before}
    same = {(row["platform"], row["id"]) for row in now if known.get((row["platform"], row["id"])) == row}

    carried = [
        pair
        for pair in score(pa.Table.from_pylist(before, schema=SCHEMA), SPEC, model).to_pylist()
        if (pair["platform_l"], pair["id_l"]) in same and (pair["platform_r"], pair["id_r"]) in same
    ]
    records = pa.Table.from_pylist(now, schema=SCHEMA)
    changed = pa.array([(row["platform"], row["id"]) not in same for row in now])
    compared = score(records, SPEC, model, changed=changed).to_pylist()
    everything = score(records, SPEC, model).to_pylist()

    assert 0 < len(compared) < len(everything)
    assert sorted(carried + compared, key=lambda pair: [pair[key] for key in PAIR_KEYS]) == everything


def test_where_nothing_changed_nothing_is_compared(everybody: pa.Table, model: LinkageModel) -> None:
    assert score(everybody, SPEC, model, changed=pa.array([False] * everybody.num_rows)).num_rows == 0
    everything = score(everybody, SPEC, model, changed=pa.array([True] * everybody.num_rows))
    assert everything.equals(score(everybody, SPEC, model))


def test_scores_do_not_depend_on_the_order_of_records_or_threads(everybody: pa.Table, model: LinkageModel) -> None:
    order = list(range(everybody.num_rows))
    random.Random(2).shuffle(order)
    assert score(everybody.take(pa.array(order)), SPEC, model, threads=1).equals(score(everybody, SPEC, model))
