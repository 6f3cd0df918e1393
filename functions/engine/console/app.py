"""Serves the console to signed-in users."""

from treadle.console.deployed import console
from treadle.entrypoints.handler import instrumented

handler = instrumented(console())
