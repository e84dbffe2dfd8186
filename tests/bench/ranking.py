"""`python -m tests.bench.ranking`: the night's ranker beside simple methods, over several nights a week apart, three seeds.

Real nights run one after the other in a home of their own. Each holds out a week; all contenders rank for the same people
and know the same history. A person's lists of all weeks and seeds count as one in the bootstrap.
"""

import os
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.recommender_base import RecommenderBase
from rich.progress import track

from dags.steps.night import Night
from dags.steps.train import examples_of, feature_spec, params_of
from infra.settings import Settings
from infra.warehouse import query
from ml.evaluation.metrics import Lists, by_list, ranked
from ml.ranking.training import score, train
from tests.bench.measured import Measured, run, save

FIRST, NIGHTS, SEEDS = date(2000, 12, 1), 6, (1, 2, 3)
METRICS = {"ndcg_at_10": "NDCG@10", "recall_at_20": "Recall@20"}
RANKER = "Wide & Deep"
REPLICATES = 2_000
LISTS = ["person_id", "platform"]
PEERS = {
    "ALS (implicit)": lambda seed: AlternatingLeastSquares(64, regularization=0.05, iterations=15, random_state=seed),
    "BPR (implicit)": lambda seed: BayesianPersonalizedRanking(
        64, learning_rate=0.05, iterations=100, random_state=seed
    ),
}


def contenders(night: Night) -> Iterator[tuple[str, int, pa.Table]]:
    """Every contender's scored rows of the held-out week, by seed; a method without chance has seed 0."""
    examples, spec = examples_of(night), feature_spec()
    newest = pc.max(examples["as_of"])
    learned, held_out = (
        examples.filter(pc.less(examples["as_of"], newest)),
        examples.filter(pc.equal(examples["as_of"], newest)),
    )
    columns = [*LISTS, "item_id", "label"]
    for seed in SEEDS:
        for name, loss in ((RANKER, "listwise"), (f"{RANKER}, log loss alone", "log_loss")):
            model = train(learned, None, spec, replace(params_of(night), seed=seed, loss=loss)).model
            yield name, seed, held_out.select(columns).append_column("score", pa.array(score(model, spec, held_out)))
    baselines = query(
        night.settings,
        "select contender, person_id, platform, item_id, score, label from marts.baseline_lists"
        " where as_of in (select as_of from marts.snapshots where role = 'evaluation') order by all",
    )
    for name in pc.unique(baselines["contender"]).to_pylist():
        yield name, 0, baselines.filter(pc.equal(baselines["contender"], name)).drop_columns("contender")
    for name, make in PEERS.items():
        for seed in SEEDS:
            yield name, seed, factorised(night, make(seed))


def factorised(night: Night, model: RecommenderBase) -> pa.Table:
    """The 20 best of each list by a factorisation of what everybody had taken: whole catalogue, nothing taken before."""
    cut = "as_of in (select as_of from marts.snapshots where role = 'evaluation')"
    takes, wanted, items, labels = (
        query(night.settings, sql).to_pandas()
        for sql in (
            f"select person_id, product_id from marts.person_takes where {cut} order by all",
            "select person_id, platform from marts.evaluation_relevant order by all",
            "select platform, product_id, min(item_id) as item_id from marts.item_popularity"
            f" where is_available and {cut} group by all order by all",
            f"select person_id, platform, product_id from marts.snapshot_labels where {cut}",
        )
    )
    persons, products = takes["person_id"].astype("category"), takes["product_id"].astype("category")
    taken = sp.csr_matrix(
        (np.ones(len(takes), np.float32), (persons.cat.codes, products.cat.codes)),
        shape=(len(persons.cat.categories), len(products.cat.categories)),
    )
    model.fit(taken, show_progress=False)
    found = []
    for platform, own in wanted.groupby("platform"):
        offered = items[items["platform"] == platform]
        offered = offered.assign(code=products.cat.categories.get_indexer(offered["product_id"])).query("code >= 0")
        users = persons.cat.categories.get_indexer(own["person_id"])
        codes, scores = model.recommend(
            users, taken[users], N=20, filter_already_liked_items=True, items=np.sort(offered["code"].to_numpy())
        )
        rows = pd.DataFrame(
            {
                "person_id": np.repeat(own["person_id"].to_numpy(), codes.shape[1]),
                "platform": platform,
                "code": codes.ravel(),
                "score": scores.ravel().astype(float),
            }
        )
        found.append(rows[rows["score"] > -1e30].merge(offered[["code", "item_id", "product_id"]], on="code"))
    listed = pd.concat(found).merge(labels.assign(label=1), how="left", on=[*LISTS, "product_id"])
    listed["label"] = listed["label"].fillna(0).astype(int)
    return pa.Table.from_pandas(listed[[*LISTS, "item_id", "score", "label"]], preserve_index=False)


