"""Every gate, seen stopping the night: the real steps on a home in which one thing is broken."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dags.steps.learn.check_interactions import check_interactions
from dags.steps.learn.check_leakage import check_leakage
from dags.steps.learn.check_promotion import check_promotion
from dags.steps.learn.check_training_data import check_training_data
from dags.steps.learn.choose_serving_model import choose_serving_model
from dags.steps.learn.evaluate import evaluate
from dags.steps.learn.examples import examples_of
from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.check_reconciliation import check_reconciliation
from dags.steps.night import Night
from dags.steps.records import LeakageCheck, ServingModel
from dags.steps.serve.assemble_lists import assemble_lists
from dags.steps.serve.check_features import check_features
from dags.steps.serve.check_lists import check_lists
from dags.steps.serve.check_recommendations import check_recommendations
from dags.steps.serve.score import score
from expectations.gate import GateResult, GateStopped
from infra.mlflow.records import LoggedData
from infra.mlflow.registry import Registry
from infra.warehouse import DBT_PROJECT, run_dbt
from tests.e2e.conftest import FIRST, SECOND, NightOf, settings_of

pytestmark = pytest.mark.usefixtures("nothing_published")


def change(night: Night, sql: str) -> None:
    with duckdb.connect(str(night.settings.warehouse_path)) as connection:
        connection.execute(sql)


def stopped(night: Night, gate: str, step: Callable[[], None]) -> str:
    """The message with which the step stops. The gate's record has the same verdict."""
    with pytest.raises(GateStopped) as error:
        step()
    assert night.read(GateResult, gate).verdict == "stop"
    message = str(error.value)
    assert "what was published before stays up" in message
    assert "Do: " in message
    return message


def test_sources_without_keys_stop(night_of: NightOf) -> None:
    night = night_of(FIRST)
    [load] = night.loads("shop", "order_lines")
    file = Path(night.lake.uri(load.files[0].key))
    table = pq.read_table(file)
    half = pa.array([None if row % 2 else key for row, key in enumerate(table["line_id"].to_pylist())], pa.string())
    pq.write_table(table.set_column(table.schema.get_field_index("line_id"), "line_id", half), file)

    message = stopped(night, "loads-shop", lambda: check_loads(night, "shop"))
    assert "platform 'shop'" in message
    assert "order_lines (50.0%)" in message


def test_a_source_whose_column_changed_its_type_is_held(night_of: NightOf) -> None:
    """The night was staged before: its rows leave staging, and the raw rows still add up to the staged ones."""
    night = night_of(SECOND)
    key = f"raw/platform=stream/table=watch_log/load_date={SECOND}/_manifest.json"
    manifest = json.loads(night.lake.read(key)[0])
    next(column for column in manifest["columns"] if column["name"] == "completion")["type"] = "VARCHAR"
    night.lake.put(key, json.dumps(manifest).encode())

    check_loads(night, "stream")
    gate = night.read(GateResult, "loads-stream")
    assert gate.verdict == "hold"
    assert "watch_log (completion: DOUBLE -> VARCHAR)" in gate.reasons[0]
    assert [load.as_of for load in night.loads("stream", "watch_log")] == [FIRST]
    with duckdb.connect(str(night.settings.warehouse_path), read_only=True) as warehouse:
        for table in ("accounts", "events", "items"):
            staged = warehouse.execute(f"select distinct load_date from staging.stg_stream__{table}").fetchall()
            assert staged == [(FIRST,)]
    run_dbt(night.settings, ["run", "--select", "tag:stage", "tag:prepare"], night.as_of)
    check_reconciliation(night)


def test_a_row_that_staging_lost_stops(night_of: NightOf) -> None:
    night = night_of(SECOND)
    change(
        night,
        "delete from staging.stg_shop__events where (load_date, raw_row) = ("
        f" select (load_date, raw_row) from staging.stg_shop__events where load_date = '{SECOND}' limit 1)",
    )
    run_dbt(night.settings, ["run", "--select", "int_quality__row_counts"], night.as_of)

    message = stopped(night, "reconciliation", lambda: check_reconciliation(night))
    assert f"shop.order_lines of {SECOND}, staged (1)" in message


