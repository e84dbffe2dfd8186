"""What accounts like, and what that tells: tables so small that the answers are plain."""

import math

import numpy as np
import pyarrow as pa
import pytest

from ml.identity.interests import (
    DIMENSIONS,
    FEWEST_EVENTS,
    VECTORS,
    account_interests,
    alike_pairs,
    learn_vectors,
    precision_recall,
)

KINDS, FILMS = ("war", "love"), 24


def taste(accounts: int) -> dict[str, list[str]]:
    """Products by account: every other account likes films of war, the others of love."""
    rng = np.random.default_rng(1)
    return {
        f"{KINDS[number % 2]}-{number}": [
            f"{KINDS[number % 2]}{film:02}" for film in rng.choice(FILMS, 12, replace=False)
        ]
        for number in range(accounts)
    }


def learning(products: dict[str, list[str]]) -> pa.Table:
    rows = [(account, product) for account, consumed in products.items() for product in consumed]
    return pa.table({"account": [a for a, _ in rows], "product_id": [p for _, p in rows]})


def events(products: dict[str, list[str]]) -> pa.Table:
    """Events of accounts written 'platform:id'."""
    rows = [(*account.split(":"), product) for account, consumed in products.items() for product in consumed]
    names = ["platform", "id", "product_id"]
    return pa.table({name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate(names)})


def vectors(**products: tuple[float, list[float]]) -> pa.Table:
    """``vectors(film=(rarity, vector))``."""
    return pa.Table.from_pylist(
        [{"product_id": name, "rarity": rarity, "vector": vector} for name, (rarity, vector) in products.items()],
        schema=VECTORS,
    )


def cosine(one: list[float], two: list[float]) -> float:
    return float(np.dot(one, two))


# --- vectors


@pytest.fixture(scope="module")
def learned() -> pa.Table:
    return learn_vectors(learning(taste(400)), seed=1)


def test_a_vector_for_each_product_and_how_rare_it_is(learned: pa.Table) -> None:
    assert learned.schema == VECTORS
    assert learned["product_id"].to_pylist() == sorted(f"{kind}{film:02}" for kind in KINDS for film in range(FILMS))
    assert {len(vector) for vector in learned["vector"].to_pylist()} == {DIMENSIONS}


def test_the_mean_of_all_that_was_taken_is_nothing(learned: pa.Table) -> None:
    """So that what everybody consumes brings nobody together."""
    consumed = [product for products in taste(400).values() for product in products]
    matrix = dict(zip(learned["product_id"].to_pylist(), learned["vector"].to_pylist(), strict=True))
    assert np.mean([matrix[product] for product in consumed], axis=0) == pytest.approx(np.zeros(DIMENSIONS), abs=1e-5)


def test_rarity_is_the_log_of_teachers_by_teachers_with_the_product() -> None:
    products = {
        f"a{number}": ["everybody's", *(f"own{number}-{n}" for n in range(FEWEST_EVENTS))] for number in range(3)
    }
    found = {row["product_id"]: row["rarity"] for row in learn_vectors(learning(products), seed=1).to_pylist()}
    assert found["everybody's"] == 0
    assert found["own0-0"] == pytest.approx(math.log(4 / 2))


def test_the_same_seed_learns_the_same_and_another_something_else(learned: pa.Table) -> None:
    everything = learning(taste(400))
    assert learn_vectors(everything, seed=1).equals(learned)
    assert learn_vectors(pa.concat_tables([everything, everything]), seed=1).equals(learned)  # twice is once
    assert not learn_vectors(everything, seed=2).equals(learned)


def test_products_that_the_same_accounts_take_are_near_each_other(learned: pa.Table) -> None:
    matrix = np.array(learned["vector"].to_pylist())
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    near = matrix @ matrix.T
    love, war = near[:FILMS, :FILMS], near[:FILMS, FILMS:]
    assert love[~np.eye(FILMS, dtype=bool)].min() > 0
    assert war.max() < 0
    assert love.mean() > 0.5 > -0.5 > war.mean()


def test_who_took_little_teaches_nothing() -> None:
    few = {"little": [f"f{n}" for n in range(FEWEST_EVENTS - 1)]}
    assert learn_vectors(learning(few), seed=1).equals(VECTORS.empty_table())
    assert learn_vectors(learning({}), seed=1).equals(VECTORS.empty_table())
    enough = {"enough": [f"g{n}" for n in range(FEWEST_EVENTS)]}
    assert sorted(learn_vectors(learning(few | enough), seed=1)["product_id"].to_pylist()) == sorted(enough["enough"])


