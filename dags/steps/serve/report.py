"""Step 13: the night on one page, and in a few facts for the terminal."""

import logging
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from dags.steps.night import Night
from dags.steps.records import (
    Evaluation,
    Extracted,
    JudgedSources,
    Linked,
    ListCounts,
    Promotion,
    RowCounts,
    ServingModel,
    WrittenBack,
)
from expectations.data_docs import build_data_docs
from expectations.gate import GateResult
from infra.identity_store import identity_key
from infra.report.facts import JudgedSource, MetricPoint
from infra.report.night import NightSummary
from infra.report.page import render
from infra.warehouse import connect, query
from ml.evaluation.comparison import ALL, CHALLENGER, POPULARITY
from ml.identity.ids import waterfall
from ml.identity.linkage import bits
from ml.identity.people import PEOPLE

log = logging.getLogger(__name__)

HISTORY_DAYS = 90
EXAMPLES = 3
OF_PERSON = "where person_id = $id"
ACCOUNTS = f"select platform, account_id from marts.person_accounts {OF_PERSON} order by all"
EVENTS = (
    f'select title, platform, occurred_at::date as "when", what from marts.reported_interactions {OF_PERSON}'
    " order by occurred_at desc, event_id limit 12"
)
TASTE = f"select category, share from marts.person_categories {OF_PERSON} and as_of = $as_of order by position"
LISTS = f"select * exclude (person_id, account_id) from marts.reported_lists {OF_PERSON} order by platform, account_id, rank"


def report(night: Night) -> None:
    """Write the page to the lake and to the MLflow run of the model that scored the night."""
    data_docs = build_data_docs(night.settings.home.absolute() / "great_expectations", _gates(night))
    summary = _summary(night, data_docs)
    night.write(summary)
    page = render(summary)
    night.lake.put(night.key("report.html"), page.encode())
    _log_to_mlflow(night, page)
    log.info(f"report: {night.lake.uri(night.key('report.html'))}")


def _log_to_mlflow(night: Night, page: str) -> None:
    serving = night.read(ServingModel)
    if serving.version is None:
        return
    from infra.mlflow.registry import Registry

    registry = Registry(night.settings)
    version = registry.version(serving.version)
    if version is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"report-{night.as_of}.html"
            file.write_text(page)
            registry.log_report(version, file)


def _summary(night: Night, data_docs: Path) -> NightSummary:
    comparison = night.read(Evaluation).comparison
    serving, linked = night.read(ServingModel), night.read(Linked, "person")
    return NightSummary.model_validate(
        {
            "as_of": night.as_of,
            "run_id": night.run_id,
            "funnel": _funnel(night),
            "totals": {
                "persons": linked.clusters,
                "multi_platform_persons": linked.on_several_platforms,
                "products": night.read(Linked, "product").clusters,
            },
            "gates": _gates(night),
            "metrics": comparison.metrics if comparison else (),
            "transfers": _transfers(night),
            "objectives": comparison.objectives if comparison else (),
            "diversity": comparison.diversity if comparison else (),
            "off_policy": comparison.off_policy if comparison else None,
            "history": _history(night),
            "promotion": f"{night.read(Promotion).reasons[0]}.",
            "model_version": str(serving.version) if serving.version is not None else None,
            "people": _people(night),
            "compared": _compared(night),
            "interests_alone": linked.interests_alone,
            "behaviour_threshold": night.settings.behaviour_threshold,
            "identity_changes": query(
                night.settings,
                "select entity, kind, records, evidence from marts.identity_changes where as_of = $as_of order by all",
                {"as_of": night.as_of},
            ).to_pylist(),
            "links": {
                "report": night.lake.uri(night.key("report.html")),
                "data_docs": str(data_docs),
                "airflow_log": str(night.settings.home / "logs" / f"nightly-{night.as_of}.log"),
                "mlflow_run": f"{serving.run_id} (`make up` shows it)" if serving.run_id else None,
            },
        }
    )