def test_an_event_that_the_intermediate_models_lost_stops(night_of: NightOf) -> None:
    night = night_of(SECOND)
    lost = f"select event_id from intermediate.int_events where platform = 'stream' and load_date = '{SECOND}' limit 1"
    change(night, f"delete from intermediate.int_events where platform = 'stream' and event_id = ({lost})")
    run_dbt(night.settings, ["run", "--select", "int_quality__row_fates"], night.as_of)
    message = stopped(night, "reconciliation", lambda: check_reconciliation(night))
    assert f"stream.watch_log of {SECOND}, fates (1)" in message


def test_events_whose_accounts_nobody_knows_stop(night_of: NightOf) -> None:
    """A shop that begins to write its customers' numbers in another way."""
    night = night_of(SECOND)
    change(night, f"update intermediate.int_events set account_id = lower(account_id) where load_date = '{FIRST}'")
    run_dbt(night.settings, ["run", "--select", "int_quality__row_fates"], night.as_of)
    check_reconciliation(night)  # that load was judged in its own night
    change(night, f"update intermediate.int_quality__row_counts set load_date = '{SECOND}' where load_date = '{FIRST}'")
    change(night, f"update intermediate.int_quality__row_fates set load_date = '{SECOND}' where load_date = '{FIRST}'")
    message = stopped(night, "reconciliation", lambda: check_reconciliation(night))
    assert f"shop.order_lines of {SECOND}, fates (100.0%)" in message
    assert "CROSSREC_WARN_UNKNOWN_IDS" in message


def test_an_interaction_that_a_mart_lost_stops(night_of: NightOf) -> None:
    night = night_of(SECOND)
    lost = f"select event_id from marts.interactions where platform = 'forum' and load_date = '{SECOND}' limit 1"
    change(night, f"delete from marts.interactions where platform = 'forum' and event_id = ({lost})")
    message = stopped(night, "interactions", lambda: check_interactions(night))
    assert f"forum.posts of {SECOND}, marts (1)" in message


def test_an_account_that_the_lists_lost_stops(night_of: NightOf) -> None:
    night = night_of(SECOND)
    key = night.key("lists.parquet")
    night.write_table(key, _without_an_account(night.read_table(key)))
    message = stopped(night, "lists", lambda: check_lists(night))
    assert f"forum.lists of {SECOND}, accounts (1), forum.lists of {SECOND}, ranked (20)" in message


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("update marts.training_examples set label = 0", "between 0.05% and 50% positive examples"),
        ("update marts.training_examples set neighbour_score = 'nan'", "finite values (or none) in each feature"),
        (
            "insert into marts.training_examples from marts.training_examples limit 1",
            "one example per as_of, person, platform and item",
        ),
        ("delete from marts.training_examples", "at least one training example"),
        ("update marts.training_examples set price = -label + 0.2 * random()", "no feature that tells the labels"),
        # what the nights before found in the same snapshots tells these
        ("update marts.training_examples set price = label + random() * 1.3", "far better than it did before"),
        ("update marts.training_examples set price = price * 1000", "no feature with other values than before"),
        ("update marts.training_examples set tower_score = null", "no feature missing in many more examples"),
        (
            "delete from marts.training_examples where hash(item_id) % 2 = 0",
            "about as many examples as the snapshot had",
        ),
        (
            "update marts.training_examples set label = 0 where hash(item_id) % 3 > 0",
            "no smaller share of positive examples",
        ),
        (
            "create or replace table marts.training_examples as"
            " select examples.* exclude (label, number), other.label"
            " from (select *, row_number() over (order by hash(person_id, platform, item_id)) as number"
            " from marts.training_examples) as examples"
            " inner join (select label, row_number() over (order by as_of, item_id, person_id, platform) as number"
            " from marts.training_examples) as other using (number)",
            "labels that simple features tell apart",
        ),
    ],
)
def test_training_data_that_would_teach_nonsense_stops(broken: str, said: str, night_of: NightOf) -> None:
    night = night_of(SECOND)
    change(night, broken)
    assert said in stopped(night, "training_data", lambda: check_training_data(night))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("item_events_28d = item_events_28d * 1000", "stream item_events_28d ("),
        ("item_events_28d = null", "item_events_28d ("),
    ],
)
def test_candidates_that_are_like_no_example_stop(broken: str, said: str, night_of: NightOf) -> None:
    night = night_of(SECOND)
    change(night, f"update marts.candidates set {broken} where as_of = '{SECOND}'")
    for shard in range(night.settings.scoring_shards):
        score(night, shard)
    assert said in stopped(night, "features", lambda: check_features(night))


