"""Finds overdue work each minute, and repairs it."""

from treadle.entrypoints.steps import reconciler

handler = reconciler()
