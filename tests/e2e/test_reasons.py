"""The sharing policy, on every list of the small demo: forum and stream share with all, the shop with nobody."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from dags.steps.night import Night
from infra.warehouse import connect
from tests.e2e.conftest import SECOND, TwoNights, settings_of

# every reason that a person may be given, made from the events themselves: what they interacted with, and where
ALLOWED = """
select distinct interactions.person_id, lists.platform, interactions.platform as other_platform,
    concat('because you ', verb, ' ', items.title, ' on ', interactions.platform) as reason
from marts.interactions
inner join seeds.event_types using (event_type)
inner join (select distinct person_id, platform from lists) as lists using (person_id)
inner join marts.product_items as items
    on interactions.product_id = items.product_id and items.platform in (lists.platform, interactions.platform)
where interactions.is_positive and interactions.platform in (lists.platform, 'forum', 'stream')
union all
select distinct person_id, lists.platform, interactions.platform as other_platform,
    concat('because you like the category ', interactions.category) as reason
from marts.interactions
inner join (select distinct person_id, platform from lists) as lists using (person_id)
where interactions.is_positive and interactions.platform in (lists.platform, 'forum', 'stream')
"""


@pytest.fixture(scope="module")
def warehouse(two_nights: TwoNights) -> Iterator[duckdb.DuckDBPyConnection]:
    night = Night(SECOND, settings=settings_of(two_nights.home))
    with connect(night.settings) as connection:
        connection.register("lists", night.read_table(night.key("lists.parquet")))
        yield connection


def test_a_reason_names_only_what_the_person_did_where_it_may_be_named(warehouse: Any) -> None:
    beyond = warehouse.execute(
        f"""
        select lists.platform, lists.reason
        from lists
        anti join ({ALLOWED}) as allowed using (person_id, platform, reason)
        where starts_with(lists.reason, 'because you ')
        """
    ).fetchall()
    assert beyond == []


def test_every_item_has_a_reason_and_what_may_be_shared_is(warehouse: Any) -> None:
    """Else the policy would hold for want of anything to hide."""
    told = {
        (platform, reason.split()[-1])
        for platform, reason in warehouse.execute("select platform, reason from lists").fetchall()
        if reason.startswith("because you ") and " on " in reason
    }
    assert {(platform, other) for platform in ("forum", "shop", "stream") for other in ("forum", "stream")} <= told
    assert {platform for platform, other in told if other == "shop"} == {"shop"}
