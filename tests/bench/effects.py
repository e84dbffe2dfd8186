"""What a corruption that got through does to the lists: how many are not those of the clean night, and how many hits they lose."""

import shutil
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import duckdb

from dags.steps.night import Night
from tests.bench.bad_sources import BadSource, ChangesNothing
from tests.bench.corruptions import Corruption
from tests.bench.nights import LEARN, LINK, MERGE, SERVE, SERVE_CHAMPION, StepFailed, copied, night_of, run_steps
from tests.bench.outcomes import Outcome
from tests.bench.steady import following_week

TOP = 10
# nothing is published: the lists are read as they would be
UNTIL_LISTS = (*MERGE, *LINK, *SERVE_CHAMPION, *SERVE[:-1])
# where a list explores, its last item is drawn at random
LISTS = "select platform, account_id, item_id, rank from read_parquet($lists) where slot != 'explored' and rank <= $top"
CHANGED = f"""
with one as (select platform, account_id, list(item_id order by item_id) as items from ({LISTS}) group by all),
other as (
    select platform, account_id, list(item_id order by item_id) as items
    from ({LISTS.replace("$lists", "$others")}) group by all
)
select avg(cast(one.items is distinct from other.items as integer)) from one full join other using (platform, account_id)
"""
HITS = f"select count(*) from week semi join ({LISTS}) as lists using (platform, account_id, item_id)"


@dataclass(frozen=True)
class Effect:
    """``lists_changed`` is the share of lists whose first ten items are others; ``hits`` are those of a following week for one before."""

    lists_changed: float
    hits: float


def learned_home(home: Path, last: date) -> Path:
    """A copy of ``home`` beside it whose last clean night has trained a model and published lists; made once."""
    learned = home.with_name(f"{home.name}-learned")
    done = learned / "learned"
    if not done.exists():
        shutil.rmtree(learned, ignore_errors=True)
        shutil.copytree(home, learned, symlinks=True)
        run_steps(night_of(learned, last), [*LEARN, *SERVE])
        done.touch()
    return learned


class Effects:
    """Runs the night of ``as_of`` to its lists, on copies of a home whose last clean night published lists."""

    def __init__(self, home: Path, as_of: date, scratch: Path) -> None:
        self.home, self.as_of, self.scratch = learned_home(home, as_of - timedelta(1)), as_of, scratch
        self.clean = scratch / "clean_lists.parquet"
        night = self.night()
        run_steps(night, UNTIL_LISTS)
        keep_lists(night, self.clean)

    def night(self) -> Night:
        """The night on a fresh copy."""
        return night_of(copied(self.home, self.scratch / "whole"), self.as_of)

    def with_effect(self, outcome: Outcome, corruption: Corruption) -> Outcome:
        """The outcome with what the corruption does to the lists; or with the later step that stopped the night."""
        night = self.night()
        try:
            BadSource(night.settings.home, corruption.sheet, self.as_of).corrupt(corruption)
            run_steps(night, UNTIL_LISTS)
        except ChangesNothing:
            return outcome
        except StepFailed as failed:
            return replace(outcome, outcome="stopped", where=failed.step, because=failed.because)
        effect = self.effect(night)
        return replace(outcome, lists_changed=effect.lists_changed, hits=effect.hits)

    def effect(self, night: Night) -> Effect:
        lists = keep_lists(night, self.scratch / "lists.parquet")
        return effect_of(self.clean, lists, self.home / "demo", self.as_of)

    def clean_again(self) -> Effect:
        """The effect of nothing at all: what is not zero here is noise of the night itself."""
        night = self.night()
        run_steps(night, UNTIL_LISTS)
        return self.effect(night)


def keep_lists(night: Night, path: Path) -> Path:
    path.write_bytes(night.lake.read(night.key("lists.parquet"))[0])
    return path


def effect_of(clean: Path, lists: Path, demo: Path, as_of: date) -> Effect:
    with duckdb.connect() as connection:
        connection.register("week", following_week(demo, as_of))
        top = {"top": TOP}
        [(changed,)] = connection.execute(CHANGED, {"lists": str(clean), "others": str(lists), **top}).fetchall()
        [(before,)] = connection.execute(HITS, {"lists": str(clean), **top}).fetchall()
        [(after,)] = connection.execute(HITS, {"lists": str(lists), **top}).fetchall()
    return Effect(float(changed), after / before if before else 1.0)
