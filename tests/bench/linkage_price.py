"""What linkage errors cost: false merges and missed links injected into the demo's true identity, NDCG@10 at each level.

The night's own steps build the marts and its ranker trains for each identity; only the table of persons differs.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure
from rich.console import Console

from dags.steps.learn.build_marts import build_candidates, build_marts
from dags.steps.learn.train_towers import train_towers
from dags.steps.night import Night
from infra.deploy.embedded import airflow_environment
from infra.identity_store import identity_key
from infra.settings import Settings
from ml.identity.clusters import cluster
from tests.bench.measured import ROOT, Measured, run
from tests.bench.ranking import RANKER, SEEDS, by_list_of, by_ranker, interval

AS_OF = date(2000, 12, 15)
LEVELS = (0.0, 0.05, 0.1, 0.2)
THRESHOLDS = (0.5, 0.9, 0.999)
PLOT = ROOT / "docs" / "images" / "linkage-price.png"
console = Console()


def price(levels: tuple[float, ...] = LEVELS, thresholds: tuple[float, ...] = THRESHOLDS) -> list[Measured]:
    """NDCG@10 of the held-out week at each level of each error, and at each threshold of the night's own linkage."""
    rows, points = [], []
    with tempfile.TemporaryDirectory(prefix="crossrec-price-") as folder:
        home = Path(folder) / "var"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
        night_command = [sys.executable, "-m", "dags.cli", "nightly", "--date", AS_OF.isoformat()]
        run(night_command, {**environment, "CROSSREC_HOME": str(home)}, Path(folder) / "night.log")
        settings = Settings(home=home)
        os.environ |= airflow_environment(settings)
        night = Night(AS_OF, "bench", settings)
        truth = _truth(night)
        for error, level, persons in _identities(night, truth, levels, thresholds):
            night.write_table(identity_key(AS_OF.isoformat(), "account_persons"), persons)
            build_marts(night)
            train_towers(night)
            build_candidates(night)
            values = by_list_of(night, ((RANKER, seed, scored) for seed, scored in by_ranker(night)))
            ndcg = values.set_index(["person_id", "platform"])["ndcg_at_10"]
            value, (low, high) = float(ndcg.mean()), interval(ndcg)
            precision, recall = _pairwise(persons, truth)
            points.append((error, level, value, low, high))
            console.print(f"{error} {level:g}: precision {precision:.4f}, recall {recall:.4f}, NDCG@10 {value:.4f}")
            rows.append(
                Measured(
                    f"NDCG@10 [{low:.4f}, {high:.4f}], {error} {level:g}, mean of {len(SEEDS)} seeds",
                    value,
                    f"of {values['person_id'].nunique()} people",
                    peer=f"pairwise precision {precision:.4f}, recall {recall:.4f}",
                )
            )
    _plot(points)
    return rows


def _truth(night: Night) -> pd.DataFrame:
    """Every account of the night with its true person: platform, account_id, person."""
    known = night.read_table(identity_key(AS_OF.isoformat(), "account_persons")).to_pandas()
    truth = pd.read_parquet(night.settings.demo_path / "truth" / "accounts.parquet")
    return known[["platform", "account_id"]].merge(truth, on=["platform", "account_id"])


def _identities(
    night: Night, truth: pd.DataFrame, levels: tuple[float, ...], thresholds: tuple[float, ...]
) -> Iterator[tuple[str, float, pa.Table]]:
    for level in levels:
        yield "false merges", level, _persons(truth, _falsely_merged(truth, level))
    for level in levels[1:]:
        yield "missed links", level, _persons(truth, _missed(truth, level))
    as_of = AS_OF.isoformat()
    pairs = night.read_table(identity_key(as_of, "account_pairs"))
    accounts = truth.sort_values(["platform", "account_id"])
    records = pa.table(
        {"platform": accounts["platform"], "id": accounts["account_id"], "alone": [True] * len(accounts)}
    )
    for threshold in thresholds:
        labels = cluster(records, pairs, threshold, night.settings.max_cluster_size)
        yield "threshold", threshold, _persons(accounts, labels.to_pandas().astype(str))


def _falsely_merged(truth: pd.DataFrame, share: float) -> "pd.Series[str]":
    """A share of the people each shares a person with a stranger who has accounts on other platforms only."""
    rng = np.random.default_rng(1)
    platforms = truth.groupby("person")["platform"].agg(frozenset)
    order = platforms.iloc[rng.permutation(len(platforms))]
    wanted, waiting, strangers = round(len(order) * share / 2), [], {}
    for person, own in order.items():
        if len(strangers) == wanted:
            break
        other = next((w for w in waiting if not platforms[w] & own), None)
        if other is None:
            waiting.append(person)
        else:
            waiting.remove(other)
            strangers[person] = other
    return truth["person"].replace(strangers)


def _missed(truth: pd.DataFrame, share: float) -> "pd.Series[str]":
    """A share of the people with several accounts lose the link of one of them."""
    rng = np.random.default_rng(2)
    several = truth[truth.duplicated("person")].drop_duplicates("person")
    lost = several.sample(frac=share, random_state=np.random.RandomState(rng.integers(2**31))).index
    person = truth["person"].copy()
    person.loc[lost] = person.loc[lost] + "-lost"
    return person


def _persons(accounts: pd.DataFrame, person: "pd.Series[str]") -> pa.Table:
    """The table that linking writes: an id by the first account, so that the same identity has the same ids."""
    frame = (
        accounts[["platform", "account_id"]].assign(person=person.to_numpy()).sort_values(["platform", "account_id"])
    )
    first = frame.drop_duplicates("person").set_index("person")
    frame["person_id"] = "person_" + frame["person"].map(first["platform"] + ":" + first["account_id"])
    return pa.table({name: pa.array(frame[name], pa.string()) for name in ("platform", "account_id", "person_id")})


def _pairwise(persons: pa.Table, truth: pd.DataFrame) -> tuple[float, float]:
    both = persons.to_pandas().merge(truth, on=["platform", "account_id"])

    def pairs(*by: str) -> int:
        sizes = both.groupby(list(by)).size()
        return int((sizes * (sizes - 1) // 2).sum())

    together = pairs("person_id", "person")
    return together / max(pairs("person_id"), 1), together / max(pairs("person"), 1)


def _plot(points: list[tuple[str, float, float, float, float]]) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for error, colour in (("false merges", "#b3432b"), ("missed links", "#2f4bb3")):
        mine = [point for point in points if point[0] == error or (error == "missed links" and point[1] == 0)]
        levels, values, low, high = (
            np.array(column) for column in zip(*(point[1:] for point in sorted(mine, key=lambda p: p[1])), strict=True)
        )
        axes.fill_between(levels * 100, low, high, color=colour, alpha=0.12)
        axes.plot(levels * 100, values, color=colour, marker="o", label=error)
    axes.set(xlabel="injected errors, % of people", ylabel="NDCG@10", title="What linkage errors cost the ranking")
    axes.legend()
    axes.grid(alpha=0.3)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=130)
