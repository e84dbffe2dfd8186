"""`python -m tests.bench.ranking`: the night's ranker beside simple methods, over several nights a week apart, three seeds.

Real nights run one after the other in a home of their own. Each holds out a week; all contenders rank for the same people
and know the same history. A person's lists of all weeks and seeds count as one in the bootstrap.
"""

import os
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from rich.progress import track

from dags.steps.learn.build_marts import BUILT_WITH, build_candidates, build_marts
from dags.steps.learn.examples import examples_of, feature_spec, split
from dags.steps.learn.held_out import held_out_of
from dags.steps.learn.train import params_of
from dags.steps.learn.train_towers import train_towers
from dags.steps.night import Night
from infra.identity_store import identity_key
from infra.settings import Settings
from infra.warehouse import connect, query
from ml.evaluation.comparison import mean_interval
from ml.evaluation.contenders import FACTORISATIONS, factorised
from ml.evaluation.metrics import Lists, by_list, ranked
from ml.ranking.network.scoring import score
from ml.ranking.training import train
from tests.bench.measured import Measured, run, save

FIRST, NIGHTS, SEEDS = date(2000, 12, 1), 6, (1, 2, 3)
METRICS = {"ndcg_at_10": "NDCG@10", "recall_at_20": "Recall@20"}
RANKER = "Wide & Deep"
LIFT_EVERY = 3  # nights: it builds all marts twice more
FUSED, OWN = "fused", "own platform only"
SEVERAL, NEWCOMERS = "people on several platforms", "newcomers to a platform"
KNOWN_FROM = 5  # events elsewhere
REPLICATES = 2_000
LISTS = ["person_id", "platform"]
NEW_THERE = """
create temporary table new_there as
with first_events as (
    select person_id, min(occurred_at) as first_at from marts.interactions group by all
),
joined as (
    select snapshots.as_of, snapshots.role, person_id, interactions.platform, count(*) as events
    from marts.snapshots
    inner join first_events
        on snapshots.as_of <= first_events.first_at and first_events.first_at < snapshots.as_of + to_days($days)
    inner join marts.interactions using (person_id)
    where snapshots.role != 'scoring' and interactions.occurred_at < snapshots.as_of + to_days($days)
    group by all
),
known_elsewhere as (
    from joined qualify sum(events) over (partition by as_of, person_id) - events >= $known_from
)
select as_of, role, person_id, platform
from known_elsewhere
qualify row_number() over (partition by person_id order by md5(person_id || ':' || platform)) = 1
"""
ELSEWHERE_SOONER = """
update intermediate.int_events
set
    occurred_at = occurred_at - to_days($days),
    known_at = known_at - to_days($days),
    superseded_at = superseded_at - to_days($days)
from new_there inner join marts.person_accounts using (person_id)
where
    int_events.platform = person_accounts.platform
    and int_events.account_id = person_accounts.account_id
    and int_events.platform != new_there.platform
    and int_events.occurred_at < new_there.as_of + to_days($days)
"""
OPENED_SOONER = """
update intermediate.int_accounts
set created_at = int_accounts.created_at - to_days($days)
from new_there inner join marts.person_accounts using (person_id)
where int_accounts.platform = person_accounts.platform and int_accounts.account_id = person_accounts.account_id
"""


def by_ranker(night: Night) -> Iterator[tuple[int, pa.Table]]:
    """The held-out candidates of a night as the night's ranker scores them, by seed."""
    (learned, held_out), spec = split(examples_of(night)), feature_spec()
    for seed in SEEDS:
        model = train(learned, None, spec, replace(params_of(night), seed=seed)).model
        scores = pa.array(score(model, spec, held_out))
        yield seed, held_out.select([*LISTS, "item_id", "label"]).append_column("score", scores)


def simple_methods(night: Night) -> Iterator[tuple[str, int, pa.Table]]:
    """The lists of each method in the marts; none has chance, so their seed is 0."""
    shown = query(
        night.settings,
        "select contender, person_id, platform, item_id, score, label from marts.baseline_lists"
        " where as_of in (select as_of from marts.snapshots where role = 'evaluation') order by all",
    )
    for name in pc.unique(shown["contender"]).to_pylist():
        yield name, 0, shown.filter(pc.equal(shown["contender"], name)).drop_columns("contender")


def baselines(night: Night) -> Iterator[tuple[str, int, pa.Table]]:
    """Every simple method's scored rows of the held-out week, by seed."""
    yield from simple_methods(night)
    held_out = held_out_of(night)
    for name in FACTORISATIONS:
        for seed in SEEDS:
            yield name, seed, factorised(name, held_out, seed).scored


