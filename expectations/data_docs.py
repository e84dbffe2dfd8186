"""Great Expectations' own site about what the gates found: Data Docs of a file context.

The gates validate frames in memory (`expectations.gate`). What is stored and shown here comes from their results, which hold
counts and aggregates: no row of a frame gets into it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from expectations.gate import CheckResult, GateResult

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.data_context import FileDataContext
    from great_expectations.data_context.types.resource_identifiers import ValidationResultIdentifier

SITE = "local_site"  # what Great Expectations calls the site of a new file context
SITE_FOLDER = "uncommitted/data_docs/local_site"
# pages have the time and an id of the context in the address of the logo, which a foreign server would learn, and an id made by
# chance where something unfolds: with them each build would differ
CHANCE = re.compile(r"(?<=logo-long\.png)\?[^\"]*|(?<=collapse-body)-[0-9a-f-]{36}")
SITE_CONFIG = {
    "class_name": "SiteBuilder",
    "show_how_to_buttons": False,  # they advertise steps that the gates do by themselves
    "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": f"{SITE_FOLDER}/"},
    "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
}


def build_data_docs(folder: Path, gates: Sequence[GateResult]) -> Path:
    """Store the results in the file context in ``folder``, and build the pages about them and the index of all nights.

    Results of checks that Great Expectations did not make, such as the promotion of a model, are left out. The same results
    give the same files. Returns the path of the site's index.
    """
    context = _context(folder)
    stored = []
    for gate in gates:
        if all(check.arguments for check in gate.checks):
            stored.append(_identifier(gate))
            context.validation_results_store.set(stored[-1], _validation(gate))
    context.build_data_docs(site_names=[SITE], resource_identifiers=stored)
    index = folder / SITE_FOLDER / "index.html"
    for night in sorted({gate.as_of for gate in gates}):
        for page in (index, *index.parent.glob(f"validations/*/{night}/*/*.html")):
            page.write_text(CHANCE.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")
    return index


def _context(folder: Path) -> FileDataContext:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="file", context_root_dir=folder)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    context.update_data_docs_site(SITE, SITE_CONFIG)
    return context


def _identifier(gate: GateResult) -> ValidationResultIdentifier:
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    return ValidationResultIdentifier(
        expectation_suite_identifier=ExpectationSuiteIdentifier(gate.gate),
        run_id=RunIdentifier(run_name=str(gate.as_of), run_time=datetime.combine(gate.as_of, time(), UTC)),
        batch_identifier=gate.platform or "all",
    )


def _validation(gate: GateResult) -> ExpectationSuiteValidationResult:
    from great_expectations.core import ExpectationSuiteValidationResult

    held = len(gate.held)
    return ExpectationSuiteValidationResult(
        success=len(gate.checks) == held,
        results=[_checked(check) for check in gate.checks],
        suite_name=gate.gate,
        statistics={
            "evaluated_expectations": len(gate.checks),
            "successful_expectations": held,
            "unsuccessful_expectations": len(gate.checks) - held,
            "success_percent": 100 * held / len(gate.checks),
        },
        meta={"run_id": _identifier(gate).run_id, "batch_spec": {}, "active_batch_definition": {}},
    )


def _checked(check: CheckResult) -> ExpectationValidationResult:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    return ExpectationValidationResult(
        success=check.success,
        expectation_config=ExpectationConfiguration(
            type=check.expectation,
            kwargs=check.arguments,
            description=check.description,
            notes=f"{check.why}. Remedy: {check.remedy}." if check.why else None,
            severity="critical" if check.severity == "stop" else "warning",
        ),
        result={"observed_value": check.observed},
        exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
    )
