"""Tells on Treadle's bus which statuses runs have reached."""

from treadle.entrypoints.publishing import publisher

handler = publisher()
