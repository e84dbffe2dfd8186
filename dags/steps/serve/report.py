"""The night on one page, and in a few facts for the terminal."""

import logging
import tempfile
from pathlib import Path

from dags.steps.night import Night
from dags.steps.records import Finished, ServingModel, file_name
from dags.steps.serve.summary import summary_of
from expectations.data_docs import build_data_docs
from expectations.gate import GateResult
from infra.report.page import render

log = logging.getLogger(__name__)

GATES = (
    *("loads", "contents", "reconciliation", "identity_persons", "identity_products", "interactions", "labels"),
    *("transfer", "training_data", "leakage", "promotion"),
    *("features", "recommendations", "lists", "written_back"),
)


def report(night: Night) -> None:
    """Write the page to the lake and to the MLflow run of the model that scored the night, which is finished then."""
    gates = _gates(night)
    data_docs = build_data_docs(night.settings.home.absolute() / "great_expectations", gates)
    summary = summary_of(night, gates, data_docs)
    for notice in summary.notices:
        log.warning(notice)
    night.write(summary)
    page = render(summary)
    night.lake.put(night.key("report.html"), page.encode())
    _log_to_mlflow(night, page)
    night.write(Finished(run_id=night.run_id))
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


def _gates(night: Night) -> list[GateResult]:
    """What every gate of the night found, in the order of the tasks. A gate that `GATES` does not name is shown too, last."""
    prefix, suffix = file_name(GateResult, "?").split("?")
    keys = (key.removeprefix(night.key(prefix)).removesuffix(suffix) for key in night.lake.list(night.key(prefix)))
    found = [night.read(GateResult, key) for key in keys]
    order = {gate: place for place, gate in enumerate(GATES)}
    of_tonight = [result for result in found if result.platform is None or result.platform in night.platforms]
    return sorted(of_tonight, key=lambda result: (order.get(result.gate, len(GATES)), result.key))
