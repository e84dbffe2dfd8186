"""Every asset of crossrec: who produces it, who consumes it."""

from airflow.sdk import Asset

# produced by `nightly` (publish); consumed by whoever shows recommendations from the lake
recommendations = Asset(name="recommendations", uri="crossrec://recommendations")

# produced by `nightly` (train); consumed by people comparing versions in MLflow
ranker = Asset(name="ranker", uri="crossrec://models/ranker")
