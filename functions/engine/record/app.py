"""Folds what targets report into run records."""

from treadle.entrypoints.steps import recorder

handler = recorder()
