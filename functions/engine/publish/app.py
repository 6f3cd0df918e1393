"""Tells on Treadle's bus which statuses runs have reached."""

from treadle.entrypoints import publisher

handler = publisher()
