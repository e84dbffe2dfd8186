"""Platform 'stream': a video site on DuckDB, with a watch log, UTC timestamps and completion instead of stars."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from infra.demo.behaviour import Platform, Truth, corrupted
from infra.demo.wording import shuffled_numbers, some_missing

AGE_BANDS = ("under_18", "18_24", "25_34", "35_44", "45_49", "50_55", "56_plus")
COMPLETION_BANDS = (0.02, 0.2, 0.5, 0.8, 0.95, 1.0)  # a rating r lies between the bounds r-1 and r
UNKNOWN_ACTION = "buffering_ping"

TABLES = """
create table viewers (
    viewer_id bigint, given_name varchar, surname varchar, email varchar, phone varchar, birth_date date,
    street varchar, suburb varchar, postcode varchar, state varchar, age_band varchar, gender varchar,
    created_at timestamp, updated_at timestamp
);
create table titles (
    title_id bigint, title varchar, genres varchar, runtime_seconds integer, available boolean, added_at timestamp,
    updated_at timestamp
);
create table watch_log (
    watch_id varchar, viewer_id bigint, title_id bigint, action varchar, started_at timestamp, seconds_watched integer,
    completion double, ingested_at timestamp
);
"""

FILL = """
insert into viewers
select viewer_id, given_name, surname, email, phone, try_cast(born as date), street, suburb, postcode, state, age_band,
    gender, make_timestamp(created * 1000000), make_timestamp((created + 1) * 1000000)
from new_viewers;
insert into titles
select title_id, film, nullif(genres, ''), runtime_seconds, available, make_timestamp(listed * 1000000),
    make_timestamp((listed + 1) * 1000000)
from new_titles;
insert into watch_log
select watch_id, viewer_id, title_id, action, make_timestamp(claimed * 1000000), seconds_watched, completion,
    make_timestamp(known * 1000000)
from new_watches;
"""


def write(folder: Path, platform: Platform, rng: np.random.Generator) -> Truth:
    """Write ``stream.duckdb`` into ``folder``."""
    viewers = platform.accounts.sort_values("created", kind="stable").reset_index(names="account")
    viewers["viewer_id"] = np.arange(len(viewers)) * 3 + 1001
    viewers["given_name"], viewers["surname"] = viewers["given_name"].str.title(), viewers["surname"].str.title()
    viewers["age_band"] = some_missing(np.array(AGE_BANDS)[viewers["age_band"]], rng)
    viewers["gender"] = some_missing(np.where(viewers["female"], "female", "male"), rng)

    titles = platform.catalogue.assign(
        title_id=shuffled_numbers(len(platform.catalogue), 500_000, rng),
        runtime_seconds=rng.integers(70 * 60, 190 * 60, len(platform.catalogue)),
    )

    watches = platform.events.sort_values("known", kind="stable", ignore_index=True)
    low, high = np.array(COMPLETION_BANDS)[:-1], np.array(COMPLETION_BANDS)[1:]
    band = watches["rating"].to_numpy() - 1
    watches["completion"] = np.round(low[band] + (high - low)[band] * rng.random(len(watches)), 4)
    runtime = titles["runtime_seconds"].to_numpy()[watches["film"]]
    watches["seconds_watched"] = (watches["completion"] * runtime).round().astype("int64")
    watches["action"] = np.where(watches["rating"] == 1, "skip", "play")
    watches["watch_id"] = "w" + pd.Series(np.arange(len(watches)) + 1_000_000).astype(str)
    watches["viewer_id"] = viewers.set_index("account")["viewer_id"].loc[watches["account"]].astype("Int64").to_numpy()
    watches["title_id"] = titles["title_id"].astype("Int64").to_numpy()[watches["film"]]

    broken = watches["defect"]
    watches.loc[broken == "unknown_type", ["action", "detail"]] = UNKNOWN_ACTION
    watches.loc[(broken == "null_id") & (watches["detail"] == "account"), "viewer_id"] = pd.NA
    watches.loc[(broken == "null_id") & (watches["detail"] == "item"), "title_id"] = pd.NA
    log = pd.concat([watches, watches[broken == "duplicate"]]).sort_values("known", kind="stable")

    with duckdb.connect(str(folder / "stream.duckdb")) as connection:
        connection.execute(TABLES)
        for name, frame in {"new_viewers": viewers, "new_titles": titles, "new_watches": log}.items():
            connection.register(name, frame)
        connection.execute(FILL)

    return Truth(
        accounts=pd.DataFrame({"account_id": viewers["viewer_id"].astype(str), "person": viewers["person"]}),
        items=pd.DataFrame({"item_id": titles["title_id"].astype(str), "film": titles["film"]}),
        corruptions=corrupted("watch_log", watches, "watch_id"),
    )
