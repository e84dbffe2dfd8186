"""Fellegi-Sunter linkage by Splink: how well two records agree, in bits, and how many bits each comparison adds or takes off.

Records are Arrow tables with ``platform`` and ``id`` (string), the columns that a :class:`LinkageSpec` compares, and
``alone`` (bool: no other record of the same platform may be the same). Training is apart from scoring. A trained model holds
everything that a score depends on, except the two records: match weights and the frequencies of terms. So a pair of two
unchanged records keeps its score, whatever else a night brings.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:  # Splink takes a second to import
    from splink import Linker
    from splink.internals.comparison_creator import ComparisonCreator

FLOOR = -10.0  # bits; a pair that agrees less is not kept
MAX_BLOCK = 250  # a key that more records share tells little, and most pairs would come from such keys
ENOUGH_MATCHES = 100  # of fewer, expectation maximisation learns coincidences
TRAINING_PAIRS = 1_000_000
UNCOMPARED = ("platform", "id", "alone", "changed", "fingerprint")
PAIR_KEYS = ("platform_l", "id_l", "platform_r", "id_r")


@dataclass(frozen=True)
class Shared:
    """Comparisons that are not independent: a family agrees in its address and its name at once.

    Where nothing else is known, such a pair is the same with a probability of at most ``precision``, however many of these
    comparisons agree. Without a precision they tell no more than the strongest of them.
    """

    comparisons: "Sequence[str | Shared]"
    precision: float | None = None

    @property
    def names(self) -> list[str]:
        return [name for part in self.comparisons for name in ([part] if isinstance(part, str) else part.names)]

    def sql(self, prior: float) -> str:
        """SQL over columns of evidence: the bits in favour that count; ``prior`` is a probability."""
        parts = [f"greatest({part}, 0)" if isinstance(part, str) else part.sql(prior) for part in self.comparisons]
        if self.precision is None:
            return f"greatest({', '.join(parts)})"
        return f"least({' + '.join(parts)}, {bits(self.precision) - bits(prior)})"


@dataclass(frozen=True)
class LinkageSpec:
    """What records of one kind are compared by.

    ``certain`` maps a column to the share of pairs that are the same where this column is equal and nothing else is known.
    ``blocks`` are SQL expressions over a record's columns: two records that are equal in one of them are compared.
    ``anchors`` are the blocks whose pairs are nearly always the same; they find ``anchor_recall`` of all such pairs.
    ``shared`` limits what comparisons that are not independent may tell together. The bits beyond that limit are subtracted
    in the evidence ``shared_excess``.
    """

    name: str
    comparisons: "Callable[[], list[ComparisonCreator]]"
    certain: Mapping[str, float]
    blocks: Sequence[str]
    anchors: Sequence[str]
    anchor_recall: float
    term_frequencies: Sequence[str]
    shared: "Shared | None" = None
    shared_excess: str = ""

    @property
    def compared(self) -> list[str]:
        """Names of the comparisons, which are the columns of evidence in a table of pairs."""
        return [comparison.create_output_column_name() or "" for comparison in self.comparisons()]


@dataclass(frozen=True)
class LinkageModel:
    """Trained weights (Splink's own JSON), and how frequent each term was: by column, ``value`` and ``frequency``."""

    settings: dict[str, Any]
    frequencies: dict[str, pa.Table]

    @property
    def prior(self) -> float:
        """Share of all pairs that are the same."""
        return float(self.settings["probability_two_random_records_match"])

    def to_json(self) -> str:
        return json.dumps(self.settings, indent=1, sort_keys=True)


def bits(probability: float) -> float:
    """Log odds to base 2."""
    return math.log2(probability / (1 - probability))


@contextmanager
def _database(records: pa.Table, threads: int, memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": threads, "memory_limit": memory_limit}) as connection:
        key = pc.binary_join_element_wise(records["platform"], records["id"], "\0")
        if not pc.all(pc.less(key[:-1], key[1:])).as_py() and records.num_rows > 1:
            records = records.take(pc.sort_indices(records, [("platform", "ascending"), ("id", "ascending")]))
        records = records.append_column("uid", pa.array(np.arange(records.num_rows)))
        connection.register("arrow_records", records)
        connection.execute("create table records as from arrow_records")
        yield connection


def _linker(connection: duckdb.DuckDBPyConnection, settings: Any, table: str) -> "Linker":
    from splink import Linker
    from splink.backends.duckdb import DuckDBAPI

    return Linker(DuckDBAPI(connection=connection).register(table), settings, log_level="ERROR")


def train(records: pa.Table, spec: LinkageSpec, seed: int, memory_limit: str = "2GB") -> LinkageModel:
    """Learn how much each agreement tells: u from random pairs, m by expectation maximisation from anchored pairs.

    Where fewer than ENOUGH_MATCHES pairs agree in an anchor, the m probabilities stay those that ``spec`` declares.
    One thread and rounded parameters, so that the same records give the same model.
    """
    from splink import block_on

    with _database(records, 1, memory_limit) as connection:
        linker = _untrained(connection, spec, records.num_rows)
        if records.num_rows > 1:
            linker.training.estimate_u_using_random_sampling(max_pairs=TRAINING_PAIRS, seed=seed)
        for anchor in spec.anchors:
            if _anchored_pairs(connection, [anchor]) >= ENOUGH_MATCHES:
                linker.training.estimate_parameters_using_expectation_maximisation(
                    block_on(anchor), max_pairs=TRAINING_PAIRS
                )
        settings = _with_certainty(linker.misc.save_model_to_json(), spec)
        frequencies = {column: _frequencies(connection, column) for column in spec.term_frequencies}
    return LinkageModel(settings, frequencies)


def declared(records: pa.Table, spec: LinkageSpec) -> LinkageModel:
    """The model as ``spec`` declares it, with nothing learned but how rare a match is."""
    with _database(records, 1, "1GB") as connection:
        linker = _untrained(connection, spec, records.num_rows)
        return LinkageModel(_with_certainty(linker.misc.save_model_to_json(), spec), {})


def _untrained(connection: duckdb.DuckDBPyConnection, spec: LinkageSpec, count: int) -> "Linker":
    """A linker of the ``count`` records that knows how rare a match is, by the pairs that agree in an anchor."""
    matches = _anchored_pairs(connection, spec.anchors)
    prior = max(matches / spec.anchor_recall, 1.0) / max(count * (count - 1) / 2, 1.0)
    return _linker(connection, _settings(connection, spec, min(prior, 0.5)), "records")


def _settings(connection: duckdb.DuckDBPyConnection, spec: LinkageSpec, prior: float) -> Any:
    from splink import SettingsCreator

    columns = [name for (name, *_) in connection.execute("describe records").fetchall()]
    # a certain column tells the same whatever is learned, and its first value may arrive after the training
    empty = [
        name
        for name in spec.compared
        if name in columns
        and name not in spec.certain
        and not _scalar(connection, f"select count({name}) from records")
    ]
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="uid",
        probability_two_random_records_match=prior,
        comparisons=[
            comparison for comparison in spec.comparisons() if comparison.create_output_column_name() not in empty
        ],
        blocking_rules_to_generate_predictions=[],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=True,
        linker_uid=spec.name,
    )


def _anchored_pairs(connection: duckdb.DuckDBPyConnection, anchors: Sequence[str]) -> int:
    """Pairs that agree in one of the anchors, each counted once."""
    _write_keys(connection, anchors)
    return _scalar(connection, f"select count(*) from ({_pairs_sql(all_pairs=True)})")


def _scalar(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    [(value,)] = connection.execute(sql).fetchall()
    return int(value)


def _frequencies(connection: duckdb.DuckDBPyConnection, column: str) -> pa.Table:
    return connection.execute(
        f"select {column} as value, count(*) / sum(count(*)) over () as frequency"
        f" from records where {column} is not null group by all order by value"
    ).to_arrow_table()


def _with_certainty(settings: dict[str, Any], spec: LinkageSpec) -> dict[str, Any]:
    """The settings with rounded parameters. An equal certain column is worth its declared share, whatever the prior is."""
    prior = settings["probability_two_random_records_match"]
    for comparison in settings["comparisons"]:
        precision = spec.certain.get(comparison["output_column_name"])
        for level in comparison["comparison_levels"]:
            if precision is not None and level.get("label_for_charts") == "equal":
                level["u_probability"] = level["m_probability"] * 2 ** (bits(prior) - bits(precision))
            if level.get("is_null_level"):
                continue
            for parameter in ("m_probability", "u_probability"):
                # what no pair showed is rare
                value = level[parameter] if isinstance(level.get(parameter), float) else 1e-4
                level[parameter] = float(f"{min(max(value, 1e-12), 1.0):.6g}")
    return settings


def score(
    records: pa.Table,
    spec: LinkageSpec,
    model: LinkageModel,
    changed: pa.Array | None = None,
    threads: int = 2,
    memory_limit: str = "2GB",
) -> pa.Table:
    """Compare records that agree in a block of ``spec``, and keep the pairs of at least FLOOR bits.

    With ``changed`` (bool, one a record) only pairs with a changed record are compared: the others keep their scores.

    Returns ``platform_l, id_l, platform_r, id_r`` (l before r), ``match_weight`` (bits, prior included), ``score``
    (probability), and one column of bits for each comparison; sorted by the ids.
    """
    if changed is not None:
        records = records.append_column("changed", changed)
    with _database(records, threads, memory_limit) as connection:
        _write_keys(connection, spec.blocks, changed is not None)
        connection.execute(f"create table pairs as {_pairs_sql(all_pairs=changed is None)}")
        return _scored(connection, spec, model)


def score_pair(records: pa.Table, spec: LinkageSpec, model: LinkageModel) -> pa.Table:
    """The pair of exactly two records, compared whether or not they agree in a block, however little they agree."""
    with _database(records, 1, "1GB") as connection:
        connection.execute(
            "create table pairs as select '0' as match_key, cast(0 as bigint) as join_key_l, cast(1 as bigint) as join_key_r"
        )
        return _scored(connection, spec, model, floor=None)


def _write_keys(connection: duckdb.DuckDBPyConnection, blocks: Sequence[str], changed: bool = False) -> None:
    """Each record's block keys as 64-bit hashes: a rare collision costs one needless comparison.

    With ``changed``, only the keys of records that have changed, and all records that have them.
    """
    each = ", ".join(
        f"case when {block} is not null then hash({number}, {block}) end as key_{number}"
        for number, block in enumerate(blocks)
    )
    connection.execute(
        f"create or replace temp table hashed as"
        f" select uid, platform, alone, {'changed' if changed else 'true'} as changed, {each} from records"
    )
    branches = []
    for number in range(len(blocks)):
        wanted = f"select key_{number} from hashed where changed and key_{number} is not null"
        known = f"key_{number} in ({wanted})" if changed else f"key_{number} is not null"
        branches.append(f"select uid, platform, alone, changed, key_{number} as key from hashed where {known}")
    connection.execute(
        f"create or replace table keys as from ({' union all '.join(branches)})"
        f" qualify count(*) over (partition by key) between 2 and {MAX_BLOCK}"
    )
    connection.execute("drop table hashed")


def _pairs_sql(all_pairs: bool) -> str:
    changed = "" if all_pairs else "where changed"
    both = "l.uid < r.uid" if all_pairs else "(l.uid < r.uid or (l.uid > r.uid and not r.changed))"
    return (
        "select distinct '0' as match_key, least(l.uid, r.uid) as join_key_l, greatest(l.uid, r.uid) as join_key_r"
        f" from (from keys {changed}) as l inner join keys as r on l.key = r.key and {both}"
        " where not (l.alone and r.alone and l.platform = r.platform)"
    )


def _scored(
    connection: duckdb.DuckDBPyConnection, spec: LinkageSpec, model: LinkageModel, floor: float | None = FLOOR
) -> pa.Table:
    joins, columns = [], []
    for column, table in model.frequencies.items():
        rarest = pc.min(table["frequency"]).as_py()
        connection.register(f"frequency_of_{column}", table)
        joins.append(f"left join frequency_of_{column} on paired.{column} = frequency_of_{column}.value")
        # a term that training never saw is as rare as the rarest it saw
        columns.append(
            f"case when {column} is not null then coalesce(frequency_of_{column}.frequency, {rarest or 1.0}) end"
            f" as tf_{column}"
        )
    for name, *_ in connection.execute("describe records").fetchall():
        if name in spec.certain:  # a long token is only ever equal or not, which a number is faster
            columns.append(f"case when {name} is not null then hash({name}) end as {name}")
        elif name not in UNCOMPARED:
            columns.append(name)
    # materialised: the planner would look up the frequencies of all records first
    connection.execute(
        "create table comparable as with paired as materialized (from records"
        " where uid in (select join_key_l from pairs union all select join_key_r from pairs))"
        f" select {', '.join(columns)} from paired {' '.join(joins)}"
    )
    linker = _linker(connection, model.settings, "comparable")
    linker.table_management.register_blocked_pairs_for_predict(linker._db_api.register("pairs"))
    predicted = linker.inference.predict(threshold_match_weight=floor, warning_mode="never")
    trained = {comparison["output_column_name"] for comparison in model.settings["comparisons"]}
    evidence = {
        name: f"mw_{name}{f' + mw_tf_adj_{name}' if name in model.frequencies else ''}" if name in trained else "0e0"
        for name in spec.compared
    }
    excess = "0e0"
    if spec.shared:
        in_favour = " + ".join(f"greatest({name}, 0)" for name in spec.shared.names)
        excess = f"{in_favour} - {spec.shared.sql(model.prior)}"
    return connection.execute(
        f"""
        with compared as (
            select uid_l, uid_r, match_weight, {", ".join(f"{value} as {name}" for name, value in evidence.items())}
            from {predicted.physical_name}
        ),
        bounded as (
            select *, {excess} as excess from compared
        )
        select
            l.platform as platform_l, l.id as id_l, r.platform as platform_r, r.id as id_r,
            round(match_weight - excess, 4) as match_weight,
            round(1 / (1 + pow(2, excess - match_weight)), 9) as score,
            {", ".join(f"round(bounded.{name}{' - excess' if name == spec.shared_excess else ''}, 4) as {name}" for name in evidence)}
        from bounded
        inner join records as l on bounded.uid_l = l.uid
        inner join records as r on bounded.uid_r = r.uid
        {"" if floor is None else f"where match_weight - excess >= {floor}"}
        order by all
        """
    ).to_arrow_table()
