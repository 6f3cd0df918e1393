"""Turns committed ticks into run records."""

from treadle.entrypoints.dispatcher import dispatcher

handler = dispatcher()
