"""Gate after the core marts: every staged event that should be an interaction is one, of a person."""

from dags.steps.conservation import mart_lines, prove
from dags.steps.night import Night

REMEDY = (
    "look for an inner join or a filter in `person_accounts`, `product_items` and `interactions`; where accounts lack a person "
    "or items a product, run link_people or link_products again. Whoever leaves events out of `interactions` on purpose names "
    "the reason in `int_quality__row_fates`"
)


def check_interactions(night: Night) -> None:
    """Prove that the core marts have what `int_quality__row_fates` says that they have, and that all of it is some person's.

    Raises:
        GateStopped: names each platform, table and load that does not add up.
    """
    prove(night, "interactions", mart_lines(night), remedy=REMEDY)
