"""What the report says of a night, read from the records of its steps and from models of dbt."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from dags.steps.conservation import conservation_of
from dags.steps.night import Night
from dags.steps.records import (
    Delivery,
    Evaluation,
    JudgedSources,
    Linked,
    ListCounts,
    Promotion,
    RowCounts,
    ServingModel,
    WrittenBack,
)
from dags.steps.serve.frozen import is_frozen
from expectations.gate import GateResult
from infra.identity_store import identity_key
from infra.report.facts import JudgedSource, MetricPoint
from infra.report.night import NightSummary
from infra.warehouse import connect, query
from ml.evaluation.comparison import ALL, CHALLENGER, POPULARITY
from ml.identity.linkage import bits
from ml.identity.nearest import nearest_pairs
from ml.identity.people import PEOPLE

HISTORY_DAYS = 90
EXAMPLES = 3
OF_PERSON = "where person_id = $id"
ACCOUNTS = f"select platform, account_id from marts.person_accounts {OF_PERSON} order by all"
EVENTS = (
    f'select title, platform, occurred_at::date as "when", what from marts.reported_interactions {OF_PERSON}'
    " order by occurred_at desc, event_id limit 12"
)
TASTE = f"select category, share from marts.person_categories {OF_PERSON} and as_of = $as_of order by position"
LISTS = (
    f"select * exclude (person_id, account_id) from marts.reported_lists {OF_PERSON} and list_contains($new, platform)"
    " order by platform, account_id, rank"
)


def summary_of(night: Night, gates: list[GateResult], data_docs: Path) -> NightSummary:
    """All that the report shows, from the records of the steps and the models of the night."""
    comparison = night.read(Evaluation).comparison
    serving, linked = night.read(ServingModel), night.read(Linked, "person")
    return NightSummary.model_validate(
        {
            "as_of": night.as_of,
            "run_id": night.run_id,
            "funnel": _funnel(night),
            "conservation": conservation_of(night),
            "totals": {
                "persons": linked.clusters,
                "multi_platform_persons": linked.on_several_platforms,
                "products": night.read(Linked, "product").clusters,
            },
            "gates": gates,
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
        delivery, written = night.find(Delivery, platform), night.find(WrittenBack, platform)
        own = [row for row in rows if row.platform == platform]
        kinds = ("raw_rows", "staged_rows", "duplicate_rows", "quarantined_rows")
        funnel.append(
            {
                "platform": platform,
                **counts.get(platform, {}),
                **{kind: sum(getattr(row, kind) for row in own) for kind in kinds},
                "lists": sum(row.accounts for row in lists if row.platform == platform),
                "written_back": written.lists if written else None,
                "stale_days": (night.as_of - delivery.data_of).days if delivery else 0,
                "notice": delivery.notice(platform, night.as_of) if delivery else "",
            }
        )
    return funnel


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
    pairs = night.read_table(identity_key(night.as_of.isoformat(), "account_pairs"))
    nearest = nearest_pairs(pairs, bits(night.settings.person_threshold), PEOPLE.compared)
    return [asdict(pair) for pair in nearest]


def _people(night: Night) -> list[dict[str, Any]]:
    """A few example persons with what they did and what they are newly recommended."""
    new = [platform for platform in night.platforms if not is_frozen(night, platform)]
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
                "lists": _lists(rows(LISTS, id=person["person_id"], new=new)),
            }
            for person in examples
        ]


def _lists(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows by platform; the row of an item does not repeat it."""
    lists: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        lists.setdefault(item.pop("platform"), []).append(item)
    return [{"platform": platform, "items": rows} for platform, rows in lists.items()]
