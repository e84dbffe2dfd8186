"""The first and the last steps of a night on an S3 lake, against moto's server."""

import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import boto3
import pyarrow as pa
import pytest

from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.extract import extract
from dags.steps.night import Night
from dags.steps.records import ServingModel
from dags.steps.serve.publish import publish
from dags.steps.serve.roll_back import roll_back
from dags.steps.serve.write_back import write_back
from expectations.gate import GateResult
from infra.publications import current_publication, published_lists, served_before
from infra.settings import Settings
from tests.e2e.conftest import FIRST, SECOND


@pytest.fixture
def settings(demo: Path, s3_server: str, s3_bucket: str, tmp_path: Path) -> Settings:
    """Home and demo in the test's folder, the lake in a bucket."""
    shutil.copytree(demo, tmp_path / "demo")
    return Settings(
        home=tmp_path / "home", demo=tmp_path / "demo", lake=f"s3://{s3_bucket}/crossrec", s3_endpoint=s3_server
    )


def lists(as_of: date, items: list[str]) -> pa.Table:
    """A list of one account of the shop."""
    rows = [
        {
            "platform": "shop",
            "account_id": "C000042",
            "rank": rank,
            "item_id": item,
            "score": 1.0 / rank,
            "strategy": "popular",
            "reason": None,
            "as_of": as_of,
            "model_version": None,
            "recommendation_id": f"{as_of}-{item}",
        }
        for rank, item in enumerate(items, 1)
    ]
    texts = ("platform", "account_id", "item_id", "strategy", "reason", "model_version", "recommendation_id")
    types = {**dict.fromkeys(texts, pa.string()), "rank": pa.int32(), "score": pa.float64(), "as_of": pa.date32()}
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, types[name]) for name in rows[0]]))


def in_the_shop(settings: Settings) -> list[str]:
    with closing(sqlite3.connect(settings.demo_path / "shop.sqlite")) as connection:
        return [item for (item,) in connection.execute("select item_id from crossrec_recommendations order by rank")]


def test_an_extract_lands_in_the_bucket_and_the_same_night_again_writes_the_same_bytes(
    settings: Settings, s3_server: str, s3_bucket: str
) -> None:
    night = Night(FIRST, settings=settings)
    extract(night, "shop")
    check_loads(night, "shop")
    assert night.read(GateResult, "loads-shop").verdict == "pass"
    client = boto3.client("s3", endpoint_url=s3_server)

    def objects() -> dict[str, str]:
        listed = client.list_objects_v2(Bucket=s3_bucket)["Contents"]
        return {item["Key"]: item["ETag"] for item in listed if "/nights/" not in item["Key"]}

    before = objects()
    folder = f"crossrec/raw/platform=shop/table=orders/load_date={FIRST}"
    assert {f"{folder}/part-00000.parquet", f"{folder}/_manifest.json"} <= {*before}
    extract(night, "shop")
    assert objects() == before


def test_a_publication_in_a_bucket_is_served_and_rolled_back(settings: Settings) -> None:
    for as_of, items in ((FIRST, ["DVD-001404", "DVD-002083"]), (SECOND, ["DVD-002083"])):
        night = Night(as_of, settings=settings)
        night.write_table(night.key("lists.parquet"), lists(as_of, items))
        night.write(ServingModel(version=None, run_id=None))
        publish(night)
        for platform in night.platforms:
            write_back(night, platform)
        assert in_the_shop(settings) == items
    newer, now = current_publication(night.lake)
    assert newer is not None
    assert now is not None
    before = served_before(night.lake, now)
    assert newer.as_of == str(SECOND)

    said = list(roll_back(settings, "", apply=True))
    assert "shop: 3 rows changed" in said
    assert in_the_shop(settings) == ["DVD-001404", "DVD-002083"]
    older, _ = current_publication(night.lake)
    assert older is not None
    assert older.publication_id == before
    assert published_lists(night.lake, older).num_rows == 2

    list(roll_back(settings, newer.publication_id, apply=True))
    assert in_the_shop(settings) == ["DVD-002083"]


def test_a_backfill_of_an_older_night_takes_no_newer_list_away(settings: Settings) -> None:
    for as_of, items in ((SECOND, ["DVD-002083"]), (FIRST, ["DVD-001404"])):
        night = Night(as_of, settings=settings)
        night.write_table(night.key("lists.parquet"), lists(as_of, items))
        night.write(ServingModel(version=None, run_id=None))
        publish(night)
    current, _ = current_publication(night.lake)
    assert current is not None
    assert current.as_of == str(SECOND)
    older = [line for line in night.lake.list("publications/") if line.startswith(f"publications/{FIRST}")]
    assert len(older) == 2  # kept aside, whole