def test_alike_accounts_are_nearer_than_others(learned: pa.Table) -> None:
    rng = np.random.default_rng(2)
    given = {
        f"{platform}:{kind}": [f"{kind}{film:02}" for film in rng.choice(FILMS, 10, replace=False)]
        for platform in ("shop", "forum")
        for kind in KINDS
    }
    found = {
        (row["platform"], row["id"]): row["interests"] for row in account_interests(events(given), learned).to_pylist()
    }
    assert cosine(found["shop", "war"], found["forum", "war"]) > 0.9
    assert cosine(found["shop", "war"], found["forum", "love"]) < 0


# --- accounts


TEN = {f"f{n}": (1.0, [1.0, 0.0]) for n in range(FEWEST_EVENTS)}


def test_interests_are_unit_vectors_sorted_by_account() -> None:
    found = account_interests(events({"shop:b": [*TEN], "forum:z": [*TEN], "shop:a": [*TEN]}), vectors(**TEN))
    assert found.select(["platform", "id"]).to_pylist() == [
        {"platform": "forum", "id": "z"},
        {"platform": "shop", "id": "a"},
        {"platform": "shop", "id": "b"},
    ]
    assert found["interests"].to_pylist() == [[1.0, 0.0]] * 3
    assert found["interests"].type == pa.list_(pa.float32())


def test_fewer_products_than_it_takes_are_no_interests() -> None:
    """Repeated ones count once, and those without a vector not at all."""
    nine = [*TEN][:-1]
    given = {"p:nine": nine, "p:twice": [*nine, nine[0]], "p:unknown": [*nine, "new"], "p:ten": [*TEN, "new"]}
    assert account_interests(events(given), vectors(**TEN))["id"].to_pylist() == ["ten"]


def test_rare_products_count_more() -> None:
    """Ten common ones point one way, a single rare one the other."""
    known = vectors(**{name: (0.1, [1.0, 0.0]) for name in TEN}, rare=(3.0, [0.0, 1.0]))
    [found] = account_interests(events({"p:a": [*TEN, "rare"]}), known)["interests"].to_pylist()
    assert found == pytest.approx([1 / math.sqrt(10), 3 / math.sqrt(10)], abs=1e-3)


def test_two_with_a_rare_product_in_common_are_nearer_than_two_with_a_common_one() -> None:
    own = {
        f"{name}{n}": (0.5, [float(m == number) for m in range(5)])
        for number, name in enumerate("abc")
        for n in range(10)
    }
    known = vectors(**own, rare=(4.0, [0, 0, 0, 1.0, 0]), common=(0.2, [0, 0, 0, 0, 1.0]))
    given = {
        "p:a": [*(f"a{n}" for n in range(10)), "rare", "common"],
        "q:b": [*(f"b{n}" for n in range(10)), "rare"],
        "q:c": [*(f"c{n}" for n in range(10)), "common"],
    }
    a, b, c = account_interests(events(given), known)["interests"].to_pylist()
    assert cosine(a, b) > 10 * cosine(a, c) > 0


def test_the_order_of_events_does_not_matter() -> None:
    given = events({"p:a": [*TEN], "q:b": [*TEN]})
    known = vectors(**{name: (1.0 + n, [float(n), 1.0]) for n, name in enumerate(TEN)})
    backwards = given.take(pa.array(range(given.num_rows))[::-1])
    assert account_interests(backwards, known).equals(account_interests(given, known))


@pytest.mark.parametrize(
    ("given", "known"), [({}, TEN), ({"p:a": [*TEN]}, {}), ({"p:a": ["other"]}, TEN), ({"p:a": ["f1"]}, TEN)]
)
def test_nothing_to_say_is_an_empty_table(
    given: dict[str, list[str]], known: dict[str, tuple[float, list[float]]]
) -> None:
    found = account_interests(events(given), vectors(**known))
    assert found.column_names == ["platform", "id", "interests"]
    assert found.num_rows == 0


# --- pairs


def accounts(**interests: list[float] | None) -> pa.Table:
    """``accounts(p_a=vector)`` is account a of platform p; names that end in _named have a surname."""
    names = [name.split("_") for name in sorted(interests)]
    return pa.table(
        {
            "platform": pa.array([name[0] for name in names], pa.string()),
            "id": pa.array([name[1] for name in names], pa.string()),
            "surname": pa.array(["lee" if "named" in name else None for name in names], pa.string()),
            "birth_date": pa.array([None] * len(names), pa.string()),
            "interests": pa.array([interests[name] for name in sorted(interests)], pa.list_(pa.float32())),
        }
    )


