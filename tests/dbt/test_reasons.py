"""Reasons weigh what people took as the candidates did."""

from datetime import date

import pytest
from dags.steps.serve.reasons import CONTRIBUTIONS, GENERATORS

from infra.warehouse import connect

AS_OF = date(2000, 12, 14)


@pytest.mark.parametrize("generator", ["ease", "graph", "neighbours", "transitions"])
def test_what_each_take_adds_makes_up_the_score_that_the_generator_gave(generator, backfilled, copy_of) -> None:
    """Else a reason would name what did not count most: CONTRIBUTIONS changes together with candidate_sources.sql and `proposals`."""
    parameters = {"as_of": AS_OF, "generators": GENERATORS}
    with connect(copy_of(backfilled).settings, read_only=False) as warehouse:
        warehouse.execute("delete from marts.candidate_sources where generator != $name", {"name": generator})
        warehouse.execute(
            "create temp table lists as select *, 'personalised' as strategy from marts.candidate_sources"
        )
        [(scored, explained, alike)] = warehouse.execute(
            f"""
            {CONTRIBUTIONS},
            added as (
                select person_id, platform, item_id, sum(contribution) as score from contributions group by all
            )
            select count(sources.score), count(added.score), count(*) filter (abs(sources.score - added.score) < 1e-8)
            from sources
            full join added using (person_id, platform, item_id)
            """,
            parameters,
        ).fetchall()
    assert scored > 20
    assert (explained, alike) == (scored, scored)
