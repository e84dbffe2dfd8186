"""The page of one night: a single HTML file that needs nothing else, light or dark, on a desk or a phone."""

from __future__ import annotations

import os
import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from infra.report import charts
from infra.report.facts import Links
from infra.report.names import (
    CHARTED,
    COHORT_CONTENDERS,
    COHORT_METRICS,
    ENOUGH_INTERACTED,
    ESTIMATORS,
    FUNNEL_STAGES,
    LEARNED,
    METRIC_HELP,
    SMALLEST_GROUP,
    contender_name,
    duration,
    metric_name,
    nights,
    part_name,
    stage_name,
)
from infra.report.night import NightSummary


def data_docs_href(links: Links) -> str:
    """Where the page finds the Data Docs: seen from its own folder, so that a home that is moved as a whole keeps the link."""
    docs, page = links.data_docs or "", links.report or ""
    if "://" in page or not page:
        return Path(docs).as_uri()
    return Path(os.path.relpath(docs, Path(page).parent)).as_posix()


def render(summary: NightSummary) -> str:
    """The whole page as HTML; the same summary gives the same text."""
    environment = Environment(
        loader=PackageLoader("infra.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "contender": contender_name,
        "metric": metric_name,
        "duration": duration,
        "nights": nights,
        "part": part_name,
        "stage": stage_name,
        "data_docs_href": data_docs_href,
        "code": lambda text: Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(Markup.escape(text)))),
        "count": lambda number: "not counted" if number is None else f"{number:,}",
        "day": lambda when: f"{when.day} {when:%B %Y}",
        "short_day": lambda when: f"{when.day} {when:%b %Y}",
    }
    followed = [name for name in CHARTED if len({p.as_of for p in summary.history if p.metric == name}) > 1]
    return environment.get_template("page.html.j2").render(
        night=summary,
        charts=charts,
        stages=FUNNEL_STAGES,
        help=METRIC_HELP,
        charted=[name for name in summary.metric_names() if name in CHARTED],
        cohort_metrics=COHORT_METRICS,
        cohort_contenders=[name for name in summary.contenders() if name in COHORT_CONTENDERS],
        smallest_group=SMALLEST_GROUP,
        learned=LEARNED,
        estimators=ESTIMATORS,
        enough_interacted=ENOUGH_INTERACTED,
        followed=followed,
        history_contenders=list(dict.fromkeys([*summary.contenders(), *(p.contender for p in summary.history)])),
    )
