"""The gate: run a suite over a frame, report which checks held, and stop the night where one must hold.

Great Expectations takes seconds to import, so it is imported by the functions that validate, never by this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, computed_field, model_validator

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext

Severity = Literal["stop", "warn"]
Verdict = Literal["pass", "warn", "hold", "stop"]

NAMED_ROWS = 5


class CheckResult(BaseModel):
    """One expectation after validation, in words an on-call understands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    expectation: str
    arguments: dict[str, Any] = {}  # of the expectation; empty for a check that is none of Great Expectations'
    column: str | None = None
    severity: Severity
    success: bool
    observed: str = ""
    why: str = ""
    remedy: str = ""


class GateResult(BaseModel):
    """What one gate found; ``platform`` is None where the gate looks at all of them together.

    ``load`` says what became of a platform's load that must not pass: it was held, and the night goes on with what the platform
    sent before; or a person had accepted it, and it passes. None: the night stops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str
    platform: str | None = None
    as_of: date
    checks: tuple[CheckResult, ...]
    load: Literal["held", "accepted"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_verdict(cls, fields: Any) -> Any:
        """The verdict is written for people who read the JSON. It follows from the checks, so it is not read back."""
        return (
            {name: value for name, value in fields.items() if name != "verdict"} if isinstance(fields, dict) else fields
        )

    @property
    def key(self) -> str:
        """Tells this result from those of the night's other gates: the gate's name and, where there is one, the platform."""
        return f"{self.gate}-{self.platform}" if self.platform else self.gate

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> Verdict:
        failed = {check.severity for check in self.failed}
        if "stop" in failed and self.load != "accepted":
            return "hold" if self.load == "held" else "stop"
        return "warn" if failed else "pass"

    @property
    def reasons(self) -> tuple[str, ...]:
        """What the checks that stop found, in a sentence each."""
        return tuple(
            f"gate '{self.gate}' expected {check.description}; found {check.observed or 'otherwise'}"
            for check in self.failed
            if check.severity == "stop"
        )

    @property
    def held(self) -> list[CheckResult]:
        return [check for check in self.checks if check.success]

    @property
    def failed(self) -> list[CheckResult]:
        """The checks that did not hold. Those that stop the night come first."""
        return sorted((check for check in self.checks if not check.success), key=lambda check: check.severity)

    def raise_if_stopped(self) -> None:
        """Raise GateStopped if a check with severity 'stop' failed."""
        if self.verdict == "stop":
            raise GateStopped(self)


class GateStopped(RuntimeError):
    """The night must not go on. ``results`` are the gates that stopped. The message says what to do about each."""

    def __init__(self, *results: GateResult) -> None:
        super().__init__(*results)
        self.results = results

    def __str__(self) -> str:
        return "\n".join(_explain(result) for result in self.results)


def _explain(result: GateResult) -> str:
    where = f" for platform '{result.platform}'" if result.platform else ""
    lines = [f"gate '{result.gate}' stopped the night of {result.as_of}{where}; what was published before stays up."]
    for check in result.failed:
        lines.append(f"  {check.severity.upper()}: expected {check.description}; found {check.observed}.")
        lines += [f"    {label}: {text}" for label, text in (("Why", check.why), ("Do", check.remedy)) if text]
    return "\n".join(lines)


def stop(description: str, *, why: str, remedy: str) -> dict[str, Any]:
    """Keyword arguments of an expectation whose failure stops the night.

    ``description`` completes the sentence "expected ...": it names what is right, not what is wrong.
    """
    return {"description": description, "severity": "critical", "meta": {"why": why, "remedy": remedy}}


def warn(description: str, *, why: str, remedy: str) -> dict[str, Any]:
    """Keyword arguments of an expectation whose failure is reported and lets the night pass."""
    return {"description": description, "severity": "warning", "meta": {"why": why, "remedy": remedy}}


def run_gate(
    name: str, suite: gx.ExpectationSuite, frame: pd.DataFrame | pa.Table, *, as_of: date, platform: str | None = None
) -> GateResult:
    """Validate ``frame`` against ``suite``.

    An expectation that cannot be evaluated (its column is not there, its type is wrong) counts as a failed stop.
    Observed values are counts and aggregates, never rows, unless the suite says by ``meta["named_by"]`` (a column)
    how its failing rows may be named; only suites over frames about tables do.
    """
    named_by = (suite.meta or {}).get("named_by")
    result_format: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": NAMED_ROWS}
    if named_by:
        result_format["unexpected_index_column_names"] = [named_by]

    data_sources = _context().data_sources
    source = data_sources.add_or_update_pandas(name)
    try:
        batch_definition = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")
        batch = batch_definition.get_batch(batch_parameters={"dataframe": _as_pandas(frame)})
        results = batch.validate(suite, result_format=result_format).results
    finally:
        data_sources.delete(name)  # it would keep the frame in memory for the rest of the process

    checks = {_identity(result.expectation_config): _check(result, named_by) for result in results}
    order = [_identity(expectation.configuration) for expectation in suite.expectations]
    return GateResult(gate=name, platform=platform, as_of=as_of, checks=tuple(checks[identity] for identity in order))


def promotion_gate(promote: bool, reasons: Sequence[str], *, as_of: date) -> GateResult:
    """The promotion decision, shown beside the gates: a challenger kept back warns and leaves the champion serving."""
    check = CheckResult(
        description="a challenger good enough to replace the champion",
        expectation="promotion",
        severity="warn",
        success=promote,
        observed="; ".join(reasons),
        why="a model that is not clearly as good as the one that serves must not serve",
        remedy="nothing if the reasons are right: the champion goes on; otherwise compare both runs in MLflow",
    )
    return GateResult(gate="promotion", as_of=as_of, checks=(check,))


@cache
def _context() -> EphemeralDataContext:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _as_pandas(frame: pd.DataFrame | pa.Table) -> pd.DataFrame:
    """Arrow columns stay Arrow: a null is then missing, and a NaN is a number that no range admits."""
    if not isinstance(frame, pa.Table):
        return frame
    import pandas as pd

    converted: pd.DataFrame = frame.to_pandas(types_mapper=pd.ArrowDtype)
    return converted


def _identity(configuration: Any) -> str:
    kwargs = {key: value for key, value in configuration.kwargs.items() if key != "batch_id"}
    return f"{configuration.type} {sorted(kwargs.items(), key=lambda item: item[0])} {configuration.description}"


def _check(result: ExpectationValidationResult, named_by: str | None) -> CheckResult:
    configuration = result.expectation_config
    assert configuration is not None
    error = _error(result.exception_info)
    kwargs, meta = configuration.kwargs, configuration.meta or {}
    return CheckResult(
        description=configuration.description or configuration.type,
        expectation=configuration.type,
        arguments={name: value for name, value in configuration.to_json_dict()["kwargs"].items() if name != "batch_id"},
        column=kwargs.get("column") or ", ".join(kwargs.get("column_list", ())) or None,
        severity="stop" if error or str(configuration.severity.value) == "critical" else "warn",
        success=bool(result.success),
        observed=f"nothing, for it could not be checked: {error}" if error else _observed(result, named_by),
        why=meta.get("why", ""),
        remedy=meta.get("remedy", ""),
    )


def _error(exception_info: dict[str, Any] | None) -> str | None:
    """First line of what went wrong while evaluating, or None; GX nests it under each metric's id."""
    for info in (exception_info, *(exception_info or {}).values()):
        if isinstance(info, dict) and info.get("raised_exception"):
            return str(info.get("exception_message")).strip().split("\n")[0].rstrip(".")[:200]
    return None


