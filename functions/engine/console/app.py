"""Serves the console to those who are signed in."""

from treadle.console.deployed import console
from treadle.entrypoints.handler import instrumented

handler = instrumented(console())
