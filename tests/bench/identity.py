"""`python -m tests.bench.identity`: how well, how fast and in how much memory accounts become pairs of one person.

`--accounts 20000 --night 20000` is a quick look. Recall counts every pair of accounts that are one person, whether or not
they were ever compared; a pair of more than no bits counts as linked.
"""

import json
import os
import sys
import tempfile
import time
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.demo.sources import load_febrl
from ml.identity import linkage
from ml.identity.linkage import PAIR_KEYS, score, train
from ml.identity.people import PEOPLE
from tests.bench.linkage_price import price
from tests.bench.measured import Measured, run, save
from tests.bench.people import People, demo_people, febrl, generated

SIZES, NIGHT, STRANGERS = (100_000, 300_000, 1_000_000), 1_000_000, 20_000
NEW = 0.05  # of the accounts are new in a night
SEED, THREADS, MEMORY = 1, 2, "6GB"
SORTED = [(key, "ascending") for key in PAIR_KEYS]
T = TypeVar("T")


class Quality(NamedTuple):
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / (self.precision + self.recall)


class Cost(NamedTuple):
    wall: float
    cpu: float


def timed(work: Callable[[], T]) -> tuple[T, Cost]:
    """The result, and the seconds it took by the clock and of all cores."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Cost(time.perf_counter() - wall, time.process_time() - cpu)


def quality(accounts: pa.Table, pairs: pa.Table) -> Quality:
    """Pairwise precision and recall of ``pairs`` (PAIR_KEYS) against the ``person`` of the accounts."""
    with duckdb.connect() as connection:
        connection.register("accounts", accounts)
        connection.register("pairs", pairs)
        [(both, linked, true)] = connection.execute(
            """
            select
                count(*) filter (l.person = r.person),
                count(*),
                (select sum(n * (n - 1) / 2) from (select count(*) as n from accounts group by person))
            from pairs
            inner join accounts as l on platform_l = l.platform and id_l = l.id
            inner join accounts as r on platform_r = r.platform and id_r = r.id
            """
        ).fetchall()
    return Quality(both / linked, both / true)


def links(pairs: pa.Table) -> pa.Table:
    return pairs.filter(pc.greater(pairs["match_weight"], 0))


def stock(dataset: str) -> tuple[Quality, Quality]:
    """Splink's stock comparisons as its own FEBRL examples use them, less the social security number.

    Returns the quality at no bits, and at the number of bits that the truth would choose.
    """
    import splink.comparison_library as cl
    from splink import Linker, SettingsCreator, block_on
    from splink.backends.duckdb import DuckDBAPI

    rows = load_febrl().query("source == @dataset")
    files = [rows[rows["copy"] == 0], rows[rows["copy"] > 0]] if dataset == "dataset4" else [rows]
    blocks = {
        "dataset3": [block_on(name) for name in ("given_name", "surname", "date_of_birth", "postcode")],
        "dataset4": [
            block_on("given_name", "surname"),
            "l.given_name = r.surname and l.surname = r.given_name",
            block_on("date_of_birth"),
            block_on("state", "address_1"),
            block_on("street_number", "address_1"),
            block_on("postcode"),
        ],
    }
    settings = SettingsCreator(
        link_type="link_only" if len(files) > 1 else "dedupe_only",
        unique_id_column_name="rec_id",
        blocking_rules_to_generate_predictions=blocks[dataset],
        comparisons=[
            cl.NameComparison("given_name").configure(term_frequency_adjustments=True),
            cl.NameComparison("surname").configure(term_frequency_adjustments=True),
            cl.DateOfBirthComparison(
                "date_of_birth", input_is_string=True, datetime_format="%Y%m%d", invalid_dates_as_null=True
            ),
            cl.ExactMatch("street_number").configure(term_frequency_adjustments=True),
            cl.DamerauLevenshteinAtThresholds("postcode", [1, 2]).configure(term_frequency_adjustments=True),
        ],
    )
    api = DuckDBAPI()
    columns = ["rec_id", "given_name", "surname", "date_of_birth", "street_number", "address_1", "postcode", "state"]
    tables = [api.register(pa.Table.from_pandas(file[columns], preserve_index=False)) for file in files]
    linker = Linker(tables, settings, log_level="ERROR")
    training = linker.training
    training.estimate_probability_two_random_records_match(
        [block_on("given_name", "surname", "date_of_birth")], recall=0.6
    )
    training.estimate_u_using_random_sampling(max_pairs=1e6, seed=SEED)
    for anchor in ("date_of_birth", "postcode"):
        training.estimate_parameters_using_expectation_maximisation(block_on(anchor))
    person = rows.set_index("rec_id")["human"]
    found = linker.inference.predict().as_pandas_dataframe().sort_values("match_weight", ascending=False)
    same = found["rec_id_l"].map(person).to_numpy() == found["rec_id_r"].map(person).to_numpy()
    sizes = person.value_counts()
    true = (sizes * (sizes - 1)).sum() / 2
    both, linked = np.cumsum(same), np.arange(1, len(same) + 1)
    best = int(np.argmax(2 * both / (linked + true)))
    return tuple(
        Quality(both[at] / linked[at], both[at] / true) for at in (int((found["match_weight"] > 0).sum()) - 1, best)
    )


def febrl_rows() -> list[Measured]:
    rows = []
    for dataset, bar in (("dataset4", 0.99), ("dataset3", 0.97)):
        people = febrl(dataset)
        records = people.records(alone=dataset == "dataset4")
        ours = quality(people.accounts, links(score(records, PEOPLE, train(records, PEOPLE, SEED))))
        peer, best = stock(dataset)
        name = f"FEBRL{dataset[-1]} without social security number, pairwise"
        against = f"Splink's stock comparisons {peer.f1:.4f}, at its best threshold {best.f1:.4f}"
        rows += [
            Measured(f"{name} F1", ours.f1, "share", bar, against, at_least=True),
            Measured(f"{name} precision", ours.precision, "share", peer=f"Splink's stock {peer.precision:.4f}"),
            Measured(f"{name} recall", ours.recall, "share", peer=f"Splink's stock {peer.recall:.4f}"),
        ]
    return rows


def stranger_rows() -> list[Measured]:
    """Two platforms without one common person: every account in a linked pair is a mistake."""
    strangers, known = generated(STRANGERS, SEED, strangers=True).records(), demo_people(SEED).records()
    rows = []
    for trained_on, records in (("themselves", strangers), ("the demo's people", known)):
        pairs = links(score(strangers, PEOPLE, train(records, PEOPLE, SEED)))
        merged = {
            *zip(pairs["platform_l"], pairs["id_l"], strict=True),
            *zip(pairs["platform_r"], pairs["id_r"], strict=True),
        }
        name = f"strangers of two platforms merged, of {strangers.num_rows:,} accounts, trained on {trained_on}"
        rows.append(Measured(name, len(merged) / strangers.num_rows, "share", 0.001))
    return rows


def link(folder: Path) -> None:
    """In a process of its own, whose memory is measured: records, a model and pairs of the people in ``folder``."""
    people = People(*(pq.read_table(folder / f"{name}.parquet") for name in People._fields))
    records, of_records = timed(people.records)
    model, of_train = timed(lambda: train(records, PEOPLE, SEED, MEMORY))
    pairs, of_score = timed(lambda: score(records, PEOPLE, model, threads=THREADS, memory_limit=MEMORY))
    pq.write_table(records, folder / "records.parquet")
    pq.write_table(pairs, folder / "pairs.parquet")
    costs = {"records": of_records, "train": of_train, "score": of_score}
    (folder / "costs.json").write_text(json.dumps(costs))


def size_rows(accounts: int, by_rule: bool) -> list[Measured]:
    people, largest = generated(accounts, SEED), accounts >= max(SIZES)
    with tempfile.TemporaryDirectory(prefix="crossrec-bench-") as name:
        folder = Path(name)
        for part, table in people._asdict().items():
            pq.write_table(table, folder / f"{part}.parquet")
        child = run([sys.executable, "-m", "tests.bench.identity", "--link", name], dict(os.environ), folder / "log")
        costs = {step: Cost(*cost) for step, cost in json.loads((folder / "costs.json").read_text()).items()}
        found = quality(people.accounts, links(pq.read_table(folder / "pairs.parquet")))
        records = pq.read_table(folder / "records.parquet")
    rules = blocking(people.accounts, records)
    candidates, blocked = rules.pop("")[:2]
    name = f"{people.accounts.num_rows:,} accounts of generated people"
    total = Cost(*(sum(seconds) for seconds in zip(*costs.values(), strict=True)))
    steps = ", ".join(f"{step} {cost.wall:.0f} s ({cost.cpu:.0f} of CPU)" for step, cost in costs.items())
    rows = [
        Measured(f"{name}: records, training and scoring", total.wall, "s", 300 if largest else None, steps),
        Measured(f"{name}: all of it, CPU time", total.cpu, "s", peer=f"{THREADS} threads"),
        Measured(
            f"{name}: peak memory", child.peak_gigabytes, "GB", 8 if largest else None, f"DuckDB's limit {MEMORY}"
        ),
        Measured(
            f"{name}: candidate pairs", candidates, "pairs", peer=f"blocking finds {blocked:.4f} of the true ones"
        ),
        Measured(f"{name}: pairwise precision", found.precision, "share"),
        Measured(f"{name}: pairwise recall", found.recall, "share"),
    ]
    if by_rule:
        rows += [
            Measured(
                f"{name}: true pairs under {rule}",
                recall,
                "share",
                peer=f"{pairs:,} pairs; {alone} true ones by no other",
            )
            for rule, (pairs, recall, alone) in rules.items()
        ]
    return rows


def blocking(accounts: pa.Table, records: pa.Table) -> dict[str, tuple[int, float, int]]:
    """By blocking rule (under "" for all): candidate pairs, share of the true ones, true ones that no other rule finds."""
    with linkage._database(records, THREADS, MEMORY) as connection:
        connection.register("accounts", accounts)
        connection.execute(
            "create table person as select uid, person from records inner join accounts using (platform, id)"
        )
        connection.execute("create table candidates (rule integer, l bigint, r bigint)")
        for rule, block in enumerate(PEOPLE.blocks):
            linkage._write_keys(connection, [block])
            connection.execute(
                f"insert into candidates select {rule}, join_key_l, join_key_r from ({linkage._pairs_sql(all_pairs=True)})"
            )
        counted = connection.execute(
            """
            with pairs as (
                select l, r, count(*) as rules, any_value(rule) as only_rule from candidates group by all
            ),
            true_pairs as (
                select pairs.* from pairs
                inner join person as one on l = one.uid
                inner join person as other on r = other.uid and one.person = other.person
            )
            select -1 as rule, (select count(*) from pairs), (select count(*) from true_pairs), 0
            union all
            select
                rule,
                count(*),
                count(true_pairs.l),
                count(*) filter (true_pairs.rules = 1)
            from candidates left join true_pairs using (l, r)
            group by rule
            order by rule
            """
        ).fetchall()
        [(true,)] = connection.execute(
            "select sum(n * (n - 1) / 2) from (select count(*) as n from accounts group by person)"
        ).fetchall()
    names = ["", *PEOPLE.blocks]
    return {names[rule + 1]: (pairs, found / true, alone) for rule, pairs, found, alone in counted}


def night_rows(accounts: int) -> list[Measured]:
    """A night with some new accounts: pairs carried from the night before and those of the new ones, against all anew."""
    records = generated(accounts, SEED).records()
    new = np.random.default_rng(SEED).random(records.num_rows) < NEW
    model = train(records.filter(pa.array(~new)), PEOPLE, SEED, MEMORY)
    carried = score(records.filter(pa.array(~new)), PEOPLE, model, threads=THREADS, memory_limit=MEMORY)
    added, cost = timed(
        lambda: score(records, PEOPLE, model, changed=pa.array(new), threads=THREADS, memory_limit=MEMORY)
    )
    anew, full = timed(lambda: score(records, PEOPLE, model, threads=THREADS, memory_limit=MEMORY))
    together = pa.concat_tables([carried, added]).sort_by(SORTED)
    rows = [{tuple(row.values()) for row in table.to_pylist()} for table in (together, anew)]
    name = f"{records.num_rows:,} accounts, {NEW:.0%} new"
    return [
        Measured(
            f"{name}: seconds of CPU to score, of those for scoring all anew",
            cost.cpu / full.cpu,
            "share",
            0.2,
            f"{cost.wall:.1f} s ({cost.cpu:.1f} of CPU) against {full.wall:.1f} s ({full.cpu:.1f})",
        ),
        Measured(f"{name}: pairs that differ from all anew", len(rows[0] ^ rows[1]), f"of {anew.num_rows:,} pairs"),
    ]


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, nargs="*", default=SIZES, help="sizes of the generated people")
    parser.add_argument("--night", type=int, default=NIGHT, help="size of the night with new accounts")
    parser.add_argument("--without-price", action="store_true", help="leave out what linkage errors cost the ranking")
    parser.add_argument("--link", type=Path, help=SUPPRESS)
    options = parser.parse_args()
    if options.link:
        link(options.link)
        return
    rows = febrl_rows() + stranger_rows() + night_rows(options.night)
    for size in options.accounts:
        rows += size_rows(size, by_rule=size == max(options.accounts))
    if not options.without_price:
        rows += price()
    save("bench-identity", rows)


if __name__ == "__main__":
    main()
