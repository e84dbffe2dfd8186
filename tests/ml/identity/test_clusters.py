"""Literal clusters: who belongs together, and which id they keep when the night changes them."""

import pyarrow as pa
import pytest

import ml.identity.clusters as clusters
from ml.identity.clusters import cluster, stable_ids
from ml.identity.edges import EDGE_SCHEMA


def records(*names: str) -> pa.Table:
    """Records written 'platform:id'."""
    platforms, ids = zip(*(name.split(":") for name in names), strict=True) if names else ((), ())
    return pa.table({"platform": pa.array(platforms, pa.string()), "id": pa.array(ids, pa.string())})


def edges(*pairs: tuple[str, str] | tuple[str, str, float]) -> pa.Table:
    rows = []
    for left, right, *score in pairs:
        (platform_l, id_l), (platform_r, id_r) = left.split(":"), right.split(":")
        row = {"platform_l": platform_l, "id_l": id_l, "platform_r": platform_r, "id_r": id_r}
        rows.append({**row, "score": float(*score or (1.0,)), "evidence": "test"})
    return pa.Table.from_pylist(rows, schema=EDGE_SCHEMA)


def previous(**ids: str) -> pa.Table:
    """``previous(a='one')``: record 'p:a' had the id 'one' the night before."""
    return records(*(f"p:{name}" for name in ids)).append_column("cluster_id", pa.array(ids.values(), pa.string()))


def ids_of(groups: list[list[str]], before: pa.Table | None, prefix: str = "person_") -> dict[str, str]:
    """The ids that the groups of records 'p:...' get, by record."""
    names = [name for group in groups for name in group]
    labels = pa.array([label for label, group in enumerate(groups) for _ in group], pa.int64())
    table = stable_ids(records(*(f"p:{name}" for name in names)), labels, before, prefix)
    assert table.column_names == ["platform", "id", "cluster_id"]
    return dict(zip(table["id"].to_pylist(), table["cluster_id"].to_pylist(), strict=True))


# --- connected components


def test_everybody_is_alone_without_edges() -> None:
    assert cluster(records("p:a", "p:b", "p:c"), edges()).to_pylist() == [0, 1, 2]


def test_links_reach_through_others() -> None:
    assert cluster(
        records("p:a", "p:b", "p:c", "p:d", "p:e"), edges(("p:a", "p:b"), ("p:b", "p:c"), ("p:e", "p:d"))
    ).to_pylist() == [0, 0, 0, 1, 1]


def test_labels_follow_the_first_record_of_each_cluster_not_the_order_of_rows() -> None:
    found = cluster(records("q:a", "p:z", "p:b"), edges(("p:b", "q:a")))
    assert found.to_pylist() == [0, 1, 0]
    assert found.type == pa.int64()


def test_an_id_is_another_record_on_another_platform() -> None:
    assert cluster(records("p:1", "q:1", "q:2"), edges(("p:1", "q:2"))).to_pylist() == [0, 1, 0]


def test_an_edge_counts_from_the_threshold_on() -> None:
    three, weighed = records("p:a", "p:b", "p:c"), edges(("p:a", "p:b", 0.5), ("p:b", "p:c", 0.49))
    assert cluster(three, weighed).to_pylist() == [0, 0, 1]
    assert cluster(three, weighed, threshold=0.4).to_pylist() == [0, 0, 0]
    assert cluster(three, weighed, threshold=0.6).to_pylist() == [0, 1, 2]


def test_the_direction_and_repetition_of_edges_do_not_matter() -> None:
    many = edges(*[("p:b", "p:a")] * 300, ("p:a", "p:b"))
    assert cluster(records("p:a", "p:b"), many).to_pylist() == [0, 0]


@pytest.mark.parametrize("edge", [("p:a", "p:nobody"), ("p:nobody", "p:a")])
def test_an_edge_to_an_unknown_record_is_an_error(edge: tuple[str, str]) -> None:
    with pytest.raises(KeyError, match="not among the records"):
        cluster(records("p:a", "p:b"), edges(edge))


def test_a_weak_edge_to_an_unknown_record_is_none() -> None:
    assert cluster(records("p:a"), edges(("p:a", "p:nobody", 0.1))).to_pylist() == [0]


