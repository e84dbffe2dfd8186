"""Gate `features`: what the score tasks read of tonight's candidates is like on other nights, and like the examples."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.learn.check_training_data import STATISTICS_KEY
from dags.steps.learn.fingerprints import examples_fingerprint, newest_table
from dags.steps.night import Night
from expectations import features
from expectations.gate import run_gate
from ml.evaluation.snapshots import SERVED, STATISTICS, together

log = logging.getLogger(__name__)

SERVED_KEY = "served_statistics.parquet"


def check_features(night: Night) -> None:
    """Check tonight's candidates and their features, platform by platform, and keep what they are like for later nights.

    Before the first model nothing is scored, and nothing is checked.

    Raises:
        GateStopped: names each platform and feature that is not as usual.
    """
    shards = [
        night.read_table(night.key(f"features/shard={shard}.parquet")) for shard in range(night.settings.scoring_shards)
    ]
    tonight = together(shards)
    if not tonight.num_rows:
        log.info("nothing was scored, because no model serves")
        return
    fingerprint = examples_fingerprint(night)
    past = newest_table(night, SERVED_KEY, fingerprint, SERVED)
    past = past.filter(pc.less(past["as_of"], pa.scalar(night.as_of)))
    result = run_gate(
        "features",
        features.suite(accepted=night.settings.accepted_examples == night.as_of),
        features.frame(tonight, past, newest_table(night, STATISTICS_KEY, fingerprint, STATISTICS)),
        as_of=night.as_of,
    )
    night.write(result, result.key)
    log.info(f"gate features: {result.verdict}")
    result.raise_if_stopped()
    newest = pc.unique(past["as_of"]).sort(order="descending")[: features.NIGHTS - 1]
    kept = pa.concat_tables([past.filter(pc.is_in(past["as_of"], newest)), tonight])
    night.write_table(night.key(SERVED_KEY), kept.append_column("fingerprint", pa.repeat(fingerprint, kept.num_rows)))
