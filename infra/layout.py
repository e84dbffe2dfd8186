"""Which release a lake belongs to: the layout of its records, tables and columns."""

import json

from infra.lake import Lake
from infra.state import StateError

LAYOUT = 3  # a release that changes what an earlier one wrote, and cannot read it, raises this number
KEY = "layout.json"


class OtherLayoutError(StateError):
    """Another release made the lake. The message says what to do."""


def require_layout(lake: Lake) -> None:
    """Mark a new lake with this release's layout, and refuse a lake that has another one.

    Raises:
        OtherLayoutError: nights of another release are in the lake.
        StateError: the mark is damaged.
    """
    try:
        found = json.loads(lake.read(KEY)[0])["layout"]
    except (ValueError, TypeError, KeyError):
        path = lake.uri(KEY)
        remedy = f'restore it from a backup, or write {{"layout": {LAYOUT}}} there if this release made the lake'
        received = "no JSON object with a layout"
        raise StateError(f"{path} is damaged", path=path, received=received, remedy=remedy) from None
    except FileNotFoundError:
        found = "none" if any(lake.list("nights/")) else LAYOUT
        if found == LAYOUT:
            lake.put(KEY, json.dumps({"layout": LAYOUT}).encode())
    if found != LAYOUT:
        raise OtherLayoutError(
            f"another release of crossrec made the lake {lake.uri()}. Received: layout {found}, expected {LAYOUT}. "
            "Remedy: set CROSSREC_HOME (and CROSSREC_LAKE, where it is set) to a new folder, and the next night loads "
            "everything again; or go on with the release that made it."
        )
