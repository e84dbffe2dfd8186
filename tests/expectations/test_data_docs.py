"""Great Expectations' site about the gates: it opens, says what the gates said, and holds no row."""

import re
from datetime import date, timedelta
from pathlib import Path

import great_expectations as gx
import great_expectations.expectations as gxe
import pyarrow as pa
import pytest

from expectations.data_docs import build_data_docs
from expectations.gate import GateResult, promotion_gate, run_gate, stop, warn

AS_OF = date(2000, 12, 15)
FRAME = pa.table({"person": ["anna", "bertrand", "cora"], "amount": [1.0, -2777.25, 3.0]})


def gate(as_of: date = AS_OF, platform: str | None = "shop") -> GateResult:
    suite = gx.ExpectationSuite(
        name="till",
        expectations=[
            gxe.ExpectColumnValuesToBeBetween(
                column="amount",
                min_value=0,
                **stop("amounts above zero", why="nobody pays less", remedy="fix the till"),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="person", value_set=["anna"], **warn("anna alone", why="she has the key", remedy="ask her")
            ),
            gxe.ExpectTableRowCountToBeBetween(min_value=1, **stop("at least a row", why="it is the till", remedy="")),
        ],
    )
    return run_gate("till", suite, FRAME, as_of=as_of, platform=platform)


def files(folder: Path) -> dict[str, str]:
    """Every page and every stored result."""
    found = [path for path in folder.rglob("*") if path.suffix in (".html", ".json")]
    return {str(path.relative_to(folder)): path.read_text() for path in found}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    build_data_docs(folder, [gate(), promotion_gate(True, ["NDCG@10 +0.004"], as_of=AS_OF)])
    build_data_docs(folder, [gate(AS_OF + timedelta(1), platform=None)])
    return folder


def test_the_index_leads_to_a_page_of_each_gate_and_night(built: Path) -> None:
    index = built / "uncommitted" / "data_docs" / "local_site" / "index.html"
    pages = sorted(set(re.findall(r'(validations/[^"\s]*\.html)', index.read_text())))
    assert len(pages) == 2, "one each night; the promotion is no validation"
    assert ["2000-12-15" in pages[0], "2000-12-16" in pages[1]] == [True, True]
    for page in pages:
        text = (index.parent / page).read_text()
        for said in ("amounts above zero", "1 of 3 rows not so (33.3%)", "anna alone", "2 of 3 rows not so (66.7%)"):
            assert said in text


def test_great_expectations_reads_the_stored_results(built: Path) -> None:
    context = gx.get_context(mode="file", context_root_dir=built)
    stored = [context.validation_results_store.get(key) for key in context.validation_results_store.list_keys()]
    assert [(result.suite_name, result.success, len(result.results)) for result in stored] == [("till", False, 3)] * 2


def test_no_value_of_a_row_gets_into_any_file(built: Path) -> None:
    content = files(built)
    assert len(content) == 5
    for name, text in content.items():
        assert "bertrand" not in text, name
        assert "2777" not in text, name


def test_the_same_results_give_the_same_files(built: Path, tmp_path: Path) -> None:
    build_data_docs(tmp_path, [gate()])
    build_data_docs(tmp_path, [gate(AS_OF + timedelta(1), platform=None)])
    build_data_docs(tmp_path, [gate(AS_OF + timedelta(1), platform=None)])  # as when the report runs again
    assert files(tmp_path) == files(built)
