"""Finds what a step has lost, and puts it back on its way."""

from treadle.entrypoints.steps import reconciler

handler = reconciler()