def by_list_of(night: Night, scored: Iterable[tuple[str, int, pa.Table]]) -> pd.DataFrame:
    """One row by list and contender, with each metric's mean over seeds."""
    lists = Lists.from_table(
        query(night.settings, "select person_id, platform, relevant from marts.evaluation_relevant order by all")
    )
    frames = []
    for name, _, rows in scored:
        values = by_list(ranked(rows, lists, name), lists)
        persons, platforms = np.asarray(lists.persons.to_pylist()), np.asarray(lists.platforms)
        frames.append(
            pd.DataFrame({metric: values[metric] for metric in METRICS}).assign(
                contender=name, person_id=persons[lists.person], platform=platforms[lists.platform], week=night.as_of
            )
        )
    return pd.concat(frames).groupby([*LISTS, "week", "contender"], as_index=False)[[*METRICS]].mean()


def candidate_recall(night: Night) -> float:
    """Share of what was taken in the held-out week that the candidates held."""
    [(share,)] = (
        query(
            night.settings,
            "select (select sum(label) from marts.training_examples"
            " where as_of in (select as_of from marts.snapshots where role = 'evaluation'))"
            " / (select sum(relevant) from marts.evaluation_relevant)",
        )
        .to_pandas()
        .itertuples(index=False)
    )
    return float(share)


def rows_of(values: pd.DataFrame) -> list[Measured]:
    """Means, and differences to the best baseline of each metric with paired intervals, overall and by platform."""
    rows = []
    simple = [name for name in values["contender"].unique() if name != RANKER]
    for metric, title in METRICS.items():
        table = values.pivot_table(index=[*LISTS, "week"], columns="contender", values=metric)
        means = table.mean().sort_values(ascending=False)
        best = means[simple].idxmax()
        people = f"of {table.index.get_level_values('person_id').nunique()} people"
        for name, mean in means.items():
            bar = 1.25 * means[best] if name == RANKER else None
            low, high = interval(table[name])
            peer = f"the best baseline, {best}, {means[best]:.4f}; goal 1.25 of it" if name == RANKER else None
            rows.append(Measured(f"{title} [{low:.4f}, {high:.4f}], {name}", mean, people, bar, peer, at_least=True))
        for platform in ("all", *sorted(set(table.index.get_level_values("platform")))):
            own = table if platform == "all" else table.xs(platform, level="platform", drop_level=False)
            low, high = interval(own[RANKER] - own[best])
            value = float((own[RANKER] - own[best]).mean())
            name = f"{title}, {RANKER} minus {best} [{low:+.4f}, {high:+.4f}], {platform}"
            rows.append(Measured(name, value, "paired", 0.0 if platform == "all" else None, at_least=True))
    return rows


def interval(values: pd.Series) -> tuple[float, float]:
    """95% percentile bootstrap of the mean over lists, in which persons are drawn with all their lists."""
    person = pd.factorize(values.index.get_level_values("person_id"))[0]
    return mean_interval(values.to_numpy(), person, replicates=REPLICATES)


# --- what other platforms' data is worth


def lift(night: Night, fused: list[tuple[int, pa.Table]], folder: Path) -> pd.DataFrame:
    """One row by list of those on several platforms: with what they did everywhere, and with each account by itself.

    Both are judged by the same week. Who has too little history on a platform to be ranked there alone gets popular items.
    """
    apart = each_account_alone(night, folder)
    cut = "as_of in (select as_of from marts.snapshots where role = 'evaluation')"
    labels, accounts, popular, wanted = (
        query(night.settings, sql).to_pandas()
        for sql in (
            "select person_id, platform, item_id, 1 as label from marts.snapshot_labels"
            f" inner join marts.item_popularity using (as_of, platform, product_id) where {cut}",
            "select platform || ':' || account_id as account, person_id as person from marts.person_accounts",
            "select person_id, platform, item_id, score from marts.baseline_lists"
            f" where contender = 'popularity_7d' and {cut}",
            "select person_id, platform from marts.evaluation_relevant where platforms = 'several'",
        )
    )
    shown = []
    for seed, scored in by_ranker(apart):
        own = scored.to_pandas().merge(accounts, left_on="person_id", right_on="account")
        own = own.assign(person_id=own["person"]).drop_duplicates([*LISTS, "item_id"])
        rest = popular.merge(own[LISTS].drop_duplicates(), how="left", indicator=True).query("_merge == 'left_only'")
        rows = pd.concat([own, rest])[[*LISTS, "item_id", "score"]].merge(labels, how="left", on=[*LISTS, "item_id"])
        rows["label"] = rows["label"].fillna(0).astype(int)
        shown.append((OWN, seed, pa.Table.from_pandas(rows, preserve_index=False)))
    shown += [(FUSED, seed, scored) for seed, scored in fused]
    return by_list_of(night, shown).merge(wanted, on=LISTS)


