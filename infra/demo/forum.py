"""Platform 'forum': a film forum that hands over a folder of daily JSONL files, with 1-5 stars.

Times are ISO 8601, each member's in an offset of their own; a file's date is the UTC day its lines became known.

Members and films are append logs: a renaming, a deletion or a withdrawal is a new line in a later day's file.
"""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from infra.demo.behaviour import DAY, Platform, Truth, corrupted
from infra.demo.wording import day_text, offset_text, plain_title, shuffled_numbers, some_missing, spelt

AGE_GROUPS = ("<18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")
TAGS = {
    "children's": "family",
    "documentary": "docu",
    "film-noir": "noir",
    "romance": "love-story",
    "sci-fi": "scifi",
    "thriller": "suspense",
}
OFFSETS = (-480, -420, -360, -300, 0, 60, 330, 600)  # minutes from UTC
RENAMED, DELETED = 0.02, 0.015
MENTION, TAGGED = 0.1, 0.3
UNKNOWN_KIND = "poll"
MANNERS = (
    "amber brave calm dusty eager faded gentle hasty idle jolly keen lucky misty noble odd proud quiet rusty shy tidy"
)
BEASTS = (
    "badger crane dingo egret falcon gecko heron ibis jackal koala lemur magpie newt otter possum quoll raven swan "
    "wombat"
)
MALFORMATIONS = {
    "cut short": lambda line: line[: len(line) * 2 // 3],
    "closing brace missing": lambda line: line[:-1] + ",",
    "single quotes": lambda line: line.replace('"', "'"),
}

MEMBER = """{
    'handle': handle, 'formerly': formerly, 'status': status, 'joined': joined, 'full_name': full_name, 'mail': email,
    'tel': phone, 'born': born, 'street': street, 'suburb': suburb, 'postcode': postcode, 'state': state,
    'age_group': age_group, 'gender': gender, 'changed': changed}"""
FILM = """{
    'film': film_id, 'title': title, 'year': year, 'tags': coalesce(string_split(tags, '|'), []::varchar[]),
    'listed': listed_at, 'available': available}"""
POST = """{
    'post': post, 'handle': handle, 'film': film_id, 'kind': kind, 'stars': rating, 'posted': posted,
    'tags': coalesce(string_split(tags, '|'), []::varchar[])}"""


def write(folder: Path, platform: Platform, rng: np.random.Generator) -> Truth:
    """Write the folder ``forum`` into ``folder``. The truth knows a renamed member by both handles."""
    members = _members(platform, rng)
    films = _films(platform.catalogue, rng)
    posts = _posts(platform.events, members, films, rng)

    lines = _json(POST, posts)
    bad = posts["defect"] == "malformed"
    lines[bad] = [MALFORMATIONS[how](line) for how, line in zip(posts.loc[bad, "detail"], lines[bad], strict=True)]
    posts["line"] = lines
    log = pd.concat([posts, posts[posts["defect"] == "duplicate"]]).sort_values("known", kind="stable")
    _write_days(folder / "forum" / "posts", log["known"].to_numpy(), log["line"].to_numpy(object))

    changes = _member_log(members)
    _write_days(folder / "forum" / "members", changes["known"].to_numpy(), _json(MEMBER, changes))
    news = _film_log(films, int(posts["at"].max()), rng)
    _write_days(folder / "forum" / "films", news["known"].to_numpy(), _json(FILM, news))

    renamed, deleted = members[members["renamed"] > 0], members[members["deleted"] > 0]
    renamings = renamed.assign(defect="renamed", detail="formerly " + renamed["old_handle"])
    deletions = deleted.assign(defect="soft_deleted", detail="status deleted")
    handles = pd.concat([members, renamed.assign(handle=renamed["old_handle"])])
    return Truth(
        accounts=pd.DataFrame({"account_id": handles["handle"], "person": handles["person"]}),
        items=pd.DataFrame({"item_id": films["film_id"], "film": films["film"]}),
        corruptions=pd.concat(
            [
                corrupted("posts", posts, "post"),
                corrupted("members", renamings, "handle"),
                corrupted("members", deletions, "handle"),
            ]
        ),
    )


def _members(platform: Platform, rng: np.random.Generator) -> pd.DataFrame:
    """Members by the account number of the events.

    With handle, old_handle (the same where never renamed), renamed and deleted (unix seconds, 0 where it never was).
    """
    members, events = platform.accounts, platform.events
    size = len(members)
    manners, beasts = np.array(MANNERS.split(), dtype=object), np.array(BEASTS.split(), dtype=object)
    number = shuffled_numbers(size, 10, rng).astype(str).astype(object)
    stem = manners[rng.integers(len(manners), size=size)] + "_" + beasts[rng.integers(len(beasts), size=size)]
    posted = events.groupby("account")["at"].agg(["min", "max"]).reindex(range(size))
    span = (posted["max"] - posted["min"]).to_numpy()

    lasting = rng.permutation(np.flatnonzero(span > DAY))[: round(size * RENAMED)]
    renamed = np.zeros(size, dtype=np.int64)
    renamed[lasting] = (posted["min"].to_numpy() + span / 2)[lasting].astype("int64")
    gone = rng.permutation(np.flatnonzero(renamed == 0))[: round(size * DELETED)]
    deleted = np.zeros(size, dtype=np.int64)
    last = posted["max"].fillna(members["created"]).to_numpy()
    deleted[gone] = (last[gone] + rng.uniform(1, 30, len(gone)) * DAY).astype("int64")

    name = members["given_name"].fillna("") + " " + members["surname"].fillna("")
    offset = rng.choice(OFFSETS, size)
    return members.assign(
        handle=stem + number,
        old_handle=np.where(renamed > 0, beasts[rng.integers(len(beasts), size=size)] + "." + number, stem + number),
        renamed=renamed,
        deleted=deleted,
        offset=offset,
        joined=offset_text(members["created"].to_numpy(), offset),
        full_name=name.str.strip().replace("", None),
        age_group=some_missing(np.array(AGE_GROUPS)[members["age_band"]], rng),
        gender=some_missing(np.where(members["female"], "woman", "man"), rng),
    )


def _member_log(members: pd.DataFrame) -> pd.DataFrame:
    """One line for joining, renaming and deletion each, in the order in which they happened."""
    joining = members.assign(handle=members["old_handle"], formerly=None, status="active", known=members["created"])
    renamed = members[members["renamed"] > 0]
    renaming = renamed.assign(formerly=renamed["old_handle"], status="active", known=renamed["renamed"])
    deleted = members[members["deleted"] > 0]
    deletion = deleted.assign(formerly=None, status="deleted", known=deleted["deleted"])
    log = pd.concat([joining, renaming, deletion]).sort_values("known", kind="stable", ignore_index=True)
    return log.assign(changed=offset_text(log["known"].to_numpy(), log["offset"].to_numpy()))


def _films(catalogue: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return catalogue.assign(
        film_id=[f"f-{number:06x}" for number in shuffled_numbers(len(catalogue), 0x10000, rng)],
        title=plain_title(catalogue["name"]),
        tags=spelt(catalogue["genres"].str.lower(), TAGS, "|"),
        listed_at=offset_text(catalogue["listed"].to_numpy(), np.zeros(len(catalogue), dtype=np.int64)),
    )


def _film_log(films: pd.DataFrame, end: int, rng: np.random.Generator) -> pd.DataFrame:
    """Every film as it was listed, and once more where it was withdrawn later."""
    withdrawn = films[~films["available"]]
    moment = rng.uniform(withdrawn["listed"], np.maximum(end, withdrawn["listed"] + DAY)).astype("int64")
    log = pd.concat([films.assign(available=True, known=films["listed"]), withdrawn.assign(known=moment)])
    return log.sort_values("known", kind="stable", ignore_index=True)


def _posts(events: pd.DataFrame, members: pd.DataFrame, films: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    posts = events.sort_values("known", kind="stable", ignore_index=True)
    author = members.iloc[posts["account"].to_numpy()]
    before = posts["at"].to_numpy() < author["renamed"].to_numpy()
    posts["handle"] = np.where(before, author["old_handle"].to_numpy(object), author["handle"].to_numpy(object))
    posts["film_id"] = films["film_id"].to_numpy(object)[posts["film"]]
    posts["post"] = "p" + pd.Series(np.arange(len(posts)) + 1).astype(str).str.zfill(7)
    posts["kind"] = np.where(rng.random(len(posts)) < MENTION, "mention", "review").astype(object)
    posts["tags"] = films["tags"].to_numpy(object)[posts["film"]]
    posts.loc[rng.random(len(posts)) >= TAGGED, "tags"] = None
    posts["posted"] = offset_text(posts["claimed"].to_numpy(), author["offset"].to_numpy())

    defect = posts["defect"]
    posts.loc[defect == "unknown_type", ["kind", "detail"]] = UNKNOWN_KIND
    posts.loc[(defect == "null_id") & (posts["detail"] == "account"), "handle"] = None
    posts.loc[(defect == "null_id") & (posts["detail"] == "item"), "film_id"] = None
    malformed = defect == "malformed"
    posts.loc[malformed, "detail"] = rng.choice(list(MALFORMATIONS), int(malformed.sum()))
    return posts


def _json(struct: str, rows: pd.DataFrame) -> pd.Series:
    """Each row as one line of JSON, built by DuckDB from its struct literal over the columns."""
    with duckdb.connect() as connection:
        connection.register("new_rows", rows)
        return connection.execute(f"select to_json({struct})::varchar as line from new_rows").df()["line"]


def _write_days(folder: Path, known: np.ndarray, lines: pd.Series | np.ndarray) -> None:
    """One file for each UTC day with rows; ``known`` must ascend."""
    folder.mkdir(parents=True)
    days, starts = np.unique(day_text(known), return_index=True)
    for day, block in zip(days, np.split(np.asarray(lines, dtype=object), starts[1:]), strict=True):
        (folder / f"{folder.name}-{day}.jsonl").write_text("\n".join(block) + "\n", encoding="utf-8")
