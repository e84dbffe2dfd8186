"""A damaged lake and a full disk: nothing that was there is lost, and the message names the remedy."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.extract import extract
from dags.steps.merge.stage import stage
from dags.steps.night import Night
from dags.steps.records import ServingModel
from dags.steps.serve.publish import publish
from dags.steps.serve.roll_back import roll_back
from infra.platforms import PlatformError
from infra.publications import PublishError, current_publication, published_lists, served_before
from infra.settings import Settings
from infra.warehouse import WarehouseError
from tests.e2e.conftest import FIRST, SECOND, NightOf, TwoNights, crossrec, files, served, settings_of
from tests.e2e.locks import locked

# --- a lake that is damaged


@pytest.mark.usefixtures("nothing_published")
@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(file.read_bytes()[:-100]), Path.unlink])
def test_a_damaged_load_is_named_and_its_night_heals_it(damage: Callable[[Path], object], night_of: NightOf) -> None:
    night = night_of(SECOND)
    key = f"raw/platform=forum/table=posts/load_date={SECOND}/part-00000.parquet"
    file = Path(night.lake.uri(key))
    whole = file.read_bytes()
    damage(file)
    with pytest.raises(PlatformError, match="its load in the lake is damaged") as error:
        check_loads(night, "forum")
    assert "platform 'forum', table 'posts'" in str(error.value)
    assert key in str(error.value)
    assert f"Remedy: run the night of {SECOND} again" in str(error.value)

    extract(night, "forum")
    check_loads(night, "forum")
    assert file.read_bytes() == whole


@pytest.mark.usefixtures("nothing_published")
def test_an_older_damaged_load_is_named_by_the_build_that_meets_it(night_of: NightOf) -> None:
    night = night_of(SECOND)
    night.settings.warehouse_path.unlink()  # so that the build reads every load again
    file = Path(night.lake.uri(f"raw/platform=shop/table=customers/load_date={FIRST}/part-00000.parquet"))
    file.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(WarehouseError) as error:
        stage(night)
    assert f"the load of platform 'shop', table 'customers' of {FIRST} is damaged" in str(error.value)
    assert f"run the night of {FIRST} again" in str(error.value)


@pytest.mark.usefixtures("nothing_published")
def test_a_damaged_publication_is_not_rolled_back_to(home: Path, two_nights: TwoNights) -> None:
    older = two_nights.served[FIRST]["shop"][0]["publication_id"]
    lists = home / "lake" / "publications" / older / "lists.parquet"
    whole = lists.read_bytes()
    lists.write_bytes(whole[:-1])
    done = crossrec(home, "rollback", "--apply", "--why", "tried")
    lists.write_bytes(whole)  # the check that nothing else changed wants it so
    assert done.returncode == 1
    assert f"publication {older} is damaged in the lake" in done.stdout
    assert "Remedy: run its night again" in done.stdout


def test_a_rollback_that_meets_a_locked_platform_can_be_done_again(home: Path, two_nights: TwoNights) -> None:
    newer, older = two_nights.served[SECOND], two_nights.served[FIRST]
    settings, wanted = settings_of(home), two_nights.served[FIRST]["shop"][0]["publication_id"]
    with locked("shop", home), pytest.raises(PublishError) as error:
        list(roll_back(settings, wanted, apply=True))
    assert "platform 'shop'" in str(error.value)
    assert "is locked by another process" in str(error.value)
    assert f"`crossrec rollback --to {wanted} --apply` again" in str(error.value)
    assert served(home) == {"forum": older["forum"], "shop": newer["shop"], "stream": older["stream"]}
    list(roll_back(settings, wanted, apply=True))
    assert served(home) == older


# --- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes."""
    disk = tmp_path / "small_disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system needs the right to mount one: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Leave so many bytes free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    os.truncate(filler, filler.stat().st_size - leave)
    return filler


@pytest.mark.usefixtures("nothing_published")
def test_a_full_disk_under_the_extract(home: Path, small_disk: Path) -> None:
    night = Night(FIRST, settings=Settings(home=small_disk / "home", lake=str(small_disk / "lake"), demo=home / "demo"))
    extract(night, "stream")
    loaded = files(small_disk / "lake" / "raw")
    filler = fill(small_disk)
    with pytest.raises(PlatformError, match="platform 'shop', table 'customers': the disk is full") as error:
        extract(night, "shop")
    assert "Remedy: free space where CROSSREC_HOME and the lake lie" in str(error.value)
    assert files(small_disk / "lake" / "raw") == loaded

    filler.unlink()
    extract(night, "shop")
    assert len(night.loads("shop", "order_lines")) == 1


def test_a_full_disk_under_the_publication(two_nights: TwoNights, small_disk: Path) -> None:
    settings = Settings(home=small_disk / "home", lake=str(small_disk / "lake"))
    first, second = (Night(as_of, settings=settings) for as_of in (FIRST, SECOND))
    for night in (first, second):
        source = two_nights.home / "lake" / night.key("lists.parquet")
        night.lake.put(night.key("lists.parquet"), source.read_bytes())
        night.write(Night(night.as_of, settings=Settings(home=two_nights.home)).read(ServingModel))
    publish(first)
    before, _ = current_publication(first.lake)
    assert before is not None
    filler = fill(small_disk)
    with pytest.raises(OSError, match=r"what was there is kept\. Remedy: free space where the lake lies") as error:
        publish(second)
    assert error.value.errno == errno.ENOSPC
    assert current_publication(first.lake)[0] == before
    assert published_lists(first.lake, before).num_rows == before.rows

    filler.unlink()
    publish(second)
    after, now = current_publication(first.lake)
    assert after is not None
    assert now is not None
    assert (after.as_of, served_before(first.lake, now)) == (str(SECOND), before.publication_id)


def test_a_full_disk_under_the_warehouse(home: Path, small_disk: Path) -> None:
    settings = settings_of(home, warehouse=small_disk / "warehouse.duckdb")
    before = files(home / "lake" / "publications"), served(home)
    fill(small_disk, leave=2_000_000)
    with pytest.raises(WarehouseError, match="free space where CROSSREC_HOME and the lake lie"):
        stage(Night(SECOND, settings=settings))
    assert (files(home / "lake" / "publications"), served(home)) == before