def test_candidates_that_are_lost_stop(night_of: NightOf) -> None:
    night = night_of(SECOND)
    change(night, f"delete from marts.candidates where as_of = '{SECOND}' and hash(person_id, item_id) % 2 = 0")
    for shard in range(night.settings.scoring_shards):
        score(night, shard)
    assemble_lists(night)
    assert re.search(
        rf"shop\.candidates of {SECOND}, proposals \(\d", stopped(night, "lists", lambda: check_lists(night))
    )


def test_a_feature_that_reads_the_future_stops(
    night_of: NightOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot passed the gate before, but its SQL was another one."""
    project = tmp_path / "dbt_project"
    shutil.copytree(DBT_PROJECT, project)
    [model] = project.rglob("item_popularity.sql")
    model.write_text(model.read_text().replace("{{ known_by('interactions', 'snapshots') }}", "true"))
    for module in ("infra.warehouse", "dags.steps.learn.check_leakage"):
        monkeypatch.setattr(f"{module}.DBT_PROJECT", project)
    night = night_of(SECOND)
    assert night.read(GateResult, "leakage").verdict == "pass"

    message = stopped(night, "leakage", lambda: check_leakage(night))
    assert re.search(r"found \w+ \([\d,]+\), .* and \d+ more\.", message)
    assert "item_mean_value (" in message
    assert "known_by" in message


def test_a_snapshot_is_checked_for_leaks_once(night_of: NightOf) -> None:
    for as_of in (FIRST, SECOND):
        assert night_of(as_of).read(LeakageCheck).checked_in == FIRST


def test_a_long_history_without_examples_stops_the_first_night_too(home: Path) -> None:
    night = Night(SECOND, settings=settings_of(home, model_name="nobody-trained-this"))
    change(night, "delete from marts.training_examples")
    said = "at least one training example"
    assert said in stopped(night, "training_data", lambda: check_training_data(night))


def _swapped(lists: pa.Table, *columns: str) -> pa.Table:
    """Two accounts of forum, which are those of two persons, have exchanged the ``columns`` of their lists."""
    frame = lists.to_pandas()
    accounts = frame[(frame["platform"] == "forum") & (frame["strategy"] == "personalised")].drop_duplicates(
        "person_id"
    )
    one, other = (
        frame.index[(frame["platform"] == "forum") & (frame["account_id"] == account)]
        for account in accounts["account_id"].iloc[:2]
    )
    for column in columns:
        kept = frame.loc[one, column].tolist()
        frame.loc[one, column] = frame.loc[other, column].tolist()
        frame.loc[other, column] = kept
    return pa.Table.from_pandas(frame, lists.schema, preserve_index=False)


def _strangers(lists: pa.Table) -> pa.Table:
    """The lists name the persons whose they were, and so agree with themselves."""
    return _swapped(lists, "account_id")


def _disguised_strangers(lists: pa.Table) -> pa.Table:
    """The lists name the accounts' own persons, and hold what was made for others."""
    return _swapped(lists, "account_id", "person_id")


def _without_an_account(lists: pa.Table) -> pa.Table:
    return lists.filter(pc.not_equal(lists["account_id"], lists["account_id"][0]))


def _with(column: str, value: object) -> Callable[[pa.Table], pa.Table]:
    """The first row of the lists, which is forum's, with another value."""

    def broken(lists: pa.Table) -> pa.Table:
        values = [value, *lists[column].to_pylist()[1:]]
        position = lists.schema.get_field_index(column)
        return lists.set_column(position, column, pa.array(values, lists.schema.field(column).type))

    return broken


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (_without_an_account, "a list for every active account"),
        (_without_an_account, "every row that the score tasks ranked in a list"),
        (_strangers, "the person whom the account belongs to"),
        (_disguised_strangers, "ranked for the account's own person"),
        (_disguised_strangers, "proposed to the account's own person"),
        (_with("as_of", date(1998, 3, 1)), "only rows of 1998-03-16"),
        (_with("reason", "because your neighbour told us"), "only reasons of a declared kind"),
        (_with("item_id", "DVD-001404"), "only items of the platform's own catalogue"),
        (_with("rank", 3), "ranks 1, 2, 3 ... without a gap"),
        (_with("score", float("nan")), "finite scores"),
        (_with("propensity", 0.0), "propensities above 0 and up to 1"),
        (_with("model_version", "another"), "lists of one model version"),
        (lambda lists: lists.slice(0, 0), "platform 'stream'"),
    ],
)
def test_lists_that_must_not_be_shown_stop(
    broken: Callable[[pa.Table], pa.Table], said: str, night_of: NightOf
) -> None:
    night = night_of(SECOND)
    key = night.key("lists.parquet")
    night.write_table(key, broken(night.read_table(key)))
    message = stopped(night, "recommendations-forum", lambda: check_recommendations(night))
    assert "platform 'forum'" in message
    assert said in message


