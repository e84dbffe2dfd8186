import re
import subprocess
import sys
from copy import deepcopy
from html.parser import HTMLParser

import pytest

from infra.report.night import NightSummary
from infra.report.page import render

DATA_DOCS = "../great_expectations/uncommitted/data_docs/local_site/index.html"


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
    assert read.tags.count("svg") == 3 + 1 + 1 + 6 + 1 + 3
    assert text.count("How to read it:") == 5
    [notice] = summary.notices
    assert text.index(notice) < text.index("412,907")
    for platform in summary.funnel:
        assert platform.platform in text
        assert f"{platform.raw_rows:,}" in text
    for person in summary.people:
        assert person.person_id[:12] in text
    for wanted in ("15 December 2000", "Passed with warnings", "posts (0.71%)", "cannot be told from", "0.0713 ★"):
        assert wanted in text


def test_the_page_loads_nothing_from_anywhere(page):
    elsewhere = {name for name in Reader(page).references if not name.startswith("#") and name != "data:,"}
    assert elsewhere == {DATA_DOCS}, "which is followed, not loaded"
    assert not re.search(r"https?://|@import|url\((?!#)|<script|<iframe|<object|<embed", page)


def test_the_way_to_the_data_docs_is_absolute_where_the_page_lies_in_a_bucket(facts):
    links = {**facts["links"], "report": "s3://lake/nights/as_of=2000-12-15/report.html"}
    page = render(NightSummary.model_validate({**facts, "links": links}))
    assert f'href="file:///home/ada/crossrec/var/{DATA_DOCS.removeprefix("../")}"' in page


def test_the_page_is_the_same_in_another_process(page, summary, tmp_path):
    (tmp_path / "night.json").write_text(summary.model_dump_json())
    code = (
        "import pathlib, sys; from infra.report.night import NightSummary; from infra.report.page import render; "
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


@pytest.mark.parametrize(
    "missing",
    [
        "funnel",
        "conservation",
        "gates",
        "metrics",
        "history",
        "people",
        "interests_alone",
        "totals",
        "links",
        "seconds",
    ],
)
def test_any_part_may_be_missing(facts, missing):
    page = render(NightSummary.model_validate({key: value for key, value in facts.items() if key != missing}))
    assert not Reader(page).open


def test_what_interests_alone_tell_is_drawn_said_and_listed(page, facts):
    section = page[page.index('<section id="identity">') : page.index('<section id="gates">')]
    assert section.count("<svg") == 1
    label = re.search(r'<svg[^>]* role="img" aria-label="([^"]*)"', section)
    assert label is not None
    assert label[1] == "precision and recall of linking by interests alone, by the cosine of interests"
    assert {"precision", "recall", "linked from this cosine on"} <= {*re.findall(r"<text[^>]*>([^<]*)</text>", section)}
    assert "<code>CROSSREC_BEHAVIOUR_THRESHOLD</code> is off, the default" in section
    cells = re.findall(r"<t[hd](?: scope=\"row\")?>([0-9.%]+)</t[hd]>", section)
    assert cells == ["0.00", "0.12%", "92.1%", "0.50", "0.16%", "79.4%", "0.95", "0.34%", "27.5%"]
    none = render(NightSummary.model_validate(facts | {"interests_alone": []}))
    assert '<section id="identity">' not in none
    assert "Interests alone" not in none


def test_what_became_of_every_row_is_told_from_loads_to_lists(page, facts):
    section = page[page.index('<section id="conservation">') : page.index('<section id="identity">')]
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)]
    assert [" ".join(row) for row in rows] == [
        "customers all loads 23 rows to be kept: not counted accounts with a person; a count is missing",
        "order_lines tonight 12 rows landed: 10 staged, 2 in quarantine 10 rows staged: 8 kept, 2 of an unknown account"
        " 8 rows to be kept: 9 interactions; 1 came from nowhere",
        "order_lines load of 2000-12-14 1,336 rows staged: 1 kept; 1,335 became nothing",
        "order_lines earlier loads 25,000 rows landed: 24,900 staged, 100 repeated",
        "lists tonight 23 active accounts: 20 have a list, 1 created after the night, 2 had everything on offer"
        " 400 rows ranked for accounts: 400 in lists",
    ]
    assert section.count('class="line"') == 5
    red = re.findall(r'class="line stop">([0-9,]+)', section)
    assert red == ["23", "8", "1,336"], "those that do not add up"
    assert "What became of every row" not in render(NightSummary.model_validate(facts | {"conservation": []}))


def rows_of(page: str, start: str, end: str) -> list[list[str]]:
    """The words of each table row between two places of a page, cell by cell."""
    part = page[page.index(start) : page.index(end, page.index(start))]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", part, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>", " ", cell) for cell in row] for row in cells]


