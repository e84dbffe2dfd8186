"""Publications: the lists of one night, visible all at once or not at all.

A publication is written aside under its own id and audited. Nothing rewrites it. What is served, since when, by whom and why
stands in an append-only log: `publications/log/<number>.json`. The newest entry says what is served. An entry is written on the
condition that nobody else wrote that number. Publishing and rolling back each append one.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from infra.lake import ConditionFailed, Lake
from infra.state import StateError, damage_named

CURRENT = "publications/current.json"  # a copy of what the newest entry says, for readers who do not know the log
LOG = "publications/log/"


class PublishError(RuntimeError):
    """A publication could not be made visible. The message says why, and what is served instead."""


class Publication(BaseModel):
    """One night's lists: their name, and what made them."""

    model_config = ConfigDict(frozen=True)  # an earlier release wrote `previous` too, which the log knows now

    publication_id: str
    as_of: str
    rows: int
    sha256: str
    model_version: str | None  # None: there was no model yet
    run_id: str

    @property
    def key(self) -> str:
        return f"publications/{self.publication_id}"


class Served(BaseModel):
    """One entry of the log: from `when` on, this publication is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    publication_id: str
    how: Literal["published", "rolled back", "adopted"]  # adopted: an earlier release published it, which kept no log
    when: str  # ISO 8601, UTC
    who: str  # a person, or the run of the night
    why: str
    before: int | None = None  # the entry that one step back leads to; None: nothing was served before
    again: int | None = None  # the entry that a rollback goes back to, where there is one
    withdrawn: tuple[str, ...] = ()  # what people took away: publishing does not serve these again

    @property
    def as_of(self) -> date:
        """The night whose lists are served."""
        return date.fromisoformat(self.publication_id[:10])

    @property
    def place(self) -> int:
        """The entry from which one walks back: the one that first served this."""
        return self.again or self.number


def publication_id(as_of: date, lists: bytes) -> str:
    """The name of the publication of these lists."""
    return f"{as_of}-{hashlib.sha256(lists).hexdigest()[:12]}"


# --- the log


def served_now(lake: Lake) -> Served | None:
    """The newest entry of the log; None where nothing is published yet.

    Raises:
        StateError: the entry is damaged.
    """
    newest = max(_numbers(lake), default=None)
    if newest is not None:
        return log_entry(lake, newest)
    adopted = _read(lake, CURRENT, Publication)
    if adopted is None:
        return None
    why = "an earlier release published it"
    return Served(number=0, publication_id=adopted.publication_id, how="adopted", when="", who="", why=why)


def require_served(lake: Lake) -> Served:
    """Like `served_now`.

    Raises:
        PublishError: nothing is published yet.
        StateError: the newest entry is damaged.
    """
    now = served_now(lake)
    if now is None:
        raise PublishError(
            f"nothing is published yet. Received: no entry in {lake.uri(LOG)}. Remedy: run `crossrec nightly`."
        )
    return now


def log_entry(lake: Lake, number: int) -> Served:
    """The entry of this number.

    Raises:
        StateError: the entry is damaged or gone.
    """
    entry = _read(lake, _entry_key(number), Served)
    if entry is None:
        path = lake.uri(_entry_key(number))
        raise StateError(f"{path} is damaged", path=path, received="no such file", remedy=_remedy(_entry_key(number)))
    return entry


def served_so_far(lake: Lake) -> Iterator[Served]:
    """Every entry of the log, the newest first.

    Raises:
        StateError: an entry is damaged.
    """
    numbers = sorted(_numbers(lake), reverse=True)
    for number in numbers:
        yield log_entry(lake, number)
    if not numbers and (adopted := served_now(lake)):
        yield adopted


def _numbers(lake: Lake) -> Iterator[int]:
    for key in lake.list(LOG):
        name = key.removeprefix(LOG).removesuffix(".json")
        if name.isdigit():
            yield int(name)


def _entry_key(number: int) -> str:
    return f"{LOG}{number:08}.json"


def _append(lake: Lake, entry: Served) -> None:
    """Raises PublishError where somebody else wrote the entry of this number."""
    try:
        lake.put_if_match(_entry_key(entry.number), _json(entry), None)
    except ConditionFailed:
        raise PublishError(
            f"another run published while {entry.publication_id} was being made; that one is served. "
            "Remedy: see which night it was (`crossrec publications`), and run this task again if this one shall replace it."
        ) from None


# --- publications


def current_publication(lake: Lake) -> tuple[Publication | None, Served | None]:
    """The publication that is served, and the entry of the log that says so; None and None where there is none.

    Raises:
        StateError: the log or the publication is damaged.
    """
    now = served_now(lake)
    return (kept_publication(lake, now.publication_id), now) if now else (None, None)


def require_current(lake: Lake) -> tuple[Publication, Served]:
    """Like `current_publication`.

    Raises:
        PublishError: nothing is published yet.
        StateError: the log or the publication is damaged.
    """
    now = require_served(lake)
    return kept_publication(lake, now.publication_id), now


def kept_publication(lake: Lake, wanted: str) -> Publication:
    """The publication of this id, served or not.

    Raises:
        PublishError: there is no such publication; the message names those that there are.
        StateError: it is damaged.
    """
    kept = _read(lake, f"publications/{wanted}/publication.json", Publication)
    if kept is None:
        keys = [key for key in lake.list("publications/") if key.endswith("/publication.json")]
        known = ", ".join(sorted({key.split("/")[1] for key in keys}))
        raise PublishError(
            f"there is no publication {wanted}. Received: no {lake.uri(f'publications/{wanted}')}. Remedy: choose one of {known}."
        )
    return kept


def published_lists(lake: Lake, publication: Publication) -> pa.Table:
    """The lists of one publication.

    Raises:
        PublishError: the lake holds other bytes than were written, or none.
    """
    try:
        content, _ = lake.read(f"{publication.key}/lists.parquet")
        received = f"sha256 {hashlib.sha256(content).hexdigest()[:12]}"
    except FileNotFoundError:
        content, received = b"", "no lists.parquet"
    if hashlib.sha256(content).hexdigest() != publication.sha256:
        raise PublishError(
            f"publication {publication.publication_id} is damaged in the lake. Received: {received}, "
            f"expected sha256 {publication.sha256[:12]}. Remedy: run its night again, or `crossrec rollback` to another."
        )
    return pq.read_table(io.BytesIO(content))


def write_aside(lake: Lake, publication: Publication, lists: bytes) -> None:
    """Keep the lists under the id of the publication, where nobody sees them yet. What is there already, and whole, stays.

    Raises:
        PublishError: the lake does not give back what was written.
    """
    if not _is_whole(lake, publication):
        lake.put(f"{publication.key}/lists.parquet", lists)
    audited = published_lists(lake, publication)
    if audited.num_rows != publication.rows:
        raise PublishError(
            f"publication {publication.publication_id}: wrote {publication.rows:,} rows, found {audited.num_rows:,}."
        )
    name = f"{publication.key}/publication.json"
    try:
        if _read(lake, name, Publication) is not None:
            return  # an earlier run of the night made it, and it keeps that run's id
    except StateError:
        pass  # it is damaged, and this run writes it anew
    lake.put(name, _json(publication))


def _is_whole(lake: Lake, publication: Publication) -> bool:
    try:
        published_lists(lake, publication)
    except (PublishError, OSError):
        return False
    return True


# --- what changes what is served


def make_current(lake: Lake, publication: Publication, now: Served | None, who: str, why: str) -> None:
    """Let everybody see the publication, if the newest entry of the log is still ``now``.

    Raises:
        PublishError: the publication is damaged, or another run published meanwhile.
    """
    published_lists(lake, publication)
    now = _adopted(lake, now) if now else None
    withdrawn = {*now.withdrawn} - {publication.publication_id} if now else set()
    entry = Served(
        number=now.number + 1 if now else 1,
        publication_id=publication.publication_id,
        how="published",
        when=_clock(),
        who=who,
        why=why,
        before=now.place if now else None,
        withdrawn=tuple(sorted(withdrawn)),
    )
    _append(lake, entry)
    copy_current(lake)


def serve_again(lake: Lake, publication: Publication, now: Served, who: str, why: str) -> None:
    """Serve an earlier publication. What was served since then is withdrawn: publishing it again does not bring it back.

    The next step back starts from where this publication was first served, so that two rollbacks go back two. A publication
    that was never served is one step above ``now``.

    Raises:
        PublishError: the publication is damaged, or another run published meanwhile.
    """
    published_lists(lake, publication)
    now = _adopted(lake, now)
    served = (entry.place for entry in served_so_far(lake) if entry.publication_id == publication.publication_id)
    target = next(served, None)
    entry = Served(
        number=now.number + 1,
        publication_id=publication.publication_id,
        how="rolled back",
        when=_clock(),
        who=who,
        why=why,
        before=now.place if target is None else log_entry(lake, target).before,
        again=target,
        withdrawn=tuple(sorted(({*now.withdrawn} | _passed(lake, now, target)) - {publication.publication_id})),
    )
    _append(lake, entry)
    copy_current(lake)


def served_before(lake: Lake, now: Served) -> str | None:
    """The publication that was served before what ``now`` serves; None where it was the first.

    Raises:
        StateError: the log is damaged.
    """
    return log_entry(lake, now.before).publication_id if now.before else None


def _passed(lake: Lake, now: Served, target: int | None) -> set[str]:
    """The publications that going from ``now`` to the entry ``target`` takes away: none, on a way forward."""
    back = _way_back(lake, now.place)
    if target in back:
        return {name for place, name in back.items() if place > (target or 0)}
    forward = target is not None and now.place in _way_back(lake, target)
    return set() if forward else {now.publication_id}


def _way_back(lake: Lake, place: int | None) -> dict[int, str]:
    """The publication at each place that one comes to by steps back, the start included."""
    way: dict[int, str] = {}
    while place:
        entry = log_entry(lake, place)
        way[place], place = entry.publication_id, entry.before
    return way


def _adopted(lake: Lake, now: Served) -> Served:
    """``now``; where an earlier release published it and kept no log, it becomes the first entry."""
    if now.number:
        return now
    first = now.model_copy(update={"number": 1, "when": _clock(), "who": "crossrec"})
    _append(lake, first)
    return first


def copy_current(lake: Lake) -> None:
    """Make `publications/current.json` say what the log says, also where a run was killed between the two."""
    while True:
        try:
            found, etag = lake.read(CURRENT)
        except FileNotFoundError:
            found, etag = b"", None
        current, now = current_publication(lake)
        if current is None or now is None or found == _json(current):
            return
        try:
            lake.put_if_match(CURRENT, _json(current), etag)
        except ConditionFailed:
            continue  # another run copies too: see what it wrote
        if served_now(lake) == now:
            return


# --- reading


Kind = TypeVar("Kind", bound=BaseModel)


def _read(lake: Lake, key: str, kind: type[Kind]) -> Kind | None:
    try:
        content, _ = lake.read(key)
    except FileNotFoundError:
        return None
    with damage_named(lake.uri(key), _remedy(key)):
        return kind.model_validate_json(content)


def _remedy(key: str) -> str:
    """What to do about a damaged file."""
    if key == CURRENT:
        otherwise = "delete it and run the newest night again"
    elif key.startswith(LOG):
        otherwise = "delete it where it is the newest entry: what the entry before says is served then"
    else:
        otherwise = "run its night again"
    return f"restore it from a backup, or {otherwise}"


def _json(model: BaseModel) -> bytes:
    return json.dumps(model.model_dump(mode="json"), indent=1).encode()


def _clock() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
