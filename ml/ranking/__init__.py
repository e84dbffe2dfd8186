"""What each person wants: features, the Wide & Deep model, its training, scoring and re-ranking."""

import os

# TensorFlow reads these on import: no start-up banner, and sums in one order on every machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
