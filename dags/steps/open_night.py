"""Before anything else: can this night run at all?"""

from dags.steps.night import Night


class NightError(RuntimeError):
    """The night cannot run as asked; the message says why and what to do."""


def open_night(night: Night) -> list[str]:
    """Check what every later step relies on, and return the names of the declared platforms."""
    if not night.platforms:
        raise NightError(
            "no platform is declared. Received: no folder under dbt_project/models/staging. Remedy: add one (docs/add-a-platform.md)."
        )
    night.say(f"the night of {night.as_of}: {', '.join(night.platforms)}")
    return list(night.platforms)
