import io
from copy import deepcopy

from rich.console import Console

from infra.report.night import NightSummary
from infra.report.terminal import print_summary


def printed(summary: NightSummary, width: int = 110) -> str:
    console = Console(width=width, record=True, highlight=False, file=io.StringIO())
    print_summary(summary, console)
    return console.export_text()


def test_everything_a_person_wants_fits_two_screens(summary):
    text = printed(summary)
    assert len(text.splitlines()) <= 80
    for wanted in (
        "stream",
        "shop",
        "forum",
        "412,907",
        "0.0713 ★",
        "0.0702 ≈",
        "Usual Suspects, The (1995)",
        "(popular)",
    ):
        assert wanted in text
    assert "loads forum: expected at most 0.50% of a table's rows unreadable; found posts (0.71%)" in text


def test_paths_are_never_wrapped(summary):
    text = printed(summary, width=40)
    assert "/home/ada/crossrec/var/logs/nightly-2000-12-15.log\n" in text
    assert (
        "Data Docs    /home/ada/crossrec/var/great_expectations/uncommitted/data_docs/local_site/index.html\n" in text
    )


def test_markup_in_a_title_is_only_text(facts):
    odd = deepcopy(facts)
    odd["people"][2]["events"][0]["title"] = "[bold]Brackets[/nope] (1999)"
    odd["people"][2]["lists"][0]["items"][0]["title"] = "[red]List[/]"
    text = printed(NightSummary.model_validate(odd))
    assert "[bold]Brackets[/nope] (1999)" in text
    assert "[red]List[/]" in text


def test_an_item_says_why_it_is_there(facts):
    reasoned = deepcopy(facts)
    reasoned["people"][0]["lists"][1]["items"][1]["reason"] = "because you rated [rec] on forum"
    assert "2 The Silence of the Lambs  because you rated [rec] on forum" in printed(
        NightSummary.model_validate(reasoned)
    )


def test_a_stopped_night_shows_what_stopped_it_and_nothing_that_was_not_made(facts):
    stopped = {key: facts[key] for key in ("as_of", "run_id", "links")}
    stopped["funnel"] = [{"platform": "shop", "raw_rows": 9}]
    check = facts["gates"][0]["checks"][0] | {"description": "labels of 0 or 1", "success": False}
    check["observed"] = "2 of 9 rows not so"
    stopped["gates"] = [{"gate": "training_data", "as_of": facts["as_of"], "checks": [check]}]
    text = printed(NightSummary.model_validate(stopped))
    assert "✗ training data: expected labels of 0 or 1; found 2 of 9 rows not so" in text
    assert "lists made" not in text
    assert "held-out" not in text


def test_a_night_that_goes_on_with_older_data_says_so_in_its_first_line(summary):
    assert printed(summary, width=160).strip().splitlines()[0] == summary.funnel[-1].notice


def test_a_gate_that_held_a_load_is_yellow(facts):
    held = deepcopy(facts)
    held["gates"][3]["load"] = "held"
    held["gates"][3]["checks"][0] |= {"success": False, "severity": "stop"}
    assert "! load held" in printed(NightSummary.model_validate(held))
