"""Accounts as they are compared, and who is found to be one person; what is expected is written out."""

import pyarrow as pa
import pytest

from ml.identity.linkage import LinkageModel, score, score_pair, train
from ml.identity.people import PEOPLE, TOKENS, VAULT, overshared_tokens, person_records
from tests.bench.identity import links, quality
from tests.bench.people import NO_INTERESTS, febrl

Account = dict[str, str | None]
ADA = {
    "given_name": "Ada",
    "surname": "Lovell",
    "birth_date": "1984-12-10",
    "street": "12 St. James's Square",
    "suburb": "Kew East",
    "postcode": "3102",
    "state": "VIC",
}


def account(name: str, **known: str | None) -> Account:
    """'shop:1' and what is known of it."""
    return dict(zip(("platform", "id"), name.split(":"), strict=True)) | known


def records(
    *accounts: Account,
    interests: dict[str, list[float]] | None = None,
    alone: tuple[str, ...] = ("shop", "stream"),
    max_accounts_per_token: int = 8,
) -> pa.Table:
    def table(columns: tuple[str, ...], rows: tuple[Account, ...]) -> pa.Table:
        names = ("platform", "id", *columns)
        return pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})

    in_vault = tuple(row for row in accounts if row.keys() & {*VAULT, "full_name"})
    likes = [account(name) | {"interests": vector} for name, vector in (interests or {}).items()]
    return person_records(
        table(TOKENS, accounts),
        table((*VAULT, "full_name"), in_vault),
        pa.Table.from_pylist(likes, NO_INTERESTS.schema),
        alone,
        max_accounts_per_token,
    )


def compared(**known: str | None) -> Account:
    """What is left to compare of one account."""
    [row] = records(account("shop:1", **known)).to_pylist()
    return {name: row[name] for name in (*TOKENS, *VAULT) if row[name] is not None}


def fingerprint(**known: str | None) -> str:
    return str(records(account("shop:1", **known))["fingerprint"][0])


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("Anna", "anna"),
        ("  ANNA-Maria ", "anna maria"),
        ("O'Neill", "o neill"),
        ("José", "jose"),
        ("Jose\u0301", "jose"),  # the accent a character of its own
        ("Müller", "muller"),
        ("Łukasz", "łukasz"),
        ("Артём Николай", "артем николаи"),  # levelled alike on every platform
        ("王", "王"),
        ("小明", "小明"),
        ("محمد", "محمد"),
        ("राम", "राम"),
        ("김민준", "김민준"),
        ("がく", "がく"),
    ],
)
def test_a_name_keeps_the_letters_of_its_script_and_nothing_else(written: str, level: str) -> None:
    assert compared(given_name=written) == {"given_name": level}


def test_a_name_of_a_million_characters_costs_nothing() -> None:
    accounts = [account(f"shop:{n}", **ADA) | {"given_name": "n" * 1_000_000 + str(n)} for n in range(2)]
    assert records(*accounts)["given_name"].null_count == 2
    assert compared(given_name="n" * 1000) == {"given_name": "n" * 1000}


@pytest.mark.parametrize("nothing", [None, "", "   ", "-", "J", "j.", "?!", "n" * 1001])
def test_an_initial_or_no_letter_says_nothing(nothing: str | None) -> None:
    assert compared(given_name=nothing, surname=nothing, street=nothing, postcode=nothing) == {}


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("1984-12-10", "19841210"),
        ("19841210", "19841210"),
        ("1984/12/10", "19841210"),
        ("1984-1-2", "19840102"),
        ("1984-12-10T00:00:00", "19841210"),
        ("1984-12-10 00:00:00+00", "19841210"),
        ("1984-12-10 00:00:00.000000", "19841210"),  # a TIMESTAMP
        ("1984-12-10 00:00:00.000000Z", "19841210"),
        ("1984-12-10T00:00:00.000+11:00", "19841210"),  # the day that is written, wherever it was
        ("19841210T000000Z", "19841210"),
        (" 19841210 00:00:00", "19841210"),
        ("10/12/1984 00:00", "19841210"),
        ("10/12/1984", "19841210"),
        (" 10.12.1984 ", "19841210"),
        ("1.2.1984", "19840201"),
        ("1984-13-45", "19841345"),  # a typing error away from a date
        ("1984-13-45 00:00:00", "19841345"),
        ("19841345T000000", "19841345"),
        ("31/02/1984", "19840231"),
    ],
)
def test_a_birth_date_is_year_month_and_day_in_whatever_order(written: str, level: str) -> None:
    assert compared(birth_date=written) == {"birth_date": level}