def test_for_whom_the_lists_are_good_is_told_in_two_small_tables(page, facts):
    gaps = rows_of(page, "<h3>For whom</h3>", "<details>")
    assert [row[0] for row in gaps] == ["gap in NDCG@10 by", "activity", "gender"]
    assert gaps[1][1].split() == ["0.0214", "heavy", "over", "light"]
    header, *cohorts = rows_of(page, "By cohort, as numbers", "</table>")
    assert header[1:] == ["people", "Tonight&#39;s model", "Serving model", "Popularity"]
    assert cohorts[1][:2] == ["activity: light", "900"]
    assert cohorts[1][2].split() == ["0.0570", "0.0513", "to", "0.0627"]
    assert cohorts[2] == ["activity: new", "29", "-", "-", "-"]
    whole = [row for row in facts["metrics"] if "cohort" not in row]
    assert "For whom" not in render(NightSummary.model_validate(facts | {"metrics": whole}))


def test_a_metric_without_a_panel_stands_among_the_numbers(page):
    section = page[page.index('<section id="quality">') : page.index('<section id="nights">')]
    assert section.count("<svg") == 6
    numbers = rows_of(section, "By platform, as numbers", "</table>")
    assert [row[0] for row in numbers][1:] == ["NDCG@10", "Recall@20", "MRR", "AUC", "Log loss", "Coverage", "Novelty"]
    assert "Novelty: <span" in section


def test_a_night_that_stopped_early_says_so(facts):
    stopped = deepcopy(facts["gates"][1])
    stopped["checks"][0]["success"] = False
    bare = NightSummary(
        as_of=facts["as_of"],
        run_id="run",
        funnel=[{"platform": "shop"}],
        gates=[stopped],
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


def _text(summary: NightSummary) -> str:
    read = Reader(render(summary))
    assert not read.open
    return " ".join(" ".join(read.text).split())


def test_what_platforms_know_for_each_other_is_a_table(summary):
    transfers = [
        {"source": "forum", "target": "shop", "people": 108, "with_source": 0.067, "without": 0.0537, "gain": 0.0133}
        | {"gain_low": -0.0045, "gain_high": 0.0349, "verdict": "kept"},
        {"source": "stream", "target": "shop", "people": 40, "with_source": 0.05, "without": 0.06, "gain": -0.01}
        | {"gain_low": -0.03, "gain_high": 0.01, "verdict": "too few"},
    ]
    text = _text(NightSummary.model_validate(summary.model_dump() | {"transfers": transfers}))
    assert "forum shop 108 0.0537 0.0670 +0.0133 -0.0045 to +0.0349 kept" in text
    assert "stream shop 40 0.0600 0.0500 -0.0100 -0.0300 to +0.0100 too few" in text


def test_the_price_of_diversity_is_a_table(summary):
    alone = {"strength": 0, "ndcg_at_10": 0.13, "ndcg_change": 0, "ndcg_low": 0, "ndcg_high": 0}
    mixed = {"strength": 0.2, "ndcg_at_10": 0.12, "ndcg_change": -0.01, "ndcg_low": -0.02, "ndcg_high": 0.001}
    prices = [
        alone | {"intra_list_diversity": 0.69, "is_used": True},
        mixed | {"intra_list_diversity": 0.86, "is_used": False},
    ]
    text = _text(NightSummary.model_validate(summary.model_dump() | {"diversity": prices}))
    assert "0.00 (in use) 0.690 0.1300 - 0.20 0.860 0.1200 -0.0100 -0.0200 to +0.0010" in text


def test_what_lists_are_worth_by_objective_is_a_table(summary):
    assert "By objective" not in _text(summary)
    row = {"objective": "watch_time", "contender": "challenger", "metric": "ndcg_at_10", "value": 0.12, "people": 310}
    bounds = {"low": 0.1, "high": 0.14}
    objectives = [
        row | bounds,
        row | bounds | {"against": "popularity", "value": 0.02},
        row | bounds | {"contender": "als"},
        row | {"objective": "click", "people": 29},
    ]
    text = _text(NightSummary.model_validate(summary.model_dump() | {"objectives": objectives}))
    assert "watch time NDCG@10 310 0.1200 0.1000 to 0.1400 - - click NDCG@10 29 - - -" in text


def test_the_exploration_slots_tell_something_or_say_that_they_do_not(summary):
    assert "Nothing yet: no lists with an exploration slot" in _text(summary)
    row = {"policy": "logged", "estimator": "counting", "value": 0.05, "low": 0.04, "high": 0.06}
    unknown = {"policy": "challenger", "estimator": "snips", **dict.fromkeys(("value", "low", "high"), float("nan"))}
    told = {
        "lists": 1_200,
        "explored": 610,
        "interacted": 60,
        "estimates": [row | {"effective_sample_size": 1_200}, unknown | {"effective_sample_size": 0}],
    }
    text = _text(NightSummary.model_validate(summary.model_dump() | {"off_policy": told}))
    assert "1,200 chose the item of their last slot at random, and 610 of these" in text
    assert "what was shown counting 0.0500 0.0400 to 0.0600 1,200 lists" in text
    assert "Tonight's model self-normalised IPS - 0 lists" in text
    assert "Too few to trust" not in text
    few = NightSummary.model_validate(summary.model_dump() | {"off_policy": told | {"interacted": 29}})
    assert "Too few to trust: 29 of these items got a positive interaction" in _text(few)


def test_a_pinned_item_needs_no_score(summary):
    people = deepcopy(summary.model_dump()["people"])
    people[0]["lists"][0]["items"][0]["score"] = None
    assert "pinned" in _text(NightSummary.model_validate(summary.model_dump() | {"people": people}))
