"""Why two accounts or items are one, or are not."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from dags.steps.merge.explain import explain
from dags.steps.merge.kinds import PERSON
from dags.steps.merge.known_records import UnknownRecordError
from dags.steps.merge.linkage_model import serving_model
from dags.steps.merge.linked_records import account_records, read_vault
from dags.steps.night import Night
from tests.e2e.conftest import SECOND, TwoNights, settings_of
from tests.e2e.identifiers import Identifiers
from tests.e2e.identity import a_link, identity, ids, strangers


@pytest.mark.parametrize("weakest", [True, False])
def test_an_explanation_adds_up_to_what_the_night_found(weakest: bool, second: Night) -> None:
    pair = a_link(second, weakest)
    one, two = (pair["platform_l"], pair["id_l"]), (pair["platform_r"], pair["id_r"])
    found = explain(second, "person", two, one)
    assert found.weight == pytest.approx(pair["match_weight"], abs=1e-3)
    assert found.start + sum(bits for _, bits in found.steps) == pytest.approx(found.weight, abs=1e-2)
    assert dict(found.steps) == {name: pair[name] for name in PERSON.spec.compared if pair[name]}
    assert found.same is (ids(second)[one] == ids(second)[two])


def test_strangers_are_explained_too(second: Night) -> None:
    """They share no block, so the night never compared them."""
    [(one, two)] = strangers(second.settings.home)
    found = explain(second, "person", one, two)
    assert found.weight < -10
    assert found.start + sum(bits for _, bits in found.steps) == pytest.approx(found.weight, abs=1e-2)
    assert not found.same
    assert re.fullmatch(r"[0-9.]+ bits are missing to a probability of 90%", found.because)


def test_what_else_keeps_two_apart_is_said(second: Night) -> None:
    """Where a link is strong enough, which here any is."""
    any_link = Night(SECOND, settings=settings_of(second.settings.home, person_threshold=1e-20))
    [(one, member), (two, _)] = strangers(second.settings.home, 2)
    assert explain(any_link, "person", one, two).because == "nobody has two accounts on shop"
    assert explain(any_link, "person", one, member).because.startswith(
        "stronger links put each into a person of its own"
    )


def test_two_whom_others_link(second: Night) -> None:
    of = ids(second)
    pairs = [
        ((row["platform_l"], row["id_l"]), (row["platform_r"], row["id_r"]))
        for row in identity(second, "account_pairs")
        if row["score"] < second.settings.person_threshold
    ]
    one, two = next(pair for pair in pairs if of[pair[0]] == of[pair[1]])
    assert explain(second, "person", one, two).because == f"others link them, as one person {of[one]}"


def test_a_product_is_explained_by_its_titles_and_codes(second: Night) -> None:
    pair = next(row for row in identity(second, "item_pairs") if row["score"] > 0.99)
    found = explain(second, "product", (pair["platform_l"], pair["id_l"]), (pair["platform_r"], pair["id_r"]))
    assert "title" in dict(found.steps)
    assert found.because == "their link is strong enough"


def test_explain_prints_a_waterfall_without_what_was_compared(
    second: Night, two_nights: TwoNights, identifiers: Identifiers, cli: Callable[..., Result]
) -> None:
    pair = a_link(second, weakest=False)
    one, two = (f"{pair[f'platform_{end}']}:{pair[f'id_{end}']}" for end in ("l", "r"))
    result = cli(two_nights.home, "explain", one, two)
    assert result.exit_code == 0, result.output
    lines = re.findall(r"([a-z ]+?) +│ +([+-][0-9.]+) +│ +([+-][0-9.]+) +│", result.output)
    assert lines[0][0].strip() == "any two"
    running = 0.0
    for _, bits, sum_ in lines:
        running += float(bits)
        assert float(sum_) == pytest.approx(running, abs=0.1 * len(lines))
    assert float(lines[-1][2]) == pytest.approx(pair["match_weight"], abs=0.06)
    assert f"{pair['match_weight']:+.1f} bits" in result.output
    assert "one person, for their link is strong enough" in result.output
    assert identifiers.in_text(result.output) == set()
    values = [str(value).lower() for value in said_of_themselves(second, pair) if value]
    assert len(values) > 8
    assert [value for value in values if value in result.output.lower()] == []


def said_of_themselves(second: Night, pair: dict[str, Any]) -> list[object]:
    """What the vault has of both accounts, as written and as compared; two letters of a state are in any text."""
    model = serving_model(second, PERSON)
    people, _ = read_vault(second, model)
    accounts = [(pair[f"platform_{end}"], pair[f"id_{end}"]) for end in ("l", "r")]
    return [
        value
        for table in (people, account_records(second, people, model.vectors if model else people))
        for row in table.to_pylist()
        if (row["platform"], row["id"]) in accounts
        for name, value in row.items()
        if name in PERSON.spec.compared and name not in ("state", "interests")
    ]


def test_who_is_unknown_is_named(two_nights: TwoNights, second: Night, cli: Callable[..., Result]) -> None:
    [((platform, account), _)] = strangers(two_nights.home)
    result = cli(two_nights.home, "explain", f"{platform}:{account}", "shop:nobody")
    assert isinstance(result.exception, UnknownRecordError)
    assert "account 'shop:nobody' is unknown" in str(result.exception)
    assert str(SECOND) in str(result.exception)
    result = cli(two_nights.home, "explain", "nobody", "shop:1")
    assert result.exit_code == 2
    assert "expected PLATFORM:ID" in result.output
