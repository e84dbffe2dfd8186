"""What must hold before the night goes on: Great Expectations suites and the gate that runs them."""

import os

# Great Expectations reads this when it is first imported, and no module imports it before this package.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
