import json
import pickle
import subprocess
import sys
from datetime import date

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pytest

from expectations.gate import GateResult, GateStopped, promotion_gate, run_gate, stop, warn

AS_OF = date(2000, 12, 15)


def suite(*expectations: gxe.Expectation, named_by: str | None = None) -> gx.ExpectationSuite:
    return gx.ExpectationSuite(name="test", expectations=list(expectations), meta={"named_by": named_by})


def positive(severity=stop, column="amount"):
    words = severity("amounts above zero", why="nobody pays less than nothing", remedy="fix the till")
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, strict_min=True, **words)


FRAME = pa.table({"person": ["anna", "bert", "cora"], "amount": [1.0, 2.0, 3.0]})
BROKEN = pa.table({"person": ["anna", "bert", "cora"], "amount": [1.0, -2.0, 3.0]})


def test_good_data_passes_and_says_what_was_seen():
    result = run_gate("till", suite(positive()), FRAME, as_of=AS_OF, platform="shop")
    assert (result.verdict, result.platform, result.as_of) == ("pass", "shop", AS_OF)
    assert [check.observed for check in result.checks] == ["all 3 rows so"]
    result.raise_if_stopped()


def test_message_of_a_stopped_gate_is_complete_and_holds_no_row():
    result = run_gate("till", suite(positive()), BROKEN, as_of=AS_OF, platform="shop")
    with pytest.raises(GateStopped) as stopped:
        result.raise_if_stopped()
    assert str(stopped.value) == (
        "gate 'till' stopped the night of 2000-12-15 for platform 'shop'; what was published before stays up.\n"
        "  STOP: expected amounts above zero; found 1 of 3 rows not so (33.3%).\n"
        "    Why: nobody pays less than nothing\n"
        "    Do: fix the till"
    )


def test_a_check_keeps_the_arguments_of_its_expectation():
    [check] = run_gate("till", suite(positive()), BROKEN, as_of=AS_OF).checks
    assert check.arguments == {"column": "amount", "min_value": 0.0, "strict_min": True}


def test_a_warning_lets_the_night_pass():
    result = run_gate("till", suite(positive(warn)), BROKEN, as_of=AS_OF)
    assert result.verdict == "warn"
    result.raise_if_stopped()


def test_stops_come_before_warnings_and_checks_keep_the_order_of_the_suite():
    also = gxe.ExpectTableRowCountToBeBetween(min_value=9, **stop("nine rows", why="", remedy=""))
    result = run_gate("till", suite(positive(warn), also), BROKEN, as_of=AS_OF)
    assert [check.description for check in result.checks] == ["amounts above zero", "nine rows"]
    assert [check.description for check in result.failed] == ["nine rows", "amounts above zero"]


def test_rows_are_named_only_where_the_suite_says_by_which_column():
    result = run_gate("till", suite(positive(), named_by="person"), BROKEN, as_of=AS_OF)
    assert result.checks[0].observed == "bert (-2)"


def test_what_cannot_be_checked_stops_even_where_it_would_only_warn():
    result = run_gate("till", suite(positive(warn, column="gone")), FRAME, as_of=AS_OF)
    assert result.verdict == "stop"
    assert result.checks[0].observed.startswith("nothing, for it could not be checked")
    assert "gone" in result.checks[0].observed


def test_a_null_is_missing_but_nan_is_out_of_every_range():
    null = pa.table({"amount": [1.0, None]})
    nan = pa.table({"amount": [1.0, float("nan")]})
    assert run_gate("till", suite(positive()), null, as_of=AS_OF).verdict == "pass"
    assert run_gate("till", suite(positive()), nan, as_of=AS_OF).verdict == "stop"


def test_pandas_frames_are_taken_as_they_are():
    assert run_gate("till", suite(positive()), BROKEN.to_pandas(), as_of=AS_OF).verdict == "stop"


def test_result_is_json_with_its_verdict_and_comes_back_equal():
    result = run_gate("till", suite(positive()), BROKEN, as_of=AS_OF)
    assert json.loads(result.model_dump_json())["verdict"] == "stop"
    assert GateResult.model_validate_json(result.model_dump_json()) == result


def test_several_gates_stop_with_one_message_that_survives_pickling():
    results = [run_gate("till", suite(positive()), BROKEN, as_of=AS_OF, platform=name) for name in ("shop", "forum")]
    stopped = pickle.loads(pickle.dumps(GateStopped(*results)))
    assert "platform 'shop'" in str(stopped)
    assert "platform 'forum'" in str(stopped)


def test_the_frame_is_not_kept_after_the_gate():
    import gc
    import weakref

    frame = pd.DataFrame({"amount": [1.0]})
    seen = weakref.ref(frame)
    run_gate("till", suite(positive()), frame, as_of=AS_OF)
    del frame
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize(("load", "verdict"), [(None, "stop"), ("held", "hold"), ("accepted", "warn")])
def test_what_became_of_a_load_decides_whether_the_night_stops(load, verdict):
    result = run_gate("till", suite(positive()), BROKEN, as_of=AS_OF).model_copy(update={"load": load})
    assert result.verdict == verdict
    assert type(result).model_validate_json(result.model_dump_json()) == result
    assert result.reasons
    assert all("gate 'till' expected " in reason for reason in result.reasons)
    if verdict == "stop":
        with pytest.raises(GateStopped):
            result.raise_if_stopped()
    else:
        result.raise_if_stopped()


@pytest.mark.parametrize(("promote", "verdict"), [(True, "pass"), (False, "warn")])
def test_promotion_is_shown_as_a_gate_and_never_stops(promote, verdict):
    result = promotion_gate(promote, ["NDCG@10 +0.004", "coverage fell"], as_of=AS_OF)
    assert (result.gate, result.verdict) == ("promotion", verdict)
    assert result.checks[0].observed == "NDCG@10 +0.004; coverage fell"


def test_importing_every_suite_leaves_great_expectations_and_pandas_alone():
    modules = ["gate", "data_docs", "loads", "reconciliation", "training_data", "recommendations"]
    code = f"""
import importlib, sys
for module in {modules}: importlib.import_module("expectations." + module)
print([name for name in ("great_expectations", "pandas", "airflow", "infra", "ml") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
