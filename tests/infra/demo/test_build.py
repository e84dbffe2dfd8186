"""The small demo as a whole: what its warehouses and its truth promise."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from infra.demo import build_demo
from infra.demo.people import HUB_EMAIL

EVENT_TABLES = ("watch_log", "order_lines", "posts")


def read_tables(demo: Path) -> dict[str, pd.DataFrame]:
    tables = {}
    with duckdb.connect(str(demo / "stream.duckdb"), read_only=True) as connection:
        for (name,) in connection.execute("select table_name from duckdb_tables() order by 1").fetchall():
            tables[name] = connection.execute(f"from {name}").df()
    with sqlite3.connect(demo / "shop.sqlite") as shop:
        for (name,) in shop.execute("select name from sqlite_master order by 1").fetchall():
            tables[name] = pd.read_sql_query(f"select * from {name}", shop)
    for name in ("members", "films", "posts"):
        tables[name] = pd.DataFrame(
            [{"file_date": file.stem[-10:], "line": line} | parsed(line) for file, line in jsonl(demo / "forum" / name)]
        )
    return tables


def jsonl(folder: Path) -> Iterator[tuple[Path, str]]:
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield file, line


def parsed(line: str) -> dict[str, object]:
    try:
        return dict(json.loads(line))
    except json.JSONDecodeError:
        return {}


@pytest.fixture(scope="session")
def tables(demo: Path) -> dict[str, pd.DataFrame]:
    return read_tables(demo)


@pytest.fixture(scope="session")
def truth(demo: Path) -> dict[str, pd.DataFrame]:
    return {part: pd.read_parquet(demo / "truth" / f"{part}.parquet") for part in ("accounts", "items", "corruptions")}


@pytest.fixture(scope="session")
def contacts(tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """platform, account_id, person, email and phone normalised."""
    members = tables["members"].drop_duplicates("handle")
    accounts = pd.concat(
        {
            "stream": tables["viewers"][["viewer_id", "email", "phone"]]
            .astype(str)
            .set_axis(["id", "email", "phone"], axis=1),
            "shop": tables["customers"][["customer_no", "email", "phone"]].set_axis(["id", "email", "phone"], axis=1),
            "forum": members[["handle", "mail", "tel"]].set_axis(["id", "email", "phone"], axis=1),
        },
        names=["platform"],
    ).reset_index("platform")
    accounts = accounts.replace({"None": None, "nan": None})
    accounts["email"] = accounts["email"].str.lower().str.replace(r"\.(?=.*@)", "", regex=True)
    accounts["phone"] = accounts["phone"].str.replace(" ", "").str.replace(r"^\+61", "0", regex=True)
    return accounts.merge(truth["accounts"], left_on=["platform", "id"], right_on=["platform", "account_id"])


def test_about_40_percent_of_the_users_live_on_several_platforms(truth: dict[str, pd.DataFrame]) -> None:
    users = truth["accounts"][truth["accounts"]["person"].str.startswith("ml:")]
    platforms = users.groupby("person")["platform"].nunique()
    assert len(platforms) == 943
    assert 0.38 < (platforms > 1).mean() < 0.42
    assert (platforms == 3).sum() > 50


def test_newcomers_have_an_account_and_no_events(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    newcomers = truth["accounts"].query("person.str.startswith('new:')")["account_id"]
    assert len(newcomers) >= 5
    assert not set(newcomers) & {
        *tables["watch_log"]["viewer_id"].dropna().astype("int64").astype(str),
        *tables["orders"]["customer_no"],
        *tables["posts"]["handle"],
    }


def test_each_catalogue_holds_about_70_percent_of_the_films(truth: dict[str, pd.DataFrame]) -> None:
    films = truth["items"]["film"].nunique()
    assert films == 1664, "every film is somewhere"
    shares = truth["items"].groupby("platform")["film"].nunique() / films
    assert shares.between(0.67, 0.73).all()


def test_nearly_all_ratings_survive(tables: dict[str, pd.DataFrame]) -> None:
    events = sum(len(tables[name]) for name in EVENT_TABLES)
    assert 0.965 < events / 99_693 < 0.985


def test_truth_covers_exactly_the_accounts_and_items(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    accounts = truth["accounts"].groupby("platform")["account_id"].agg(set)
    assert accounts["stream"] == set(tables["viewers"]["viewer_id"].astype(str))
    assert accounts["shop"] == set(tables["customers"]["customer_no"])
    assert accounts["forum"] == set(tables["members"]["handle"])
    items = truth["items"].groupby("platform")["item_id"].agg(set)
    assert items["stream"] == set(tables["titles"]["title_id"].astype(str))
    assert items["shop"] == set(tables["products"]["sku"])
    assert items["forum"] == set(tables["films"]["film"])
    assert not truth["accounts"].duplicated(["platform", "account_id"]).any()
    assert not truth["items"].duplicated(["platform", "item_id"]).any()


def test_no_truth_inside_the_warehouses(tables: dict[str, pd.DataFrame]) -> None:
    for name, table in tables.items():
        assert not {"person", "user", "human", "defect", "rating"} & set(table.columns), name
        text = table.select_dtypes(include=["object", "str"]).astype(str)
        assert not text.apply(lambda column: column.str.contains("100k_|ml:|rec-\\d+", regex=True).any()).any(), name


def test_references_hold(tables: dict[str, pd.DataFrame]) -> None:
    assert set(tables["watch_log"]["viewer_id"].dropna()) <= set(tables["viewers"]["viewer_id"])
    assert set(tables["watch_log"]["title_id"].dropna()) <= set(tables["titles"]["title_id"])
    assert set(tables["orders"]["customer_no"].dropna()) <= set(tables["customers"]["customer_no"])
    assert set(tables["order_lines"]["sku"].dropna()) <= set(tables["products"]["sku"])
    assert set(tables["order_lines"]["order_no"]) == set(tables["orders"]["order_no"])
    assert set(tables["posts"]["handle"].dropna()) <= set(tables["members"]["handle"])
    assert set(tables["posts"]["film"].dropna()) <= set(tables["films"]["film"])


def test_accounts_and_items_are_known_before_their_events(tables: dict[str, pd.DataFrame]) -> None:
    watches = tables["watch_log"].merge(tables["viewers"], on="viewer_id").merge(tables["titles"], on="title_id")
    assert (watches["updated_at_x"] < watches["ingested_at"]).all()
    assert (watches["updated_at_y"] < watches["ingested_at"]).all()
    orders = tables["orders"].merge(tables["customers"], on="customer_no")
    assert (orders["updated_at"] < orders["recorded_at"]).all()
    lines = tables["order_lines"].merge(tables["products"], on="sku")
    assert (lines["updated_at"] < lines["recorded_at"]).all()
    posts = tables["posts"].merge(tables["films"].drop_duplicates("film"), on="film", suffixes=("", "_film"))
    assert (posts["file_date_film"] < posts["file_date"]).all()
    posts = tables["posts"].merge(tables["members"].drop_duplicates("handle"), on="handle", suffixes=("", "_member"))
    assert (posts["file_date_member"] <= posts["file_date"]).all()


def test_a_row_is_known_just_after_it_happened_unless_it_is_corrupted(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    log = tables["watch_log"].drop_duplicates().set_index("watch_id")
    delay = (log["ingested_at"] - log["started_at"]).dt.total_seconds()
    kinds = truth["corruptions"].query("table == 'watch_log'").set_index("row_key")["kind"].reindex(log.index)
    assert delay[kinds == "late"].between(86_400, 5.1 * 86_400).all()
    assert (delay[kinds == "future_date"] < -29 * 86_400).all()
    assert delay[~kinds.isin(["late", "future_date"])].between(1, 30).all()


def test_multi_platform_users_alternate_in_time_ordered_runs(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    sound = tables["posts"].dropna(subset=["handle", "posted"])
    posts = pd.DataFrame({"id": sound["handle"], "at": pd.to_datetime(sound["posted"], utc=True)}).assign(
        platform="forum"
    )
    watches = pd.DataFrame(
        {
            "id": tables["watch_log"]["viewer_id"].astype(str),
            "at": tables["watch_log"]["started_at"].dt.tz_localize("UTC"),
        }
    ).assign(platform="stream")
    events = pd.concat([posts, watches]).merge(
        truth["accounts"], left_on=["platform", "id"], right_on=["platform", "account_id"]
    )
    events = events[events.groupby("person")["platform"].transform("nunique") == 2].sort_values(["person", "at"])
    switched = events["platform"] != events.groupby("person")["platform"].shift()
    runs = switched.groupby(events["person"]).sum()
    assert len(runs) > 100
    assert runs.min() >= 2
    assert 2 < len(events) / switched.sum() < 16


def test_about_60_percent_of_multi_platform_people_share_a_contact(contacts: pd.DataFrame) -> None:
    people = contacts[contacts["email"].ne(HUB_EMAIL) | contacts["email"].isna()].groupby("person")
    several = people["platform"].nunique() > 1
    same = (people["email"].agg(lambda c: c.value_counts().max() > 1)) | (
        people["phone"].agg(lambda c: c.value_counts().max() > 1)
    )
    assert 0.57 < same[several].mean() < 0.63
    assert several[several].size > 350


def test_contacts_of_different_people_are_equal_only_in_the_planted_cases(contacts: pd.DataFrame) -> None:
    people_by_email = contacts.groupby("email")["person"].nunique()
    assert people_by_email.drop(HUB_EMAIL).max() == 1
    assert people_by_email[HUB_EMAIL] == 12
    people_by_phone = contacts.groupby("phone")["person"].nunique()
    assert people_by_phone.max() <= 4
    assert 1 <= (people_by_phone > 1).sum() <= 4


def test_about_half_a_percent_of_the_rows_is_corrupted(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    assert 0.003 < len(truth["corruptions"]) / sum(map(len, tables.values())) < 0.007
    kinds = truth["corruptions"].groupby("platform")["kind"].agg(set)
    everywhere = {"duplicate", "late", "unknown_type", "future_date", "null_id"}
    assert kinds["stream"] == kinds["shop"] == everywhere
    assert kinds["forum"] == everywhere | {"malformed", "renamed", "soft_deleted"}


def test_every_corruption_is_really_there(tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]) -> None:
    keys = {
        "watch_log": "watch_id",
        "orders": "order_no",
        "order_lines": "line_id",
        "posts": "post",
        "members": "handle",
    }
    for (table, kind), wrong in truth["corruptions"].groupby(["table", "kind"]):
        rows = tables[table]
        listed = set(wrong["row_key"])
        if kind == "malformed":
            unreadable = rows[rows["post"].isna()]
            assert set(unreadable["line"].str.extract(r"(p\d{7})")[0]) == listed
            continue
        hit = rows[rows[keys[table]].isin(listed)]
        assert set(hit[keys[table]]) == listed, (table, kind)
        if kind == "duplicate":
            assert set(rows[rows.drop(columns="tags", errors="ignore").duplicated()][keys[table]]) == listed
        elif (table, kind) == ("watch_log", "unknown_type"):
            assert set(rows[rows["action"] == "buffering_ping"]["watch_id"]) == listed
        elif (table, kind) == ("orders", "unknown_type"):
            assert set(rows[rows["status"] == "test"]["order_no"]) == listed
        elif (table, kind) == ("posts", "unknown_type"):
            assert set(rows[rows["kind"] == "poll"]["post"]) == listed
        elif (table, kind) == ("watch_log", "null_id"):
            assert set(rows[rows["viewer_id"].isna() | rows["title_id"].isna()]["watch_id"]) == listed
        elif (table, kind) == ("orders", "null_id"):
            assert set(rows[rows["customer_no"].isna()]["order_no"]) == listed
        elif (table, kind) == ("posts", "null_id"):
            readable = rows[rows["post"].notna()]
            assert set(readable[readable["handle"].isna() | readable["film"].isna()]["post"]) == listed
        elif (table, kind) == ("posts", "late"):
            known = pd.to_datetime(hit["file_date"], utc=True) + pd.Timedelta(days=1)
            assert (known - pd.to_datetime(hit["posted"], utc=True)).min() > pd.Timedelta(days=1)
        elif kind == "soft_deleted":
            assert set(rows[rows["status"] == "deleted"]["handle"]) == listed
        elif kind == "renamed":
            assert set(rows[rows["formerly"].notna()]["handle"]) == listed


def test_a_renamed_member_posts_under_the_old_handle_before_and_the_new_one_after(
    tables: dict[str, pd.DataFrame],
) -> None:
    renamings = tables["members"].dropna(subset=["formerly"])
    posts = tables["posts"].dropna(subset=["posted"]).assign(posted=lambda p: pd.to_datetime(p["posted"], utc=True))
    assert len(renamings) >= 5
    seen = 0
    for renaming in renamings.itertuples():
        changed = pd.to_datetime(renaming.changed, utc=True)
        now = pd.to_datetime(posts.loc[posts["handle"] == renaming.handle, "posted"], utc=True)
        assert (now >= changed).all()
        seen += (posts["handle"] == renaming.formerly).any() and len(now) > 0
    assert seen >= 5


def test_the_same_parameters_give_the_same_content(demo: Path, tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    build_demo(tmp_path / "again", "small")
    for file in sorted(demo.rglob("*")):
        if file.is_file() and file.suffix != ".duckdb":
            assert file.read_bytes() == (tmp_path / "again" / file.relative_to(demo)).read_bytes(), file
    again = read_tables(tmp_path / "again")
    for name in ("viewers", "titles", "watch_log"):
        pd.testing.assert_frame_equal(tables[name], again[name])


def test_another_seed_gives_other_content(truth: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    build_demo(tmp_path / "other", "small", seed=7)
    assert not truth["accounts"].equals(pd.read_parquet(tmp_path / "other" / "truth" / "accounts.parquet"))


def test_a_built_demo_is_left_alone_with_what_was_written_back(demo: Path, tmp_path: Path) -> None:
    target = tmp_path / "demo"
    shutil.copytree(demo, target)
    written_back = target / "forum" / "recommendations" / "recommendations-1998-01-01.jsonl"
    written_back.parent.mkdir()
    written_back.write_text("{}\n")
    messages: list[str] = []
    build_demo(target, "small", progress=messages.append)
    assert written_back.exists()
    assert messages == [f"demo platforms are up to date in {target}"]

    (target / "shop.sqlite").unlink()
    build_demo(target, "small")
    assert (target / "shop.sqlite").exists(), "a demo that lacks a warehouse is built anew"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"], "nothing is left beside it"


def test_a_demo_of_another_size_is_replaced_only_where_somebody_says_so(demo: Path, tmp_path: Path) -> None:
    target = tmp_path / "demo"
    shutil.copytree(demo, target)
    marker = target / "truth" / "built.json"
    marker.write_text(marker.read_text().replace('"small"', '"full"'))
    (target / "forum" / "note.txt").write_text("of a night")
    with pytest.raises(FileExistsError, match=r"holds the full demo.*Received: size small. Remedy: .*--replace"):
        build_demo(target, "small")
    assert (target / "forum" / "note.txt").exists()
    build_demo(target, "small", replace=True)
    assert not (target / "forum" / "note.txt").exists()
    assert '"small"' in marker.read_text()


def test_a_folder_that_is_no_demo_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(FileExistsError, match="holds something else"):
        build_demo(tmp_path, "small")
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_each_platform_says_a_rating_in_its_own_words(tables: dict[str, pd.DataFrame]) -> None:
    log = tables["watch_log"]
    assert log["completion"].between(0.02, 1).all()
    assert (log.loc[log["action"] == "skip", "completion"] <= 0.2).all()
    assert (log.loc[log["action"] == "play", "completion"] >= 0.2).all()
    assert tables["order_lines"]["review_score"].between(1, 100).all()
    assert tables["posts"]["stars"].dropna().isin([1, 2, 3, 4, 5]).all()
    assert set(tables["posts"]["posted"].dropna().str[-6:]) >= {"-08:00", "+00:00", "+05:30", "+10:00"}


def test_a_few_percent_of_the_items_are_unavailable(tables: dict[str, pd.DataFrame]) -> None:
    latest_films = tables["films"].drop_duplicates("film", keep="last")
    assert 0.01 < (~tables["titles"]["available"]).mean() < 0.06
    assert 0.01 < (tables["products"]["in_stock"] == 0).mean() < 0.06
    assert 0.01 < (~latest_films["available"].astype(bool)).mean() < 0.06
