"""Every asset of crossrec: which task writes it, and who reads it."""

from airflow.sdk import Asset

# task `publish` of `nightly` writes it; whoever shows recommendations from the lake reads it
recommendations = Asset(name="recommendations", uri="crossrec://recommendations")

# task `train` of `nightly` writes it; people who compare versions in MLflow read it
ranker = Asset(name="ranker", uri="crossrec://models/ranker")
