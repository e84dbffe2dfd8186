"""What the platforms tell about each other's people: whether a history elsewhere helps a platform's lists, or harms them.

Lists are made from histories by the night's EASE weights alone: that shows the histories' worth without training a ranker
for each of them, and at every labelled cut, so that there are people enough to tell help from harm.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from scipy.stats import rankdata

from ml.arrays import Flags, Floats, Ints
from ml.evaluation.comparison import ALL, mean_interval
from ml.evaluation.metrics import TOP
from ml.evaluation.promotion import LARGE_COHORT

EVERY_OTHER = "every other"
STRANGERS = 4  # drawn for each list: more would make their mean a little steadier
CHUNK = 1_024  # lists whose scores for all products are held at once
LEVEL = 0.95
TELLS_NOTHING, HARMS, TOO_FEW, KEPT = "tells nothing", "harms", "too few", "kept"
EXCLUDED = (TELLS_NOTHING, HARMS)  # verdicts on a source that is left out
MEASURES = ("with_source", "without", "own", "stranger")


def lists_by_source(wanted: pa.Table, takes: pa.Table, leads: pa.Table, offers: pa.Table, seed: int = 0) -> pa.Table:
    """What each list is worth with and without what its person did on another platform.

    Args:
        wanted: what was taken within a cut's horizon: ``as_of``, ``person_id``, ``platform``, ``product_id``, and
            ``activity`` (string), the person's cohort.
        takes: what these people had taken before: ``as_of``, ``person_id``, ``product_id``, ``platform``, ``weight``.
        leads: EASE weights of each cut: ``as_of``, ``product_id``, ``neighbour_id``, ``weight``.
        offers: what each platform offered: ``as_of``, ``platform``, ``product_id``.
        seed: of the strangers.

    Returns:
        One row per list and other platform on which its person has a history, and one for all of these together
        (``source`` is 'every other'): ``as_of, person_id, activity, target, source``; NDCG@10 ``with_source`` and
        ``without``; and how well the history on ``source`` alone tells what was taken from what was not (AUC over what
        ``target`` offered), the person's ``own`` and, on average, that of a ``stranger`` who took things there too.
    """
    columns = ["as_of", "person_id", "target", "source", *MEASURES]
    rows = [pd.DataFrame(columns=columns)]
    for as_of in pc.unique(wanted["as_of"]).sort():
        own = [table.filter(pc.equal(table["as_of"], as_of)).to_pandas() for table in (wanted, takes, leads, offers)]
        cut = _Cut(own[0], own[1], own[2], own[3], seed)
        rows += [found.assign(as_of=as_of.as_py()) for found in cut.lists()]
    found = pd.concat(rows, ignore_index=True).astype(dict.fromkeys(MEASURES, float))
    cohorts = wanted.select(["as_of", "person_id", "activity"]).to_pandas().drop_duplicates(["as_of", "person_id"])
    return pa.Table.from_pandas(found.merge(cohorts, on=["as_of", "person_id"]), preserve_index=False)


class _Cut:
    """One cut's people and products as numbers."""

    def __init__(
        self, wanted: pd.DataFrame, takes: pd.DataFrame, leads: pd.DataFrame, offers: pd.DataFrame, seed: int
    ) -> None:
        self.products = pd.Index(pd.concat([leads["product_id"], leads["neighbour_id"]]).unique()).sort_values()
        self.persons = pd.Index(np.unique(wanted["person_id"]))
        self.wanted, self.offers = self._known(wanted), self._known(offers)
        self.generator = np.random.default_rng(seed)
        takes = self._known(takes[takes["person_id"].isin(self.persons)])
        self.history = {platform: self._matrix(own) for platform, own in takes.groupby("platform")}
        self.seen = self._matrix(takes.assign(weight=1.0))
        among = (
            leads["weight"],
            tuple(self.products.get_indexer(leads[name]) for name in ("product_id", "neighbour_id")),
        )
        self.leads = sp.csr_array(among, shape=(len(self.products), len(self.products)))

    def _known(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of products of which EASE knows something: of others it can say nothing."""
        return rows[rows["product_id"].isin(self.products)]

    def _matrix(self, rows: pd.DataFrame) -> sp.csr_array:
        places = self.persons.get_indexer(rows["person_id"]), self.products.get_indexer(rows["product_id"])
        return sp.csr_array((rows["weight"], places), shape=(len(self.persons), len(self.products)))

    def lists(self) -> Iterator[pd.DataFrame]:
        every = sum(self.history.values(), start=sp.csr_array(self.seen.shape))
        for target, wanted in self.wanted.groupby("platform"):
            relevant = self._matrix(wanted.assign(weight=1.0))
            offered = np.zeros(len(self.products), bool)
            own_offers = self.offers.loc[self.offers["platform"] == target, "product_id"]
            offered[self.products.get_indexer(own_offers)] = True
            sources = {source: history for source, history in self.history.items() if source != target}
            sources[EVERY_OTHER] = sum(sources.values(), start=sp.csr_array(self.seen.shape))
            judged = np.flatnonzero(relevant.sum(axis=1))
            for source, history in sources.items():
                people = judged[history[judged].sum(axis=1) > 0]
                yield pd.DataFrame(
                    {
                        "person_id": self.persons[people],
                        "target": target,
                        "source": source,
                        **self._measured(people, relevant, offered, every, history),
                    }
                )

    def _measured(
        self, people: Ints, relevant: sp.csr_array, offered: Flags, every: sp.csr_array, source: sp.csr_array
    ) -> dict[str, Floats]:
        """The four measures of the lists of ``people``, all of whom have a history on the source."""
        # each one's strangers are the next in a circle by the length of the history: somebody else, who did about as much
        sizes = np.diff(source.indptr)[people]
        circle = people[np.lexsort((self.generator.random(len(people)), sizes))]
        place = np.argsort(circle)  # of each of the people, who are in order
        shifts = range(1, min(STRANGERS, len(people) - 1) + 1)
        chunks = []
        for start in range(0, len(people), CHUNK):
            rows, own_place = people[start : start + CHUNK], place[start : start + CHUNK]
            hidden = ~offered | (self.seen[rows].toarray() > 0)
            taken = (relevant[rows].toarray() > 0) & ~hidden
            strangers = [
                _auc(self._scores(source, circle[(own_place + shift) % len(circle)]), taken, hidden) for shift in shifts
            ]
            chunks.append(
                (
                    _ndcg(self._scores(every, rows), taken, hidden),
                    _ndcg(self._scores(every - source, rows), taken, hidden),
                    _auc(self._scores(source, rows), taken, hidden),
                    np.mean(strangers, axis=0) if strangers else np.full(len(rows), np.nan),
                )
            )
        columns = [np.concatenate(parts) for parts in zip(*chunks, strict=True)] or [np.empty(0)] * len(MEASURES)
        return dict(zip(MEASURES, columns, strict=True))

    def _scores(self, history: sp.csr_array, rows: Ints) -> Floats:
        told: Floats = (history[rows] @ self.leads).toarray()
        return told


def _ndcg(scores: Floats, taken: Flags, hidden: Flags) -> Floats:
    """NDCG@10 by list; what has no score is not in a list. Ties go to the smaller product."""
    shown = np.where(hidden, 0.0, scores)
    best = np.argsort(-shown, axis=1, kind="stable")[:, :TOP]
    hits = np.take_along_axis(taken & (shown > 0), best, axis=1)
    gains = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(taken.sum(axis=1), len(gains))]
    value: Floats = np.divide((hits * gains).sum(axis=1), ideal, out=np.full(len(taken), np.nan), where=ideal > 0)
    return value


def _auc(scores: Floats, taken: Flags, hidden: Flags) -> Floats:
    """Mann-Whitney's statistic by list, ties counting half; NaN where all or nothing was taken."""
    ranks = rankdata(np.where(hidden, -1.0, scores), axis=1) - hidden.sum(axis=1, keepdims=True)
    positives, others = taken.sum(axis=1), (~taken & ~hidden).sum(axis=1)
    above = (ranks * taken).sum(axis=1) - positives * (positives + 1) / 2
    pairs = (positives * others).astype(np.float64)
    value: Floats = np.divide(above, pairs, out=np.full(len(taken), np.nan), where=pairs > 0)
    return value


def judge(lists: pa.Table) -> pa.Table:
    """Which platforms' histories help, and which are dropped, by the lists of `lists_by_source`.

    Returns one row per ``source``, ``target`` and ``cohort`` ('all' for all of them): ``people``; the mean of NDCG@10
    ``with_source`` and ``without``; ``gain``, their difference with ``gain_low`` and ``gain_high``; ``tells``, by how much
    a person's own history there foretells better than a stranger's (AUC), with ``tells_low`` and ``tells_high``; and
    ``verdict``:

    - ``tells nothing``: over all targets a stranger's history foretells as well. Its events are not those of its accounts.
    - ``harms``: the lists of all targets, of one, or of a large cohort of its people are significantly worse with it.
    - ``too few``: fewer than `LARGE_COHORT` people; nothing is decided about them.
    - ``kept``: none of these.

    Intervals are percentile bootstraps of 95% in which persons are drawn with all their lists. Harm is looked for in every
    row at once, so its intervals together err in 5% of nights at most (Bonferroni).
    """
    frame = lists.to_pandas()
    scopes = [
        (source, target, cohort, part)
        for source, of_source in frame.groupby("source", sort=True)
        for target, of_target in [(ALL, of_source), *of_source.groupby("target", sort=True)]
        for cohort, part in [(ALL, of_target), *(of_target.groupby("activity", sort=True) if target != ALL else ())]
    ]
    tests = max(1, sum(part["person_id"].nunique() >= LARGE_COHORT for *_, part in scopes))
    rows, overall = [], ""
    for source, target, cohort, part in scopes:
        people = part["person_id"].nunique()
        row: dict[str, Any] = {"source": source, "target": target, "cohort": cohort, "people": people}
        row |= {name: part[name].mean() for name in ("with_source", "without")}
        row |= _estimate("gain", part["with_source"] - part["without"], part["person_id"], 1 - (1 - LEVEL) / tests)
        row |= _estimate("tells", part["own"] - part["stranger"], part["person_id"], LEVEL)
        verdict = _verdict(row)
        if target == ALL:
            overall = verdict
        elif overall in EXCLUDED:  # for all targets
            verdict = overall
        rows.append(row | {"verdict": verdict})
    return pa.Table.from_pylist(rows, SCHEMA)


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("source", "target", "cohort")),
        ("people", pa.int64()),
        *((name, pa.float64()) for name in ("with_source", "without", "gain", "gain_low", "gain_high")),
        *((name, pa.float64()) for name in ("tells", "tells_low", "tells_high")),
        ("verdict", pa.string()),
    ]
)


