"""What each person wants: the ranking network, its training, hyper-parameter search, and re-ranking."""

import logging
import os

# TensorFlow reads these on import: no start-up banner, and sums in one order on every machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Each training compiles its own graph, and a search trains many: TensorFlow warns that this is a mistake.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
