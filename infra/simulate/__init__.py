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
from infra.simulate.tables import write_accounts, write_events, write_items, write_truth
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
    for platform in world.names:
        write_accounts(target / platform, world, people, platform)
        write_items(target / platform, world, catalogue, platform)
        behaviour = Behaviour(world, people, catalogue, platform)
        for day in range(world.days):
            yield platform, write_events(target / platform, world, behaviour.day(day), day)
    write_truth(target / "truth", world, people, catalogue)
    (target / "environment.sh").write_text(environment(target, world))
    (target / MARKER).write_text(json.dumps(world.parameters(), indent=1) + "\n")