def _funnel(night: Night) -> list[dict[str, Any]]:
    counted = query(night.settings, "from marts.reported_platforms").to_pylist()
    counts = {row.pop("platform"): row for row in counted}
    rows, lists = night.read(RowCounts).counts, night.read(ListCounts).counts
    funnel = []
    for platform in night.platforms:
        extracted, written = night.find(Extracted, platform), night.find(WrittenBack, platform)
        loads = extracted.loads if extracted else ()
        own = [row for row in rows if row.platform == platform]
        kinds = ("raw_rows", "staged_rows", "duplicate_rows", "quarantined_rows")
        funnel.append(
            {
                "platform": platform,
                **counts.get(platform, {}),
                **{kind: sum(getattr(row, kind) for row in own) for kind in kinds},
                "lists": sum(row.accounts for row in lists if row.platform == platform),
                "written_back": written.lists if written else None,
                "stale_days": _stale_days(night, platform) if any(load.stale for load in loads) else 0,
            }
        )
    return funnel


def _stale_days(night: Night, platform: str) -> int:
    newest = [night.loads(platform, table.name)[-1].as_of for table in night.platforms[platform].tables]
    return (night.as_of - min(newest)).days


def _gates(night: Night) -> list[GateResult]:
    keys = [
        *(f"loads-{platform}" for platform in night.platforms),
        *("reconciliation", "identity_persons", "identity_products"),
        *("transfer", "training_data", "leakage", "promotion"),
        *(f"recommendations-{platform}" for platform in night.platforms),
    ]
    return [gate for key in keys if (gate := night.find(GateResult, key))]


def _transfers(night: Night) -> list[JudgedSource]:
    """What each platform is worth to each other, where any list tells."""
    sources = night.find(JudgedSources)
    judged = sources.judged if sources else ()
    return [row for row in judged if row.target != ALL and row.cohort == ALL and row.gain is not None]


def _history(night: Night) -> list[MetricPoint]:
    """What each night of the last months measured, tonight included."""
    points = []
    for days in range(HISTORY_DAYS, -1, -1):
        as_of = night.as_of - timedelta(days=days)
        evaluation = Night(as_of, settings=night.settings).find(Evaluation)
        comparison = evaluation.comparison if evaluation else None
        points += [
            MetricPoint(as_of=as_of, contender=row.contender, metric=row.metric, value=row.value)
            for row in (comparison.metrics if comparison else ())
            if (row.against, row.platform, row.cohort) == (None, ALL, ALL) and row.contender in (CHALLENGER, POPULARITY)
        ]
    return points


def _compared(night: Night) -> list[dict[str, Any]]:
    """The pairs of accounts nearest to the threshold on both sides: there it shows what linking can and cannot tell."""
    pairs = night.read_table(identity_key(night.as_of.isoformat(), "account_pairs"))
    threshold = bits(night.settings.person_threshold)
    weights = pairs["match_weight"]
    sides = {
        "The weakest link that counts": (pc.greater_equal(weights, threshold), "ascending"),
        "The strongest that does not": (pc.less(weights, threshold), "descending"),
    }
    shown = []
    for caption, (side, order) in sides.items():
        for pair in (
            pairs.filter(side).sort_by([("match_weight", order), ("id_l", "ascending")]).slice(0, 1).to_pylist()
        ):
            steps = waterfall(pair, PEOPLE.compared)
            shown.append(
                {
                    "caption": caption,
                    "left": f"{pair['platform_l']}:{pair['id_l']}",
                    "right": f"{pair['platform_r']}:{pair['id_r']}",
                    "start": pair["match_weight"] - sum(weight for _, weight in steps),
                    "steps": steps,
                    "weight": pair["match_weight"],
                    "probability": pair["score"],
                }
            )
    return shown


def _people(night: Night) -> list[dict[str, Any]]:
    """A few example persons with what they did and what they are recommended."""
    with connect(night.settings) as warehouse:

        def rows(sql: str, **parameters: object) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = warehouse.execute(sql, parameters).to_arrow_table().to_pylist()
            return found

        examples = rows("from marts.example_persons where position <= $count order by position", count=EXAMPLES)
        return [
            {
                "person_id": person["person_id"],
                "events_in_all": person["events"],
                "accounts": rows(ACCOUNTS, id=person["person_id"]),
                "events": rows(EVENTS, id=person["person_id"]),
                "taste": rows(TASTE, id=person["person_id"], as_of=night.as_of),
                "lists": _lists(rows(LISTS, id=person["person_id"])),
            }
            for person in examples
        ]


def _lists(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    platforms = dict.fromkeys(item["platform"] for item in items)
    return [{"platform": name, "items": [item for item in items if item["platform"] == name]} for name in platforms]
