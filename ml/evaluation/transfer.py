"""Whether a person's history on one platform helps that person's lists on another platform, or harms them.

Lists are made from histories by the night's EASE weights alone. That shows what a history is worth without training a
ranker for each. All labelled snapshots are judged, so that there are enough people to tell help from harm.
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


def lists_by_source(
    wanted: pa.Table, interactions: pa.Table, similar_items: pa.Table, offers: pa.Table, seed: int = 0
) -> pa.Table:
    """What each list is worth with and without what its person did on another platform.

    Args:
        wanted: positive interactions in the horizon of each snapshot: ``as_of``, ``person_id``, ``platform``,
            ``product_id``, and ``activity`` (string), the person's cohort.
        interactions: earlier positive interactions of these persons: ``as_of``, ``person_id``, ``product_id``,
            ``platform``, ``weight`` (float).
        similar_items: EASE weights of each snapshot: ``as_of``, ``product_id``, ``neighbour_id``, ``weight`` (float).
        offers: what each platform offered: ``as_of``, ``platform``, ``product_id``.
        seed: of the strangers.

    Returns:
        One row per list and other platform (``source``) on which its person has a history, and one row for all of these
        platforms together (source 'every other'). Columns: ``as_of, person_id, activity, target, source``; ``with_source``
        and ``without``, NDCG@10; ``own`` and ``stranger``, the AUC of the history on the source alone over what the target
        offered: the person's own history, and the mean of some strangers' histories there.
    """
    columns = ["as_of", "person_id", "target", "source", *MEASURES]
    rows = [pd.DataFrame(columns=columns)]
    for as_of in pc.unique(wanted["as_of"]).sort():
        own = [
            table.filter(pc.equal(table["as_of"], as_of)).to_pandas()
            for table in (wanted, interactions, similar_items, offers)
        ]
        snapshot = _Snapshot(own[0], own[1], own[2], own[3], seed)
        rows += [found.assign(as_of=as_of.as_py()) for found in snapshot.lists()]
    found = pd.concat(rows, ignore_index=True).astype(dict.fromkeys(MEASURES, float))
    cohorts = wanted.select(["as_of", "person_id", "activity"]).to_pandas().drop_duplicates(["as_of", "person_id"])
    return pa.Table.from_pandas(found.merge(cohorts, on=["as_of", "person_id"]), preserve_index=False)


class _Snapshot:
    """One snapshot's persons and products as numbers."""

    def __init__(
        self,
        wanted: pd.DataFrame,
        interactions: pd.DataFrame,
        similar_items: pd.DataFrame,
        offers: pd.DataFrame,
        seed: int,
    ) -> None:
        self.products = pd.Index(
            pd.concat([similar_items["product_id"], similar_items["neighbour_id"]]).unique()
        ).sort_values()
        self.persons = pd.Index(np.unique(wanted["person_id"]))
        self.wanted, self.offers = self._known(wanted), self._known(offers)
        self.generator = np.random.default_rng(seed)
        interactions = self._known(interactions[interactions["person_id"].isin(self.persons)])
        self.history = {platform: self._matrix(own) for platform, own in interactions.groupby("platform")}
        self.seen = self._matrix(interactions.assign(weight=1.0))
        among = (
            similar_items["weight"],
            tuple(self.products.get_indexer(similar_items[name]) for name in ("product_id", "neighbour_id")),
        )
        self.similar = sp.csr_array(among, shape=(len(self.products), len(self.products)))

    def _known(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows whose product has EASE weights. EASE cannot score any other."""
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
        """The four measures of the lists of ``people``, who all have a history on the source."""
        # strangers are the next ones in a circle that is sorted by the length of the history: they did about as much
        sizes = np.diff(source.indptr)[people]
        circle = people[np.lexsort((self.generator.random(len(people)), sizes))]
        place = np.argsort(circle)  # of each of the people, who are in order
        shifts = range(1, min(STRANGERS, len(people) - 1) + 1)
        chunks = []
        for start in range(0, len(people), CHUNK):
            rows, own_place = people[start : start + CHUNK], place[start : start + CHUNK]
            hidden = ~offered | (self.seen[rows].toarray() > 0)
            chosen = (relevant[rows].toarray() > 0) & ~hidden
            strangers = [
                _auc(self._scores(source, circle[(own_place + shift) % len(circle)]), chosen, hidden)
                for shift in shifts
            ]
            chunks.append(
                (
                    _ndcg(self._scores(every, rows), chosen, hidden),
                    _ndcg(self._scores(every - source, rows), chosen, hidden),
                    _auc(self._scores(source, rows), chosen, hidden),
                    np.mean(strangers, axis=0) if strangers else np.full(len(rows), np.nan),
                )
            )
        columns = [np.concatenate(parts) for parts in zip(*chunks, strict=True)] or [np.empty(0)] * len(MEASURES)
        return dict(zip(MEASURES, columns, strict=True))

    def _scores(self, history: sp.csr_array, rows: Ints) -> Floats:
        told: Floats = (history[rows] @ self.similar).toarray()
        return told


def _ndcg(scores: Floats, chosen: Flags, hidden: Flags) -> Floats:
    """NDCG@10 by list. A product without a score is not in the list. Ties go to the smaller product id."""
    shown = np.where(hidden, 0.0, scores)
    best = np.argsort(-shown, axis=1, kind="stable")[:, :TOP]
    hits = np.take_along_axis(chosen & (shown > 0), best, axis=1)
    gains = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(chosen.sum(axis=1), len(gains))]
    value: Floats = np.divide((hits * gains).sum(axis=1), ideal, out=np.full(len(chosen), np.nan), where=ideal > 0)
    return value


def _auc(scores: Floats, chosen: Flags, hidden: Flags) -> Floats:
    """AUC by list (Mann-Whitney). Ties count half. NaN where all or none of the products were chosen."""
    ranks = rankdata(np.where(hidden, -1.0, scores), axis=1) - hidden.sum(axis=1, keepdims=True)
    positives, others = chosen.sum(axis=1), (~chosen & ~hidden).sum(axis=1)
    above = (ranks * chosen).sum(axis=1) - positives * (positives + 1) / 2
    pairs = (positives * others).astype(np.float64)
    value: Floats = np.divide(above, pairs, out=np.full(len(chosen), np.nan), where=pairs > 0)
    return value


def judge(lists: pa.Table) -> pa.Table:
    """Judge each platform's histories by the lists of `lists_by_source`.

    Returns one row per ``source``, ``target`` and ``cohort`` ('all' is over all of them) with these columns: ``people``; the
    mean NDCG@10 ``with_source`` and ``without``; ``gain``, their difference, with ``gain_low`` and ``gain_high``; ``tells``,
    the AUC of a person's own history minus that of a stranger's, with ``tells_low`` and ``tells_high``; and ``verdict``:

    - ``tells nothing``: over all targets a stranger's history predicts as well. Then the source's events are not those of
      its accounts.
    - ``harms``: the source makes the lists significantly worse: of all targets, of one, or of a large cohort.
    - ``too few``: there are fewer than `LARGE_COHORT` people, and nothing is decided about them.
    - ``kept``: none of these.

    Intervals are percentile bootstraps of 95%, which draw persons with all their lists. Harm is looked for in every row at
    once. So its intervals are wider (Bonferroni), and one of them errs in at most 5% of nights.
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
    """The mean over lists, and its interval under a resampling of persons. None where nothing is known."""
    known = values.notna()
    if not known.any():
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    person = np.unique(persons[known], return_inverse=True)[1]
    measured: Floats = values[known].to_numpy().astype(np.float64)
    low, high = mean_interval(measured, person, level)
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def excluded_sources(judged: pa.Table) -> dict[str, list[str]]:
    """By target, the sources that are left out, sorted. A target that keeps all its sources is not in the result."""
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