def test_rules_hold_in_lists_made_anew_and_stop_those_made_before(night_of: NightOf) -> None:
    """What most people are shown first on stream is banned there, and something that hardly anybody is shown is pinned."""
    night = night_of(SECOND)
    stream = pc.equal(night.read_table(night.key("lists.parquet"))["platform"], "stream")
    shown = night.read_table(night.key("lists.parquet")).filter(stream).to_pandas()
    banned, pinned = shown["item_id"].value_counts().index[[0, -1]]
    change(
        night,
        f"""
        insert into marts.active_rules (platform, item_id, product_id, category, is_available, rule, rank)
        select
            platform, item_id, product_id, category, is_available,
            if(item_id = '{banned}', 'ban', 'pin'), if(item_id = '{banned}', null, 2)
        from marts.product_items
        where platform = 'stream' and item_id in ('{banned}', '{pinned}')
        """,
    )
    assert "nothing that a rule bans" in stopped(night, "recommendations-stream", lambda: check_recommendations(night))

    for shard in range(night.settings.scoring_shards):
        score(night, shard)
    assemble_lists(night)
    check_recommendations(night)
    lists = night.read_table(night.key("lists.parquet")).to_pandas().query("platform == 'stream'")
    assert banned not in set(lists["item_id"])
    second = lists[lists["rank"] == 2]
    held = second["item_id"] == pinned
    assert set(second[held]["slot"]) == {"pinned"}
    assert set(second["strategy"]) == {"personalised", "popular"} == set(second[held]["strategy"])
    with duckdb.connect(str(night.settings.warehouse_path), read_only=True) as warehouse:
        had = warehouse.execute(
            "select person_id from marts.person_products where product_id ="
            " (select product_id from marts.active_rules where rule = 'pin')"
        ).fetchall()
    assert set(second[~held]["person_id"]) <= {person for (person,) in had}


def test_a_list_with_what_the_person_had_elsewhere_stops(night_of: NightOf) -> None:
    """The consumption is on another platform: only the linked person knows of it."""
    night = night_of(SECOND)
    key = night.key("lists.parquet")
    lists = night.read_table(key)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.register("lists", lists)
        account, item, product = warehouse.execute(
            """
            select lists.account_id, items.item_id, items.product_id
            from lists
            inner join marts.interactions using (person_id)
            inner join marts.product_items as items
                on interactions.product_id = items.product_id and items.platform = 'forum'
            where lists.platform = 'forum' and lists.rank = 1 and interactions.platform != 'forum' and items.is_available
            order by all limit 1
            """
        ).fetchall()[0]
    rows = lists.to_pylist()
    row = next(row for row in rows if (row["platform"], row["account_id"], row["rank"]) == ("forum", account, 1))
    row["item_id"], row["product_id"] = item, product
    night.write_table(key, pa.Table.from_pylist(rows, schema=lists.schema))
    message = stopped(night, "recommendations-forum", lambda: check_recommendations(night))
    assert "nothing that the person already had" in message


def test_a_worse_challenger_is_kept_from_serving(home: Path, night_of: NightOf) -> None:
    night, registry = night_of(SECOND), Registry(settings_of(home))
    champion = registry.champion()
    assert champion is not None
    model, features = registry.load(champion)
    for weights in model.trainable_variables:  # the champion's opposite
        weights.assign(-weights)
    sample = examples_of(night).slice(0, 10).drop_columns(["person_id"])
    challenger = registry.log_training(
        model,
        features,
        as_of=SECOND,
        fingerprint="worse",
        params={},
        history=[{"epoch": 1, "loss": 1.0}],
        datasets=[LoggedData("training", "training", sample, "marts.training_examples", "digest")],
        tags={},
    )
    evaluate(night)
    check_promotion(night)
    choose_serving_model(night)
    after = registry.champion()
    assert after is not None
    assert after.version == champion.version != challenger.version
    assert night.read(ServingModel).version == champion.version
    gate = night.read(GateResult, "promotion")
    assert gate.verdict == "warn"
    assert "champion" in gate.checks[0].observed
