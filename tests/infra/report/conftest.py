from datetime import UTC, date, datetime, timedelta

import pytest

from infra.report.night import NightSummary

AS_OF = date(2000, 12, 15)
NOTICE = "YELLOW: platform 'forum' ships data of 2000-12-14 (no load of 2000-12-15: the database cannot be reached)"
CONTENDERS = {
    "challenger": 0.0713,
    "champion": 0.0698,
    "popularity": 0.0641,
    "ease": 0.0655,
    "item_neighbours": 0.0702,
    "als": 0.0628,
    "bpr": 0.0604,
}
SCALE = {"ndcg_at_10": 1.0, "recall_at_20": 2.3, "mrr": 1.6, "auc": 10.4, "coverage": 4.0, "novelty": 130.0}
COHORTS = {
    "activity: heavy": (1.1, 3_100),
    "activity: light": (0.8, 900),
    "activity: new": (0.2, 29),
    "gender: F": (0.95, 1_200),
    "gender: M": (1.02, 2_700),
}


def _metrics():
    for platform, shift in (("all", 1.0), ("stream", 1.08), ("shop", 0.9), ("forum", 0.97)):
        for contender, quality in CONTENDERS.items():
            for metric, scale in SCALE.items():
                value = quality * scale * shift
                margin = None if metric == "coverage" else 0.05 * value
                yield {
                    "contender": contender,
                    "platform": platform,
                    "metric": metric,
                    "value": value,
                    "low": margin and value - margin,
                    "high": margin and value + margin,
                }
            if contender in ("challenger", "champion"):
                yield {"contender": contender, "platform": platform, "metric": "log_loss", "value": 0.31 - quality / 10}


def _by_cohort():
    for cohort, (shift, people) in COHORTS.items():
        for contender, quality in CONTENDERS.items():
            for metric in ("ndcg_at_10", "recall_at_20", "mrr"):
                value = quality * SCALE[metric] * shift
                yield {
                    "contender": contender,
                    "platform": "all",
                    "cohort": cohort,
                    "metric": metric,
                    "value": value,
                    "low": 0.9 * value,
                    "high": 1.1 * value,
                    "people": people,
                }


def _history():
    for nights_ago in range(9, -1, -1):
        for contender, quality in CONTENDERS.items():
            wobble = ((nights_ago * 7 + len(contender)) % 5 - 2) / 700
            learnt = 0.0 if contender not in ("challenger", "champion") else -nights_ago / 900
            yield {
                "as_of": AS_OF - timedelta(days=nights_ago),
                "contender": contender,
                "metric": "ndcg_at_10",
                "value": quality + wobble + learnt,
            }


def _check(description, success=True, severity="stop", observed="all 3 rows so"):
    return {
        "description": description,
        "severity": severity,
        "success": success,
        "observed": observed,
        "why": "rows that cannot be read are lost to the lists until the source sends them again",
        "remedy": "look at `_unreadable` of tonight's raw files; most often a writer changed its format",
        "expectation": "expect_something",
        "column": None,
    }


def _gate(gate, platform=None, verdict="pass", *failed):
    held = [_check(f"rule number {number} of this gate") for number in range(1, 9)]
    return {"gate": gate, "platform": platform, "as_of": AS_OF, "verdict": verdict, "checks": [*held, *failed]}


def _gates():
    unreadable = _check("at most 0.50% of a table's rows unreadable", False, "warn", "posts (0.71%)")
    constant = _check("more than one value of feature price", False, "warn", "1")
    yield from (_gate("loads", "stream"), _gate("loads", "shop"), _gate("loads", "forum", "warn", unreadable))
    yield from (_gate("reconciliation"), _gate("training_data", None, "warn", constant))
    yield from (_gate("recommendations", platform) for platform in ("stream", "shop", "forum"))
    yield _gate("promotion")


def _items(titles, strategy="personalised"):
    return [
        {"rank": rank, "title": title, "score": 0.42 / rank, "strategy": strategy, "category": "Drama"}
        for rank, title in enumerate(titles, start=1)
    ]


