"""Turns committed ticks into run records."""

from treadle.entrypoints.steps import dispatcher

handler = dispatcher()