def each_account_alone(night: Night, folder: Path) -> Night:
    """The night in a copy of its home in which no two accounts are one person."""
    apart = copy_of(night, folder / "apart")
    key = identity_key(night.as_of.isoformat(), "account_persons")
    persons = apart.read_table(key)
    alone = pc.binary_join_element_wise(persons["platform"], persons["account_id"], ":")
    apart.write_table(key, persons.set_column(persons.column_names.index("person_id"), "person_id", alone))
    build_marts(apart)
    train_towers(apart)
    build_candidates(apart)
    return apart


def copy_of(night: Night, home: Path) -> Night:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(night.settings.home, home, ignore=shutil.ignore_patterns("logs", "mlflow", "airflow", "demo"))
    return Night(night.as_of, "bench", Settings(home=home))


def newcomers(night: Night, folder: Path) -> pd.DataFrame:
    """One row by list of those known elsewhere whose first week on a platform is the held-out one: ranked, and popular items.

    Of whom a platform knows nothing it has nothing better to show by itself than what is popular there.
    """
    staggered = copy_of(night, folder / "staggered")
    new_there = join_one_by_one(staggered.settings).to_pandas()
    staggered.lake.delete(BUILT_WITH)  # so that all cuts are built again
    build_marts(staggered)
    train_towers(staggered)
    build_candidates(staggered)
    popular = [shown for shown in simple_methods(staggered) if shown[0].startswith("popularity")]
    fused = [(FUSED, seed, scored) for seed, scored in by_ranker(staggered)]
    return by_list_of(staggered, [*popular, *fused]).merge(new_there[new_there["role"] == "evaluation"], on=LISTS)


def join_one_by_one(settings: Settings) -> pa.Table:
    """Makes newcomers: the demo's people join all their platforms at once, so hardly anybody is known when new somewhere.

    Whoever joined several platforms within the horizon of a labelled cut did so a horizon sooner on all but one of them,
    which is drawn by a hash, and did there what they did. All that they did on that one stays when it was. Returns as_of,
    role, person_id and platform of those who thereby have 5 events or more elsewhere; nobody else's past is changed.
    """
    sooner = {"days": settings.horizon_days}
    with connect(settings, read_only=False) as warehouse:
        warehouse.execute(NEW_THERE, {**sooner, "known_from": KNOWN_FROM})
        warehouse.execute(ELSEWHERE_SOONER, sooner)
        warehouse.execute(OPENED_SOONER, sooner)
        return warehouse.execute("from new_there order by all").to_arrow_table()


def lift_rows(values: pd.DataFrame, who: str) -> list[Measured]:
    """What the fused lists are worth beside the best of the others, which for each metric may be another one."""
    rows = []
    for metric, title in METRICS.items():
        table = values.pivot_table(index=[*LISTS, "week"], columns="contender", values=metric)
        own = table[table.drop(columns=FUSED).mean().idxmax()]
        (low, high), fused = interval(table[FUSED] - own), float(table[FUSED].mean())
        means = f"{fused:.4f} against {own.mean():.4f} ({own.name}), {len(table)} lists"
        name = f"{title}, fused minus {OWN} [{low:+.4f}, {high:+.4f}], {who}"
        rows.append(Measured(name, fused - float(own.mean()), "paired", 0.0, means, at_least=True))
        if who == NEWCOMERS:
            ratio = fused / float(own.mean())
            rows.append(Measured(f"{title}, fused over {OWN}, {who}", ratio, "times", 1.3, means, at_least=True))
    return rows


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=NIGHTS, help="how many nights, a week apart")
    options = parser.parse_args()
    values, lifts, arrivals, recalls = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="crossrec-ranking-") as folder:
        home = Path(folder) / "var"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
        for number in track(range(options.nights), "nights"):
            as_of = FIRST + timedelta(days=7 * number)
            command = [sys.executable, "-m", "dags.cli", "nightly", "--date", as_of.isoformat()]
            run(command, {**environment, "CROSSREC_HOME": str(home)}, Path(folder) / "night.log")
            night = Night(as_of, "bench", Settings(home=home))
            ours = list(by_ranker(night))
            values.append(by_list_of(night, [*((RANKER, seed, scored) for seed, scored in ours), *baselines(night)]))
            if number % LIFT_EVERY == LIFT_EVERY - 1:
                lifts.append(lift(night, ours, Path(folder)))
                arrivals.append(newcomers(night, Path(folder)))
            recalls.append(candidate_recall(night))
    name = f"candidate recall, mean of {options.nights} held-out weeks"
    rows = [
        Measured(name, float(np.mean(recalls)), "share"),
        *rows_of(pd.concat(values)),
        *(lift_rows(pd.concat(lifts), SEVERAL) + lift_rows(pd.concat(arrivals), NEWCOMERS) if lifts else []),
    ]
    save("bench-ranking", rows)


if __name__ == "__main__":
    main()
