"""Applies reports of targets to run records."""

from treadle.entrypoints.steps import recorder

handler = recorder()
