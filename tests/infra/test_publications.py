"""What is served is what the newest entry of a log says, which nothing rewrites."""

import hashlib
import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.lake import Lake, LocalLake
from infra.publications import (
    CURRENT,
    LOG,
    Publication,
    PublishError,
    current_publication,
    kept_publication,
    make_current,
    publication_id,
    require_served,
    serve_again,
    served_before,
    served_now,
    served_so_far,
    write_aside,
)
from infra.state import StateError


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return LocalLake(tmp_path / "lake")


def made(lake: Lake, day: int, item: str = "a", run_id: str = "run") -> Publication:
    """A publication of one row, written aside."""
    as_of, buffer = date(2000, 12, day), io.BytesIO()
    pq.write_table(pa.table({"item_id": [item]}), buffer)
    lists = buffer.getvalue()
    publication = Publication(
        publication_id=publication_id(as_of, lists),
        as_of=as_of.isoformat(),
        rows=1,
        sha256=hashlib.sha256(lists).hexdigest(),
        model_version=None,
        run_id=run_id,
    )
    write_aside(lake, publication, lists)
    return publication


def publish(lake: Lake, *days: int) -> list[Publication]:
    publications = [made(lake, day) for day in days]
    for publication in publications:
        make_current(lake, publication, served_now(lake), "run", "its night")
    return publications


def step_back(lake: Lake) -> str:
    now = require_served(lake)
    before = served_before(lake, now)
    assert before is not None
    serve_again(lake, kept_publication(lake, before), now, "ada", "bad lists")
    return before


def serve(lake: Lake, publication: Publication) -> None:
    serve_again(lake, publication, require_served(lake), "ada", "by hand")


def served(lake: Lake) -> str:
    publication, _ = current_publication(lake)
    assert publication is not None
    assert Publication.model_validate_json(lake.read(CURRENT)[0]) == publication
    return publication.publication_id


def log_files(lake: Lake) -> dict[str, bytes]:
    return {key: lake.read(key)[0] for key in lake.list(LOG)}


def test_two_rollbacks_go_back_two(lake: Lake) -> None:
    first, second, third = (one.publication_id for one in publish(lake, 13, 14, 15))
    assert served(lake) == third
    assert [step_back(lake), step_back(lake)] == [second, first]
    assert served(lake) == first
    assert served_before(lake, require_served(lake)) is None


def test_a_step_back_from_a_night_after_a_rollback_skips_what_was_withdrawn(lake: Lake) -> None:
    first, _ = publish(lake, 13, 14)
    step_back(lake)
    publish(lake, 15)
    assert step_back(lake) == first.publication_id


def test_who_goes_forward_again_can_go_back_again(lake: Lake) -> None:
    first, second = publish(lake, 13, 14)
    step_back(lake)
    serve(lake, second)
    assert served(lake) == second.publication_id
    assert step_back(lake) == first.publication_id


def test_the_log_says_when_by_whom_and_why_and_is_never_rewritten(lake: Lake) -> None:
    publish(lake, 13, 14)
    before = log_files(lake)
    step_back(lake)
    after = log_files(lake)
    assert {key: after[key] for key in before} == before
    assert [*after] == [f"{LOG}0000000{number}.json" for number in (1, 2, 3)]
    newest, *_ = served_so_far(lake)
    assert (newest.number, newest.how, newest.who, newest.why) == (3, "rolled back", "ada", "bad lists")
    assert newest.when.endswith("+00:00")


def test_a_rollback_withdraws_what_it_goes_back_over_and_going_forward_does_not(lake: Lake) -> None:
    first, second, third = publish(lake, 13, 14, 15)
    serve(lake, first)
    assert require_served(lake).withdrawn == tuple(sorted([second.publication_id, third.publication_id]))
    serve(lake, third)
    assert require_served(lake).withdrawn == (second.publication_id,)
    serve(lake, first)
    serve(lake, second)
    assert require_served(lake).withdrawn == (third.publication_id,)


def test_lists_that_were_never_served_withdraw_what_they_replace(lake: Lake) -> None:
    [newer] = publish(lake, 15)
    older = made(lake, 13)
    serve(lake, older)
    assert require_served(lake).withdrawn == (newer.publication_id,)
    assert step_back(lake) == newer.publication_id


def test_of_two_that_publish_at_once_one_wins(lake: Lake) -> None:
    [first] = publish(lake, 13)
    second, third, now = made(lake, 14), made(lake, 15), require_served(lake)
    make_current(lake, second, now, "run", "its night")
    with pytest.raises(PublishError, match=r"another run published.*`crossrec publications`"):
        make_current(lake, third, now, "run", "its night")
    with pytest.raises(PublishError, match="another run published"):
        serve_again(lake, first, now, "ada", "bad lists")
    assert served(lake) == second.publication_id


def test_a_publication_that_is_made_again_keeps_its_first_file(lake: Lake) -> None:
    publication = made(lake, 13, run_id="the first run")
    key = f"{publication.key}/publication.json"
    before = lake.read(key)
    made(lake, 13, run_id="another run")
    assert lake.read(key) == before


@pytest.mark.parametrize("name", ["publication.json", "lists.parquet"])
def test_a_damaged_publication_is_healed_where_it_is_made_again(name: str, lake: Lake) -> None:
    publication = made(lake, 13)
    whole = lake.read(f"{publication.key}/{name}")
    lake.put(f"{publication.key}/{name}", b"{}")
    made(lake, 13)
    assert lake.read(f"{publication.key}/{name}") == whole


def test_what_an_earlier_release_published_is_served_and_becomes_the_first_entry(lake: Lake) -> None:
    older, newer = made(lake, 13), made(lake, 14)
    pointer = older.model_dump_json().replace('"run_id"', '"previous": "1999-01-01-none", "run_id"')
    lake.put(CURRENT, pointer.encode())
    assert require_served(lake).publication_id == older.publication_id
    assert [entry.how for entry in served_so_far(lake)] == ["adopted"]
    make_current(lake, newer, served_now(lake), "run", "its night")
    assert [(entry.number, entry.how) for entry in served_so_far(lake)] == [(2, "published"), (1, "adopted")]
    assert step_back(lake) == older.publication_id


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b'{"number": 2}', b"\xff\xfe"])
def test_a_damaged_entry_is_named_with_its_remedy(content: bytes, lake: Lake) -> None:
    publish(lake, 13, 14)
    key = f"{LOG}00000002.json"
    lake.put(key, content)
    with pytest.raises(StateError, match=r"is damaged. Received: .*Remedy: restore it from a backup") as error:
        current_publication(lake)
    assert error.value.path == lake.uri(key)
    assert error.value.path in str(error.value)


def test_nothing_published_yet_says_so(lake: Lake) -> None:
    assert current_publication(lake) == (None, None)
    assert [*served_so_far(lake)] == []
    with pytest.raises(PublishError, match="nothing is published yet"):
        require_served(lake)
