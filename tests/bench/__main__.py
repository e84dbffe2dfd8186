"""`python -m tests.bench`: a first and a second night on the full demo, the test suite's time, the night's model, and the code."""

import json
import os
import sys
import tempfile
from pathlib import Path

import duckdb

from infra.report.names import metric_name
from tests.bench.house import house
from tests.bench.measured import Measured, render, run, save

FIRST, SECOND = "2000-12-15", "2000-12-16"


def nights() -> list[Measured]:
    with tempfile.TemporaryDirectory(prefix="crossrec-bench-") as folder:
        home = Path(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
        environment["CROSSREC_HOME"] = str(home / "var")
        night = [sys.executable, "-m", "dags.cli", "nightly", "--date"]
        first = run([*night, FIRST], environment, home / "first.log")
        second = run([*night, SECOND], environment, home / "second.log")
        linked = linkage(home / "var", "account_persons", "person_id", "accounts", "person")
        matched = linkage(home / "var", "item_products", "product_id", "items", "film")
        lists = {as_of: publication(home / "var", as_of) for as_of in (FIRST, SECOND)}
        evaluation = json.loads((home / f"var/lake/nights/as_of={FIRST}/evaluation.json").read_text())
        comparison = evaluation["comparison"]
    rows = [
        Measured("first night, full demo, demo platforms built too", first.seconds, "s", 360),
        Measured("first night, peak memory of all processes", first.peak_gigabytes, "GB", 4),
        Measured("second night (next date)", second.seconds, "s", first.seconds / 2, "half of the first night"),
        Measured("second night, peak memory of all processes", second.peak_gigabytes, "GB", 4),
    ]
    for as_of, (rows_published, name) in lists.items():
        rows.append(Measured(f"rows of the lists of {as_of}", rows_published, "rows", peer=f"publication {name}"))
    for what, (precision, recall) in (("accounts that are one person", linked), ("items that are one film", matched)):
        rows.append(Measured(f"{what}, pairwise precision", precision, "share", peer="the demo's truth"))
        rows.append(Measured(f"{what}, pairwise recall", recall, "share", peer="the demo's truth"))
    window = comparison["popularity_window"]
    own = [row for row in comparison["metrics"] if row["against"] is None and row["cohort"] == "all"]
    for row in [row for row in own if row["contender"] == "challenger"]:
        peers = [
            f"{window if other['contender'] == 'popularity' else other['contender']} {other['value']:.4f}"
            for other in own
            if (other["metric"], other["platform"]) == (row["metric"], row["platform"]) and other is not row
        ]
        interval = "" if row["low"] is None else f" [{row['low']:.4f}, {row['high']:.4f}]"
        name = f"{metric_name(row['metric'])}{interval}, {row['contender']}, {row['platform']}"
        rows.append(Measured(name, row["value"], f"of {row['people']} people", peer="; ".join(peers)))
    return rows


def publication(home: Path, as_of: str) -> tuple[int, str]:
    """The rows of a night's publication, and its name, which holds the hash of its lists."""
    [file] = (home / "lake" / "publications").glob(f"{as_of}-*/publication.json")
    published = json.loads(file.read_text())
    return published["rows"], published["publication_id"]


def suite() -> Measured:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
    log = Path(tempfile.gettempdir()) / "crossrec-bench-tests.log"
    return Measured("test suite", run(["make", "-s", "test"], environment, log).seconds / 60, "min", 12)


def linkage(home: Path, found: str, found_id: str, truth: str, true_id: str) -> tuple[float, float]:
    """Pairwise precision and recall of the night's linkage against the truth beside the demo platforms."""
    with duckdb.connect() as connection:
        [(both, linked, true)] = connection.execute(
            f"""
            with known as (
                from read_parquet($found) as found inner join read_parquet($truth) as truth using (platform, {truth[:-1]}_id)
            ),
            pairs as (
                select
                    (select sum(n * (n - 1)) from (select count(*) as n from known group by {found_id}, {true_id})),
                    (select sum(n * (n - 1)) from (select count(*) as n from known group by {found_id})),
                    (select sum(n * (n - 1)) from (select count(*) as n from known group by {true_id}))
            )
            from pairs
            """,
            {
                "found": str(home / f"lake/identity/as_of={SECOND}/{found}.parquet"),
                "truth": str(home / f"demo/truth/{truth}.parquet"),
            },
        ).fetchall()
    return both / linked, both / true


if __name__ == "__main__":
    if "--render" in sys.argv:
        render()
    else:
        rows = [*nights(), *house()]
        try:
            if "--without-tests" not in sys.argv:
                rows.insert(4, suite())
        finally:  # a failing test fails the benchmark, but not what was measured before
            save("bench", rows)
