"""The ranking network, and everything that it needs to score raw columns.

A registered version carries a copy of this package. It scores with that copy where this repository is not installed. So these
modules import each other relatively, and they import nothing else of this project.
"""

import os

# TensorFlow reads this on import. oneDNN adds up in another order than a night does.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
