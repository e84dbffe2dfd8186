"""Whether a record that a person names has ever been seen."""

from collections.abc import Iterable

import pyarrow.compute as pc

from dags.steps.merge.kinds import Kind
from dags.steps.night import Night
from ml.identity.overrides import Record


class UnknownRecordError(ValueError):
    """There is no such account or item. The message says which nights were asked."""


def require_known(night: Night, kind: Kind, records: Iterable[Record]) -> None:
    """Check that some night had each of ``records``; it may be gone since then.

    Raises:
        UnknownRecordError: Names the records that no night has ever had.
    """
    store, unknown, platforms = kind.store(night.lake), {*records}, None
    nights = store.nights()
    for as_of in nights:  # nearly always the newest has all
        ids = store.ids(as_of)
        platforms = platforms or sorted(ids["platform"].unique().to_pylist())
        near = ids.filter(pc.field("id").isin([name for _, name in unknown]))
        unknown -= {*zip(near["platform"].to_pylist(), near["id"].to_pylist(), strict=True)}
        if not unknown:
            return
    named = " and ".join(f"{kind.record} '{':'.join(record)}'" for record in sorted(unknown))
    if platforms is None:
        raise UnknownRecordError(
            f"{named} cannot be known yet. Received: no night that linked {kind.record}s in {night.lake.uri('identity/')}. "
            "Remedy: run `crossrec nightly` first."
        )
    raise UnknownRecordError(
        f"no night has ever seen {named}. Received: --kind {kind.name}; the newest of {len(nights)} nights, {nights[0]}, has "
        f"platforms {', '.join(platforms)}. Remedy: write platform:id as the platform spells it, and --kind product for an "
        f"item; where the {kind.record} is new, run `crossrec nightly` first."
    )
