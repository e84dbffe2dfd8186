import pyarrow as pa
import pytest

from ml.ranking.rules import check_rules

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("platform", "item_id", "product_id", "rule")] + [("rank", pa.int32())]
)


def rules(*rows: tuple[object, ...]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def test_rules_that_do_not_meet_hold() -> None:
    check_rules(rules(), 20)
    check_rules(
        rules(
            ("shop", "1", "A", "pin", 1),
            ("stream", "1", "A", "ban", None),
            ("shop", "2", "B", "pin", 20),
            ("shop", "3", None, "ban", None),
            ("shop", "4", None, "pin", 3),
            ("stream", "2", "B", "pin", 1),
        ),
        20,
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            [("shop", "1", "A", "pin", 1), ("shop", "1", "A", "ban", None)],
            "platform 'shop', item '1': pinned and banned. Keep one of the two.",
        ),
        (
            [("shop", "1", "A", "pin", 1), ("shop", "1b", "A", "ban", None)],
            "platform 'shop', item '1' and '1b': pinned and banned",
        ),
        (
            [("shop", "9", None, "pin", 1), ("shop", "9", None, "ban", None)],
            "platform 'shop', item '9': pinned and banned",
        ),
        (
            [("shop", "1", "A", "pin", 2), ("shop", "2", "B", "pin", 2)],
            "platform 'shop', item '1' and '2': two pins at rank 2. Give one of them another rank.",
        ),
        (
            [("shop", "1", "A", "pin", 2), ("shop", "1", "A", "pin", 3)],
            "platform 'shop', item '1': one product pinned twice, at 2 and 3",
        ),
        ([("shop", "1", "A", "pin", 21)], "a pin needs a rank from 1 to 20. Received: 21."),
        ([("shop", "1", "A", "pin", None)], "a pin needs a rank from 1 to 20. Received: none."),
        ([("shop", "1", "A", "ban", 1)], "a ban has no rank. Received: 1."),
    ],
)
def test_rules_that_cannot_hold_are_named_with_a_remedy(wrong: list[tuple[object, ...]], said: str) -> None:
    with pytest.raises(ValueError, match=r"seeds/list_rules\.csv") as error:
        check_rules(rules(*wrong), 20)
    assert said in str(error.value)
