"""Reasons weigh a history as the candidates did."""

from datetime import date

import pytest

from infra.warehouse import connect
from tests.compiled import create_views

AS_OF = date(2000, 12, 14)
COMPARED = """
with added as (
    select person_id, platform, item_id, sum(contribution) as score from marts.list_contributions group by all
)
select count(sources.score), count(added.score), count(*) filter (abs(sources.score - added.score) < 1e-8)
from (select * from marts.candidate_sources where as_of = $as_of and generator = $name) as sources
full join added using (person_id, platform, item_id)
"""


@pytest.mark.parametrize("generator", ["ease", "graph", "neighbours", "transitions"])
def test_what_each_interaction_adds_makes_up_the_score_that_the_generator_gave(generator, backfilled, copy_of) -> None:
    """Else a reason would name what did not count most: list_contributions changes together with the generators."""
    parameters = {"as_of": AS_OF, "name": generator}
    with connect(copy_of(backfilled).settings, read_only=False) as warehouse:
        warehouse.execute(
            "create table marts.list_generators as select person_id, platform, item_id, product_id, generator"
            " from marts.candidate_sources where as_of = $as_of and generator = $name",
            parameters,
        )
        create_views(warehouse, "list_contributions")
        [(scored, explained, alike)] = warehouse.execute(COMPARED, parameters).fetchall()
    assert scored > 20
    assert (explained, alike) == (scored, scored)