@pytest.mark.parametrize(
    "nothing",
    [
        *(None, "", "00000000", "0000-00-00", "99999999", "1111-11-11", "1984", "84-12-10", "unknown", "198412100"),
        *("0000-00-00 00:00:00", "00000000T000000", "84-12-10 00:00:00", "19841210-1"),
    ],
)
def test_what_is_no_birth_date_says_nothing(nothing: str | None) -> None:
    assert compared(birth_date=nothing) == {}


@pytest.mark.parametrize(
    ("full_name", "expected"),
    [
        ("Ada Lovell", {"given_name": "ada", "surname": "lovell"}),
        (" Ada  Mary Lovell ", {"given_name": "ada mary", "surname": "lovell"}),
        ("Лев Иванович Петров", {"given_name": "лев иванович", "surname": "петров"}),
        ("Cher", {"surname": "cher"}),
        ("王小明", {"surname": "王小明"}),
        ("A Lovell", {"surname": "lovell"}),
        ("", {}),
        (None, {}),
    ],
)
def test_a_full_name_ends_in_the_surname(full_name: str | None, expected: Account) -> None:
    assert compared(full_name=full_name) == expected
    assert compared(full_name=full_name, given_name=" ", surname="") == expected


def test_names_of_their_own_go_before_the_full_name() -> None:
    names = {"given_name": "ada", "surname": "king"}
    assert compared(full_name="Augusta Lovell", given_name="Ada", surname="King") == names


def test_an_address_loses_its_punctuation() -> None:
    address = {"street": "12 st james s square", "suburb": "kew east", "postcode": "sw1y4lb", "state": "vic"}
    assert compared(street="12, St. James's  Square", suburb="Kew-East", postcode="SW1Y 4LB", state="Vic.") == address


def test_a_platform_without_a_vault_has_its_tokens_and_its_interests() -> None:
    table = records(account("forum:7", email_token="e"), account("shop:1", **ADA), interests={"forum:7": [0.5, 0.25]})
    [forum, shop] = table.to_pylist()
    assert {name for name, value in forum.items() if value is not None} == {
        "platform", "id", "alone", "email_token", "interests", "fingerprint",
    }  # fmt: skip
    assert (forum["interests"], shop["interests"]) == ([0.5, 0.25], None)
    assert table.schema.field("interests").type == pa.list_(pa.float32())


def test_records_are_sorted_and_say_where_nobody_has_two_accounts() -> None:
    table = records(account("stream:2"), account("forum:9"), account("shop:10"), account("shop:1"))
    rows = zip(*(table[name].to_pylist() for name in ("platform", "id", "alone")), strict=True)
    assert list(rows) == [("forum", "9", False), ("shop", "1", True), ("shop", "10", True), ("stream", "2", True)]


def test_a_token_that_thousands_share_is_nobodys() -> None:
    crowd = [account(f"shop:{n}", email_token="info", phone_token=f"p{n // 2}") for n in range(3000)]
    table = records(*crowd, account("stream:1", email_token="own"), max_accounts_per_token=2)
    assert table["email_token"].drop_null().to_pylist() == ["own"]
    assert table["phone_token"].null_count == 1  # two may share a phone


def test_tokens_that_too_many_share_are_counted() -> None:
    crowd = [account(f"shop:{n}", email_token="info", phone_token=f"p{n // 2}", device_token="") for n in range(6)]
    tokens = {token: pa.array([row.get(token) for row in crowd], pa.string()) for token in TOKENS}
    assert [overshared_tokens(pa.table(tokens), most) for most in (1, 2, 5, 6)] == [4, 1, 1, 0]


def test_an_empty_token_is_no_token() -> None:
    assert compared(email_token="", phone_token="p") == {"phone_token": "p"}


CHANGES = [
    *({token: "another"} for token in TOKENS),
    *({column: "1990-01-01" if column == "birth_date" else "another"} for column in VAULT),
    *({column: None} for column in VAULT),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "_".join(f"{k}_{v}" for k, v in change.items()))
def test_the_fingerprint_changes_with_anything_compared(change: Account) -> None:
    known = ADA | dict.fromkeys(TOKENS, "t")
    assert fingerprint(**known | change) != fingerprint(**known)


def test_the_fingerprint_changes_with_interests_and_with_being_alone() -> None:
    ada = account("shop:1", **ADA)
    tables = [
        records(ada),
        records(ada, alone=()),
        records(ada, interests={"shop:1": [1.0, 0.0]}),
        records(ada, interests={"shop:1": [0.0, 1.0]}),
    ]
    assert len({table["fingerprint"][0].as_py() for table in tables}) == 4


def test_the_fingerprint_changes_when_a_token_becomes_everybodys() -> None:
    ada, others = account("shop:1", **ADA, phone_token="p"), [account(f"stream:{n}", phone_token="p") for n in range(8)]
    before, after = (records(ada, *others[:count])["fingerprint"][0] for count in (7, 8))
    assert before != after
    assert after == records(account("shop:1", **ADA))["fingerprint"][0]


