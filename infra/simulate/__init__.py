"""Generated platforms of any size, with the truth beside them: people with tastes who share platforms, and what they do day by day.

Nothing is copied from real data. The same parameters and seed give the same bytes. Work and memory are those of one platform's people
and one day's events, whatever the number of days.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from infra.simulate.behaviour import Behaviour
from infra.simulate.catalogue import Catalogue
from infra.simulate.people import People
from infra.simulate.project import environment, write_project
from infra.simulate.tables import Truth, write_accounts, write_events, write_items
from infra.simulate.world import World

__all__ = ["World", "simulate"]

MARKER = "simulated.json"


def simulate(target: Path, world: World) -> Iterator[tuple[str, int]]:
    """Write the platforms, their declaration and the truth into ``target``, and say after each platform's day how many events there are.

    ``target`` gets a folder of Parquet files for each platform, ``truth/``, ``dbt_project/`` with these platforms instead of the
    demo's, and ``environment.sh``, which a shell reads before `crossrec`.

    Yields:
        The platform, and the number of its events of one day.

    Raises:
        FileExistsError: ``target`` holds something already.
    """
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(
            f"'{target}' is not empty. Received: a folder with files. Remedy: give another folder, or delete this one."
        )
    people, catalogue = People.of(world), Catalogue.of(world)
    write_project(target, world)
    with Truth(target / "truth") as truth:
        for platform in world.names:
            folder, accounts, items = target / platform, people.accounts(platform), catalogue.items(platform)
            write_accounts(folder, world, people, accounts, platform)
            write_items(folder, world, catalogue, items, platform)
            truth.write(platform, accounts, items)
            behaviour = Behaviour(world, people, catalogue, accounts, items, platform)
            for day in range(world.days):
                yield platform, write_events(folder, world, behaviour.day(day), day)
    (target / "environment.sh").write_text(environment(target, world))
    (target / MARKER).write_text(json.dumps(world.parameters(), indent=1) + "\n")
