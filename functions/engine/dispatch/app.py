"""Turns committed ticks into run records."""

from treadle.entrypoints import dispatcher

handler = dispatcher()
