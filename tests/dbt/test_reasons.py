"""Reasons add up each product of a history as the generators do."""

from datetime import date

import pytest

from infra.warehouse import connect
from tests.compiled import create_views

AS_OF = date(2000, 12, 14)


@pytest.mark.parametrize("generator", ["ease", "graph", "neighbours", "transitions"])
def test_contributions_add_up_to_the_score_of_the_generator(generator, backfilled, copy_of) -> None:
    """Otherwise a reason would name a product that did not count most. list_contributions changes together with the generators."""
    with connect(copy_of(backfilled).settings, read_only=False) as warehouse:
        warehouse.execute(
            "create or replace temp table sources as from marts.candidate_sources where as_of = $as_of and generator = $name",
            {"as_of": AS_OF, "name": generator},
        )
        warehouse.execute("drop view if exists marts.list_generators")
        warehouse.execute("create table marts.list_generators as from sources")
        create_views(warehouse, "list_contributions")
        [(scored, explained, equal)] = warehouse.execute(
            """
            with added as (
                select person_id, platform, item_id, sum(contribution) as score
                from marts.list_contributions
                group by all
            )
            select count(sources.score), count(added.score), count(*) filter (abs(sources.score - added.score) < 1e-8)
            from sources
            full join added using (person_id, platform, item_id)
            """
        ).fetchall()
    assert scored > 20
    assert (explained, equal) == (scored, scored)
