"""Finds overdue work each minute, and repairs it."""

from treadle.entrypoints.reconciler import reconciler

handler = reconciler()
