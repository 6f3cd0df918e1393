"""Publishes status changes of runs to Treadle's bus."""

from treadle.entrypoints.publishing import publisher

handler = publisher()
