import re
import subprocess
import sys
from copy import deepcopy
from html.parser import HTMLParser

import pytest

from infra.report import NightSummary, render


class Reader(HTMLParser):
    """Collects text, attributes that would load something, ids, and whether every element is closed."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(summary) -> str:
    return render(summary)


def test_every_section_platform_and_person_is_there(page, summary):
    read = Reader(page)
    text = " ".join(" ".join(read.text).split())
    assert not read.open
    assert read.tags.count("svg") == 3 + 1 + 6 + 1 + 3
    assert text.count("How to read it:") == 4
    for platform in summary.funnel:
        assert platform.platform in text
        assert f"{platform.raw_rows:,}" in text
    for person in summary.people:
        assert person.person_id[:12] in text
    for wanted in ("15 December 2000", "Passed with warnings", "posts (0.71%)", "cannot be told from", "0.0713 ★"):
        assert wanted in text


def test_the_page_loads_nothing_from_anywhere(page):
    assert all(reference.startswith("#") or reference == "data:," for reference in Reader(page).references)
    assert not re.search(r"https?://|@import|url\((?!#)|<script|<iframe|<object|<embed", page)


def test_the_page_is_the_same_in_another_process(page, summary, tmp_path):
    (tmp_path / "night.json").write_text(summary.model_dump_json())
    code = (
        "import pathlib, sys; from infra.report import NightSummary, render; "
        "night = NightSummary.model_validate_json(pathlib.Path(sys.argv[1]).read_text()); "
        "sys.stdout.buffer.write(render(night).encode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "night.json")], capture_output=True, check=True, timeout=120
    )
    assert done.stdout.decode() == page


def test_what_platforms_write_stays_text(facts):
    evil = "<script>alert('x')</script>"
    odd = deepcopy(facts)
    odd["people"][0]["events"][0]["title"] = evil
    odd["people"][0]["taste"][0]["category"] = f"$\\frac$ {evil}"
    odd["people"][0]["lists"][0]["items"][0]["title"] = evil
    odd["people"][0]["accounts"][0]["account_id"] = f'"{evil}'
    odd["funnel"][0]["platform"] = f'"{evil}'
    odd["gates"][2]["checks"][-1]["observed"] = evil
    odd["gates"][2]["checks"][-1]["remedy"] = f"run `{evil}`"
    page = render(NightSummary.model_validate(odd))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 7


@pytest.mark.parametrize("missing", ["funnel", "gates", "metrics", "history", "people", "totals", "links", "seconds"])
def test_any_part_may_be_missing(facts, missing):
    page = render(NightSummary.model_validate({key: value for key, value in facts.items() if key != missing}))
    assert not Reader(page).open


def test_a_night_that_stopped_early_says_so(facts):
    bare = NightSummary(
        as_of=facts["as_of"],
        run_id="run",
        funnel=[{"platform": "shop"}],
        gates=[{"gate": "sources", "platform": "shop", "verdict": "stop"}],
    )
    text = " ".join(Reader(render(bare)).text)
    assert "What was published before it is still what people see." in " ".join(text.split())
    assert "not counted" in text
    assert "Lines appear here from the second night on." in text


def test_a_person_without_events_taste_or_lists(facts):
    page = render(NightSummary.model_validate(facts | {"people": [{"person_id": "p-new"}]}))
    assert "nothing yet" in page
    assert "1 example person" in page


def test_metrics_that_could_not_be_computed_are_shown_as_such(facts):
    odd = deepcopy(facts)
    odd["metrics"][0] |= {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    odd["history"][0]["value"] = float("nan")
    assert "nan" in render(NightSummary.model_validate(odd))