def judged(night: Night) -> tuple[pd.DataFrame, float]:
    """One row by list, contender and metric (the mean over seeds); and the share of what was taken among the candidates."""
    relevant = query(night.settings, "select person_id, platform, relevant from marts.evaluation_relevant order by all")
    lists = Lists.from_table(relevant)
    frames = []
    for name, seed, scored in contenders(night):
        values = by_list(ranked(scored, lists, name), lists)
        frames.append(
            pd.DataFrame({metric: values[metric] for metric in METRICS}).assign(
                contender=name,
                seed=seed,
                person_id=np.asarray(lists.persons.to_pylist())[lists.person],
                platform=np.asarray(lists.platforms)[lists.platform],
                week=night.as_of,
            )
        )
        if name == RANKER:
            retrieved = pc.sum(scored["label"]).as_py() / pc.sum(relevant["relevant"]).as_py()
    every = pd.concat(frames)
    return every.groupby([*LISTS, "week", "contender"], as_index=False)[[*METRICS]].mean(), retrieved


def rows_of(values: pd.DataFrame) -> list[Measured]:
    """Means, and differences to the best baseline of each metric with paired intervals, overall and by platform."""
    rows = []
    baselines = [name for name in values["contender"].unique() if not name.startswith(RANKER)]
    for metric, title in METRICS.items():
        table = values.pivot_table(index=[*LISTS, "week"], columns="contender", values=metric)
        means = table.mean().sort_values(ascending=False)
        best = means[baselines].idxmax()
        people = f"of {table.index.get_level_values('person_id').nunique()} people"
        for name, mean in means.items():
            bar = 1.25 * means[best] if name == RANKER else None
            low, high = interval(table, table[name])
            peer = f"the best baseline, {best}, {means[best]:.4f}; goal 1.25 of it" if name == RANKER else None
            rows.append(Measured(f"{title} [{low:.4f}, {high:.4f}], {name}", mean, people, bar, peer, at_least=True))
        for platform in ("all", *sorted(set(table.index.get_level_values("platform")))):
            own = table if platform == "all" else table.xs(platform, level="platform", drop_level=False)
            low, high = interval(own, own[RANKER] - own[best])
            value = float((own[RANKER] - own[best]).mean())
            name = f"{title}, {RANKER} minus {best} [{low:+.4f}, {high:+.4f}], {platform}"
            rows.append(Measured(name, value, "paired", 0.0 if platform == "all" else None, at_least=True))
    return rows


def interval(table: pd.DataFrame, values: pd.Series) -> tuple[float, float]:
    """95% percentile bootstrap of the mean over lists, in which persons are drawn with all their lists."""
    person = pd.factorize(table.index.get_level_values("person_id"))[0]
    sums, counts = np.bincount(person, values), np.bincount(person)
    drawn = np.random.default_rng(0).integers(len(sums), size=(REPLICATES, len(sums)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=NIGHTS, help="how many nights, a week apart")
    options = parser.parse_args()
    values, recalls = [], []
    with tempfile.TemporaryDirectory(prefix="crossrec-ranking-") as folder:
        home = Path(folder) / "var"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
        for number in track(range(options.nights), "nights"):
            as_of = FIRST + timedelta(days=7 * number)
            command = [sys.executable, "-m", "dags.cli", "nightly", "--date", as_of.isoformat()]
            run(command, {**environment, "CROSSREC_HOME": str(home)}, Path(folder) / "night.log")
            found, recall = judged(Night(as_of, "bench", Settings(home=home)))
            values.append(found)
            recalls.append(recall)
    name = f"candidate recall, mean of {options.nights} held-out weeks"
    rows = [Measured(name, float(np.mean(recalls)), "share"), *rows_of(pd.concat(values))]
    save("bench-ranking", rows)


if __name__ == "__main__":
    main()