def _observed(result: ExpectationValidationResult, named_by: str | None) -> str:
    """What was found, as text. It is in percent where the description of the rule is."""
    assert result.expectation_config is not None
    found, words = result.result, _percent if "%" in (result.expectation_config.description or "") else _number
    if "observed_value" in found:
        return _value(found["observed_value"], words) or "no number"
    unexpected, rows = found.get("unexpected_count", 0), found.get("element_count", 0)
    if not unexpected:
        return f"all {rows:,} rows so"
    if not named_by:
        return f"{unexpected:,} of {rows:,} rows not so ({_percent(unexpected / rows)})"
    named = []
    for row in found["partial_unexpected_index_list"][:NAMED_ROWS]:
        value = ", ".join(_value(value, words) for column, value in row.items() if column != named_by)
        named.append(f"{row[named_by]} ({value})" if value else str(row[named_by]))
    return ", ".join(named) + (f" and {unexpected - NAMED_ROWS:,} more" if unexpected > NAMED_ROWS else "")


def _value(value: Any, words: Callable[[float], str]) -> str:
    if str(value) in ("None", "nan", "<NA>"):
        return ""
    return words(float(value)) if hasattr(value, "__float__") else str(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"


def _percent(share: float) -> str:
    return f"{share:.2%}" if share < 0.1 else f"{share:.1%}"
