"""Applies reports of targets to run records."""

from treadle.entrypoints.recorder import recorder

handler = recorder()