def _verdict(row: dict[str, Any]) -> str:
    if row["people"] < LARGE_COHORT:
        return TOO_FEW
    if row["source"] != EVERY_OTHER and row["target"] == ALL and (row["tells_low"] or 0.0) <= 0:
        return TELLS_NOTHING
    return HARMS if (row["gain_high"] or 0.0) < 0 else KEPT


def _estimate(name: str, values: "pd.Series[float]", persons: "pd.Series[str]", level: float) -> dict[str, Any]:
    """Mean over lists, and its interval under a resampling of persons; None where nothing is known."""
    known = values.notna()
    if not known.any():
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    person = np.unique(persons[known], return_inverse=True)[1]
    measured: Floats = values[known].to_numpy().astype(np.float64)
    low, high = mean_interval(measured, person, level)
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def excluded_sources(judged: pa.Table) -> dict[str, list[str]]:
    """The sources that count no more, sorted, by target; targets that keep all their sources are left out."""
    bad = [row for row in judged.to_pylist() if row["verdict"] in EXCLUDED]
    platforms = set(pc.unique(judged["target"]).to_pylist()) - {ALL}
    found = {
        target: sorted(
            source
            for source in (platforms | set(pc.unique(judged["source"]).to_pylist())) - {EVERY_OTHER, target}
            if any(row["source"] in (source, EVERY_OTHER) and row["target"] in (ALL, target) for row in bad)
        )
        for target in sorted(platforms)
    }
    return {target: sources for target, sources in found.items() if sources}
