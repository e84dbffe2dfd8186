"""Models, their runs and their aliases in MLflow: the only code that touches it."""

import os

# MLflow reads these on import or at each call: it tells nobody, and draws no progress bars into a log.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
