"""Measurements; each module also runs by itself, as `python -m tests.bench.<module>`."""

import sys
from pathlib import Path

# The library is not installed: it ships as a layer.
sys.path.insert(0, str(Path(__file__).parents[2] / "layers" / "treadle"))
