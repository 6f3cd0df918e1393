"""Publishes status changes of runs to Treadle's bus."""

from treadle.entrypoints.publisher import publisher

handler = publisher()
