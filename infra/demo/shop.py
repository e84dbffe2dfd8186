"""Platform 'shop': an online shop on SQLite, with orders in New York time, prices and review scores out of 100.

What a customer bought within one minute is one order. An order's status is 'paid' or 'delivered' ('test' is a defect).
"""

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd

from infra.demo.behaviour import Platform, Truth, corrupted
from infra.demo.wording import local_text, natural_title, shuffled_numbers, some_missing, spelt

ZONE = "America/New_York"
AGE_GROUPS = ("under 18", "18 to 24", "25 to 34", "35 to 44", "45 to 49", "50 to 55", "56 and over")
DEPARTMENTS = {
    "Action": "action",
    "Adventure": "action",
    "Animation": "kids & animation",
    "Children's": "kids & animation",
    "Comedy": "comedy",
    "Crime": "crime & mystery",
    "Documentary": "documentaries",
    "Drama": "drama",
    "Fantasy": "sci-fi & fantasy",
    "Film-Noir": "crime & mystery",
    "Horror": "horror",
    "Musical": "music & musicals",
    "Mystery": "crime & mystery",
    "Romance": "romance",
    "Sci-Fi": "sci-fi & fantasy",
    "Thriller": "thrillers",
    "War": "war",
    "Western": "westerns",
}
UNKNOWN_STATUS = "test"
ORDER_DEFECTS = ("unknown_type", "future_date")  # what is wrong with the order row itself, not with one of its lines

TABLES = {
    "customers": (
        "customer_no text, first_name text, last_name text, email text, phone text, date_of_birth text, street text, "
        "suburb text, postcode text, state text, age_group text, sex text, registered_at text, updated_at text"
    ),
    "products": (
        "sku text, name text, release_year integer, department text, price real, in_stock integer, listed_at text, "
        "updated_at text"
    ),
    "orders": "order_no text, customer_no text, status text, ordered_at text, recorded_at text",
    "order_lines": (
        "line_id text, order_no text, sku text, quantity integer, unit_price real, review_score integer, "
        "recorded_at text"
    ),
}


def write(folder: Path, platform: Platform, rng: np.random.Generator) -> Truth:
    """Write ``shop.sqlite`` into ``folder``. What is wrong with an order, the truth lists with its line too."""
    customers = _customers(platform.accounts, rng)
    products = _products(platform.catalogue, rng)
    orders, lines = _orders(platform.events, rng)
    orders["customer_no"] = customers.set_index("account")["customer_no"].loc[orders["account"]].to_numpy(object)
    lines["sku"] = products["sku"].to_numpy(object)[lines["film"]]
    lines["unit_price"] = products["price"].to_numpy()[lines["film"]]

    orders.loc[orders["defect"] == "unknown_type", ["status", "detail"]] = UNKNOWN_STATUS
    lines.loc[lines["defect"] == "unknown_type", "detail"] = UNKNOWN_STATUS
    orders.loc[(orders["defect"] == "null_id"), "customer_no"] = None
    lines.loc[(lines["defect"] == "null_id") & (lines["detail"] == "item"), "sku"] = None
    twice = lines[lines["defect"] == "duplicate"]

    tables = {
        "customers": customers,
        "products": products,
        "orders": orders,
        "order_lines": pd.concat([lines, twice]).sort_values("known", kind="stable"),
    }
    connection = sqlite3.connect(folder / "shop.sqlite")
    with connection:
        for name, definition in TABLES.items():
            columns = [column.split()[0] for column in definition.split(", ")]
            connection.execute(f"create table {name} ({definition})")
            rows = tables[name][columns].astype(object)
            values = zip(*(rows[c].where(rows[c].notna(), None).tolist() for c in columns), strict=True)
            connection.executemany(f"insert into {name} values ({', '.join('?' * len(columns))})", values)
    connection.close()

    return Truth(
        accounts=pd.DataFrame({"account_id": customers["customer_no"], "person": customers["person"]}),
        items=pd.DataFrame({"item_id": products["sku"], "film": products["film"]}),
        corruptions=pd.concat([corrupted("orders", orders, "order_no"), corrupted("order_lines", lines, "line_id")]),
    )


def _customers(accounts: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    customers = accounts.sort_values("created", kind="stable").reset_index(names="account")
    return customers.assign(
        customer_no="C" + pd.Series(np.arange(len(customers)) + 42).astype(str).str.zfill(6),
        first_name=customers["given_name"].str.title(),
        last_name=customers["surname"].str.title(),
        date_of_birth=customers["born"],
        state=customers["state"].str.upper(),
        age_group=some_missing(np.array(AGE_GROUPS)[customers["age_band"]], rng),
        sex=some_missing(np.where(customers["female"], "F", "M"), rng),
        registered_at=local_text(customers["created"], ZONE),
        updated_at=local_text(customers["created"] + 1, ZONE),
    )


def _products(catalogue: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return catalogue.assign(
        sku="DVD-" + pd.Series(shuffled_numbers(len(catalogue), 1000, rng)).astype(str).str.zfill(6),
        name=natural_title(catalogue["name"]),
        release_year=catalogue["year"],
        department=spelt(catalogue["genres"], DEPARTMENTS, ";"),
        price=rng.choice([4.99, 7.99, 9.99, 12.49, 14.99, 19.99, 24.99], len(catalogue)),
        in_stock=catalogue["available"].astype("int64"),
        listed_at=local_text(catalogue["listed"], ZONE),
        updated_at=local_text(catalogue["listed"] + 1, ZONE),
    )


def _orders(events: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events as orders and their lines; an event whose defect is one of the order row is an order of its own."""
    lines = events.sort_values(["account", "at"], kind="stable", ignore_index=True)
    of_order = lines["defect"].isin(ORDER_DEFECTS) | ((lines["defect"] == "null_id") & (lines["detail"] == "account"))
    minute = lines["at"] // 60
    opens = (lines["account"].diff() != 0) | (minute.diff() != 0) | of_order | of_order.shift(fill_value=False)
    lines["order"] = opens.cumsum() - 1
    own_fault = np.where(of_order, lines["defect"], "")
    orders = (
        lines.assign(own_fault=own_fault, own_detail=np.where(of_order, lines["detail"], ""))
        .groupby("order")
        .agg(
            account=("account", "first"),
            at=("at", "max"),
            claimed=("claimed", "max"),
            defect=("own_fault", "first"),
            detail=("own_detail", "first"),
        )
    )
    orders["known"] = orders["at"] + rng.integers(1, 30, len(orders))
    orders = orders.sort_values("known", kind="stable").reset_index()
    orders["order_no"] = "O-" + pd.Series(np.arange(len(orders)) + 1).astype(str).str.zfill(7)
    orders["status"] = rng.choice(["delivered", "paid"], len(orders), p=[0.9, 0.1])
    orders["ordered_at"] = local_text(orders["claimed"], ZONE)
    orders["recorded_at"] = local_text(orders["known"], ZONE)

    lines = lines.merge(orders[["order", "order_no", "known"]], on="order", suffixes=("", "_order"))
    lines["known"] = np.where(lines["defect"] == "late", lines["known"], lines["known_order"])
    lines["line_id"] = lines["order_no"] + "-" + (lines.groupby("order").cumcount() + 1).astype(str)
    lines = lines.sort_values(["known", "line_id"], kind="stable", ignore_index=True)
    lines["quantity"] = rng.choice([1, 2], len(lines), p=[0.96, 0.04])
    lines["review_score"] = np.clip(lines["rating"] * 20 + rng.integers(-9, 10, len(lines)), 1, 100)
    lines["recorded_at"] = local_text(lines["known"], ZONE)
    return orders, lines
