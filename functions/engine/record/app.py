"""Folds what targets report into run records."""

from treadle.entrypoints import recorder

handler = recorder()
