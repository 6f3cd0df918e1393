"""Developer tooling: the local cloud, DynamoDB Local, invoking a built function. Never shipped."""

import sys
from pathlib import Path

# `python -m tools.…` uses the checkout's own library, wherever it is started from.
sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "treadle"))