def alike(threshold: float = 0.9, **interests: list[float] | None) -> list[tuple[str, float]]:
    found = alike_pairs(accounts(**interests), ["surname", "birth_date"], threshold)
    return [
        (f"{row['platform_l']}:{row['id_l']} {row['platform_r']}:{row['id_r']}", round(row["cosine"], 3))
        for row in found.to_pylist()
    ]


def test_pairs_of_other_platforms_from_the_threshold_on() -> None:
    given = {"p_a": [1.0, 0.0], "p_b": [1.0, 0.0], "q_c": [0.8, 0.6], "q_d": [-1.0, 0.0]}
    assert alike(0.8, **given) == [("p:a q:c", 0.8), ("p:b q:c", 0.8)]
    assert alike(0.81, **given) == []


def test_each_account_brings_its_best_one_only() -> None:
    given = {"p_a": [1.0, 0.0], "q_b": [0.99, 0.141], "q_c": [0.95, 0.312], "r_d": [0.96, 0.28]}
    assert alike(**given) == [("p:a q:b", 0.99), ("q:c r:d", 0.999)]


def test_who_has_no_interests_is_like_nobody() -> None:
    assert alike(p_a=[1.0, 0.0], q_b=None) == []
    assert alike(p_a=None, q_b=None) == []
    assert alike() == []


def test_who_is_alone_on_the_only_platform_is_like_nobody() -> None:
    assert alike(p_a=[1.0, 0.0], p_b=[1.0, 0.0]) == []


def test_what_says_more_than_interests_is_left_to_decide() -> None:
    """Where both have a name, that tells whether they are the same; where only one has, nothing does."""
    assert alike(p_a_named=[1.0, 0.0], q_b_named=[1.0, 0.0]) == []
    assert alike(p_a_named=[1.0, 0.0], q_b=[1.0, 0.0]) == [("p:a q:b", 1.0)]


def test_more_accounts_than_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    angles = np.linspace(0, 3, 23)
    given = {f"{'pqr'[n % 3]}_{n:02}": [math.cos(angle), math.sin(angle)] for n, angle in enumerate(angles)}
    at_once = alike(**given)
    monkeypatch.setattr("ml.identity.interests.BATCH", 4)
    assert alike(**given) == at_once != []


# --- how well interests alone tell


def records(*rows: tuple[str, str | None, list[float] | None]) -> pa.Table:
    names = {"platform": pa.string(), "email_token": pa.string(), "interests": pa.list_(pa.float32())}
    return pa.table({name: pa.array([row[n] for row in rows], kind) for n, (name, kind) in enumerate(names.items())})


def test_precision_and_recall_where_interests_tell_everybody_apart() -> None:
    """Eight persons, each with a direction of its own on both platforms: a random pair is one person in an eighth."""
    rows = [(platform, f"e{n}", [float(m == n) for m in range(8)]) for platform in "pq" for n in range(8)]
    found = precision_recall(records(*rows), prior=1 / 8, seed=1).to_pylist()
    assert [row["threshold"] for row in found] == pytest.approx([n / 20 for n in range(20)])
    assert {row["recall"] for row in found} == {1.0}
    assert found[0]["precision"] == pytest.approx(1 / 8)  # from a cosine of 0 on everybody is alike
    assert found[10]["precision"] == pytest.approx((1 / 8) / (1 / 8 + 1 / 8 * 7 / 8), abs=0.01)


def test_recall_falls_with_the_threshold() -> None:
    rows = [("p", "e", [1.0, 0.0]), ("q", "e", [0.8, 0.6]), ("p", "f", [0.0, 1.0]), ("q", "f", [0.3, 0.954])]
    found = {round(row["threshold"], 2): row["recall"] for row in precision_recall(records(*rows), 0.01, 1).to_pylist()}
    assert (found[0.75], found[0.85], found[0.95]) == (1.0, 0.5, 0.5)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("p", "e", [1.0, 0.0]), ("q", "f", [1.0, 0.0])],
        [("p", "e", [1.0, 0.0]), ("p", "e", [1.0, 0.0])],  # nobody is asked for twice on one platform
        [("p", None, [1.0, 0.0]), ("q", None, [1.0, 0.0])],
        [("p", "e", [1.0, 0.0]), ("q", "e", None)],
    ],
)
def test_without_two_accounts_of_one_person_there_is_no_curve(
    rows: list[tuple[str, str | None, list[float] | None]],
) -> None:
    found = precision_recall(records(*rows), 0.01, 1)
    assert found.column_names == ["threshold", "precision", "recall"]
    assert found.num_rows == 0