@pytest.mark.parametrize(
    "same",
    [
        {"given_name": "ADA "},
        {"birth_date": "10/12/1984"},
        {"street": "12 st james's square"},
        {"email_token": ""},
        {"full_name": "Somebody Else"},
    ],
    ids=lambda same: next(iter(same)),
)
def test_the_fingerprint_stays_where_only_the_spelling_changes(same: Account) -> None:
    assert fingerprint(**ADA | same) == fingerprint(**ADA)


def test_the_fingerprint_knows_nothing_from_an_empty_text() -> None:
    assert fingerprint(given_name="Ada", state="") == fingerprint(given_name="Ada", state=None)


@pytest.fixture(scope="module")
def model() -> LinkageModel:
    """Trained on FEBRL's two files of 5,000 people, who have no e-mail and no phone."""
    return train(febrl("dataset4").records(), PEOPLE, seed=1)


def weight(model: LinkageModel, one: Account, other: Account) -> float:
    """Bits for the two being one person, found or not by the blocking rules."""
    table = records(account("shop:1", **one), account("stream:2", **other))
    return float(score_pair(table, PEOPLE, model)["match_weight"][0])


def linked(model: LinkageModel, one: Account, other: Account) -> bool:
    table = records(account("shop:1", **one), account("stream:2", **other))
    return links(score(table, PEOPLE, model)).num_rows == 1


def test_febrl_people_of_two_files_are_found(model: LinkageModel) -> None:
    people = febrl("dataset4")
    assert quality(people.accounts, links(score(people.records(), PEOPLE, model))).f1 >= 0.98


def test_febrl_duplicates_within_one_file_are_found() -> None:
    people = febrl("dataset3")
    table = people.records(alone=False)
    assert quality(people.accounts, links(score(table, PEOPLE, train(table, PEOPLE, seed=1)))).f1 >= 0.96


def test_one_person_written_differently_is_linked(model: LinkageModel) -> None:
    assert linked(model, ADA, ADA | {"given_name": "Adda", "street": None, "birth_date": "01/12/1984"})
    assert linked(model, ADA, ADA | {"given_name": "Lovel", "surname": "Ada", "suburb": None, "state": "NSW"})
    assert linked(model, ADA, ADA | {"street": "7 Wallaby Place", "suburb": "Hay", "postcode": "2711", "state": "NSW"})


@pytest.mark.parametrize(
    ("brother", "phone"),
    [
        ({"given_name": "Byron", "birth_date": "1979-03-27"}, "p"),
        ({"given_name": "Byron", "birth_date": "1979-03-27"}, None),
        ({"given_name": "Byron", "birth_date": None}, None),
    ],
    ids=["with_their_phone", "without_a_phone", "of_unknown_birth_date"],
)
def test_a_family_is_not_one_person(model: LinkageModel, brother: Account, phone: str | None) -> None:
    """They share surname, address and perhaps a phone."""
    assert not linked(model, ADA | {"phone_token": phone}, ADA | brother | {"phone_token": phone})


def test_what_a_family_shares_leaves_it_open_who_it_is(model: LinkageModel) -> None:
    home = {name: ADA[name] for name in ("surname", "street", "suburb", "postcode", "state")}
    assert weight(model, ADA, home) == pytest.approx(2.0, abs=1e-3)  # four to one
    assert weight(model, ADA | {"phone_token": "p"}, home | {"phone_token": "p"}) == pytest.approx(5.015, abs=1e-3)


def test_an_equal_email_alone_links(model: LinkageModel) -> None:
    email = {"email_token": "e"}
    assert linked(model, email, email)
    assert weight(model, email, email) == pytest.approx(9.9643, abs=1e-3)  # 999 to one
    assert linked(model, ADA | email, email)


def test_an_equal_phone_alone_links_unless_names_and_birth_dates_contradict(model: LinkageModel) -> None:
    phone = {"phone_token": "p"}
    assert linked(model, phone, phone)
    other = {"given_name": "Winston", "surname": "Abercrombie", "birth_date": "1951-07-02"}
    assert not linked(model, ADA | phone, other | phone)


def test_the_evidence_adds_up_to_the_weight_though_a_household_counts_once(model: LinkageModel) -> None:
    pairs = score(febrl("dataset4").records(), PEOPLE, model).slice(0, 500)
    total = sum(pairs[name].to_numpy() for name in PEOPLE.compared)
    prior = pairs["match_weight"].to_numpy() - total
    assert prior.max() - prior.min() < 0.01
    assert pairs["household"].to_numpy().min() < -20
