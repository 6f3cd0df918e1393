"""Finds what a step has lost, and puts it back on its way."""

from treadle.entrypoints import reconciler

handler = reconciler()
