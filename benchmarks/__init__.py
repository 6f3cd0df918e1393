"""Benchmarks; each module also runs by itself, as `python -m benchmarks.<module>`."""

import sys
from pathlib import Path

# The library is not installed: it ships as a layer.
sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "treadle"))