PEOPLE = [
    {
        "person_id": "p-3f9a1c20d4",
        "accounts": [{"platform": "stream", "account_id": "48"}, {"platform": "shop", "account_id": "C000048"}],
        "events_in_all": 214,
        "events": [
            {"title": "Matrix, The (1999)", "platform": "stream", "when": date(2000, 12, 12), "what": "watched"},
            {"title": "The Sixth Sense", "platform": "shop", "when": date(2000, 12, 11), "what": "bought"},
            {
                "title": "Being John Malkovich (1999)",
                "platform": "stream",
                "when": date(2000, 12, 9),
                "what": "watched",
            },
            {"title": "American Beauty (1999)", "platform": "stream", "when": date(2000, 12, 9), "what": "watched"},
            {"title": "Fargo", "platform": "shop", "when": date(2000, 12, 2), "what": "bought"},
        ],
        "taste": [
            {"category": "Drama", "share": 0.31},
            {"category": "Thriller", "share": 0.24},
            {"category": "Sci-Fi", "share": 0.19},
            {"category": "Comedy", "share": 0.14},
            {"category": "Film-Noir", "share": 0.12},
        ],
        "lists": [
            {
                "platform": "stream",
                "items": _items(
                    [
                        "Usual Suspects, The (1995)",
                        "L.A. Confidential (1997)",
                        "Seven (Se7en) (1995)",
                        "Blade Runner (1982)",
                        "Memento (2000)",
                        "Reservoir Dogs (1992)",
                    ]
                ),
            },
            {
                "platform": "shop",
                "items": _items(
                    [
                        "Twelve Monkeys",
                        "The Silence of the Lambs",
                        "Alien",
                        "Pulp Fiction",
                        "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb",
                        "Run Lola Run",
                    ]
                ),
            },
        ],
    },
    {
        "person_id": "p-77b0e2aa91",
        "accounts": [
            {"platform": "stream", "account_id": "912"},
            {"platform": "shop", "account_id": "C000912"},
            {"platform": "forum", "account_id": "bluefox77"},
        ],
        "events_in_all": 1_038,
        "events": [
            {"title": "Toy Story 2", "platform": "forum", "when": date(2000, 12, 14), "what": "rated 5"},
            {"title": "Chicken Run (2000)", "platform": "stream", "when": date(2000, 12, 13), "what": "watched"},
            {"title": "Iron Giant, The (1999)", "platform": "stream", "when": date(2000, 12, 10), "what": "skipped"},
        ],
        "taste": [
            {"category": "Animation", "share": 0.44},
            {"category": "Children's", "share": 0.33},
            {"category": "Comedy", "share": 0.23},
        ],
        "lists": [
            {"platform": "stream", "items": _items(["Aladdin (1992)", "Lion King, The (1994)", "Babe (1995)"])},
            {"platform": "shop", "items": _items(["A Bug's Life", "Antz", "The Little Mermaid"])},
            {"platform": "forum", "items": _items(["Mulan", "Tarzan", "Wallace & Gromit: The Wrong Trousers"])},
        ],
    },
    {
        "person_id": "p-c41d00be57",
        "accounts": [{"platform": "forum", "account_id": "quietreader"}],
        "events_in_all": 1,
        "events": [{"title": "Gladiator", "platform": "forum", "when": date(2000, 11, 30), "what": "rated 4"}],
        "taste": [{"category": "Action", "share": 1.0}],
        "lists": [
            {
                "platform": "forum",
                "items": _items(["American Beauty", "Star Wars: Episode V", "Raiders of the Lost Ark"], "popular"),
            }
        ],
    },
]


def _funnel():
    numbers = {
        "stream": (412_907, 1_733, 620, 410_554, 3_412, 2_731, 3_377, 408_112, 511_800, 3_412),
        "shop": (371_220, 1_502, 811, 368_907, 2_986, 2_702, 2_941, 365_890, 447_900, 2_986),
        "forum": (259_318, 1_240, 1_905, 256_173, 2_274, 2_688, 2_208, 254_011, 341_100, 2_274),
    }
    names = ("raw_rows", "duplicate_rows", "quarantined_rows", "staged_rows", "accounts", "items", "persons")
    names += ("interactions", "candidates", "lists")
    for platform, values in numbers.items():
        counts = dict(zip(names, values, strict=True))
        row = {"platform": platform, **counts, "written_back": counts["lists"]}
        yield row | ({"stale_days": 1, "notice": NOTICE} if platform == "forum" else {})


def _conservation():
    def line(table, stage, rows, load_date=AS_OF, earlier_loads=0, **parts):
        named = [{"name": name, "rows": count} for name, count in parts.items()]
        place = {"platform": "shop", "table": table, "load_date": load_date, "earlier_loads": earlier_loads}
        return place | {"stage": stage, "rows": rows, "parts": named}

    yield line("lists", "ranked", 400, list_row=400)
    yield line("lists", "accounts", 23, listed=20, created_later=1, had_everything=2)
    yield line("order_lines", "fates", 1_336, AS_OF - timedelta(days=1), kept=1)
    yield line("order_lines", "staged", 25_000, None, 7, staged=24_900, duplicate=100, unreadable=0)
    yield line("order_lines", "fates", 10, kept=8, unknown_account=2)
    yield line("order_lines", "staged", 12, staged=10, quarantined=2)
    yield line("order_lines", "marts", 8, interaction=9)
    yield line("customers", "marts", 23, None, account_with_person=None)


@pytest.fixture(scope="session")
def facts() -> dict:
    """A night like those of the full demo, as plain data."""
    return {
        "as_of": AS_OF,
        "run_id": "manual__2000-12-15T00:00:00+00:00",
        "started": datetime(2026, 11, 22, 2, 0, tzinfo=UTC),
        "seconds": 317.4,
        "funnel": list(_funnel()),
        "conservation": list(_conservation()),
        "totals": {"persons": 6_040, "multi_platform_persons": 2_397, "products": 3_883},
        "gates": list(_gates()),
        "metrics": [*_metrics(), *_by_cohort()],
        "history": list(_history()),
        "promotion": "promote: not worse than the champion, overall NDCG@10 +0.0015 [-0.0008, +0.0038]",
        "model_version": "4",
        "people": PEOPLE,
        "interests_alone": [
            {"threshold": 0.0, "precision": 0.001234, "recall": 0.9206},
            {"threshold": 0.5, "precision": 0.0016, "recall": 0.7937},
            {"threshold": 0.95, "precision": 0.0034, "recall": 0.2751},
        ],
        "links": {
            "report": "/home/ada/crossrec/var/reports/2000-12-15.html",
            "data_docs": "/home/ada/crossrec/var/great_expectations/uncommitted/data_docs/local_site/index.html",
            "airflow_log": "/home/ada/crossrec/var/logs/nightly-2000-12-15.log",
            "mlflow_run": "sqlite:////home/ada/crossrec/var/mlflow/mlflow.db run 9f1c2ab04e",
        },
    }


@pytest.fixture(scope="session")
def summary(facts) -> NightSummary:
    return NightSummary.model_validate(facts)