# --- ids that last


def test_new_ids_have_the_prefix_and_depend_on_the_smallest_record_alone() -> None:
    alone = ids_of([["a"], ["b", "c"]], None)
    assert alone["b"] == alone["c"] != alone["a"]
    assert all(made.startswith("person_") and len(made) == len("person_") + 24 for made in alone.values())
    assert ids_of([["b", "d"], ["e"]], None)["b"] == alone["b"]
    assert ids_of([["b"]], None, "product_")["b"] == alone["b"].replace("person_", "product_")


def test_no_night_before_is_as_good_as_an_empty_one() -> None:
    assert ids_of([["a"], ["b"]], previous()) == ids_of([["a"], ["b"]], None)


def test_ids_do_not_depend_on_the_order_of_records_or_the_numbers_of_labels() -> None:
    before = previous(a="one", d="two")
    assert ids_of([["a", "b"], ["d"], ["c"]], before) == ids_of([["c"], ["d"], ["b", "a"]], before)


def test_a_cluster_that_did_not_change_keeps_its_id() -> None:
    assert ids_of([["a", "b"], ["c"]], previous(a="one", b="one", c="two")) == {"a": "one", "b": "one", "c": "two"}


def test_a_new_member_takes_the_id_of_the_others() -> None:
    assert ids_of([["a", "b", "new"]], previous(a="one", b="one")) == {"a": "one", "b": "one", "new": "one"}


def test_when_equal_shares_merge_the_smallest_id_names_them() -> None:
    assert set(ids_of([["a", "b"]], previous(a="two", b="one")).values()) == {"one"}


def test_when_a_cluster_splits_the_id_stays_with_the_larger_part() -> None:
    found = ids_of([["a"], ["b", "c"]], previous(a="one", b="one", c="one"))
    assert found["b"] == found["c"] == "one"
    assert found["a"].startswith("person_")


def test_when_a_cluster_splits_in_halves_the_part_with_the_smallest_record_keeps_the_id() -> None:
    found = ids_of([["d", "b"], ["a", "c"]], previous(a="one", b="one", c="one", d="one"))
    assert found["a"] == found["c"] == "one"
    assert found["b"] == found["d"] != "one"


def test_a_cluster_that_is_owed_two_ids_takes_one_and_nobody_gets_the_other() -> None:
    """'one' and 'two' both have most of their records in the second cluster, two each."""
    found = ids_of([["a"], ["b", "c", "d", "e"]], previous(a="two", b="one", c="one", d="two", e="two"))
    assert [found[name] for name in "bcde"] == ["one"] * 4
    assert found["a"].startswith("person_")


def test_a_cluster_that_is_owed_two_ids_takes_the_one_it_has_most_records_of() -> None:
    found = ids_of([["a", "b", "c"]], previous(a="one", b="two", c="two"))
    assert set(found.values()) == {"two"}


def test_records_that_are_gone_claim_nothing() -> None:
    found = ids_of([["a"]], previous(a="one", gone="two", lost="one"))
    assert found == {"a": "one"}


def test_a_new_id_never_is_one_that_the_night_before_gave_to_others() -> None:
    """b left the cluster that was named after its smallest record a; a comes back alone, its own name taken."""
    name_of_a = ids_of([["a"]], None)["a"]
    found = ids_of([["a"], ["b", "c"]], previous(b=name_of_a, c=name_of_a))
    assert found["b"] == found["c"] == name_of_a
    assert found["a"] != name_of_a
    assert found["a"].startswith("person_")
    assert found == ids_of([["b", "c"], ["a"]], previous(c=name_of_a, b=name_of_a))


def test_two_clusters_of_one_hash_are_an_error_and_no_merger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_hashed_ids", lambda seeds, prefix: seeds.map(lambda _: f"{prefix}same"))
    with pytest.raises(ValueError, match="1 clusters were given an id that another one has"):
        ids_of([["a"], ["b"]], None)


def test_nobody_is_clustered_into_nothing() -> None:
    assert cluster(records(), edges()).to_pylist() == []
    assert ids_of([], None) == {}
