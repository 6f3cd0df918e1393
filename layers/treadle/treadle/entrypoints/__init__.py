"""Lambda handlers, made in one line from a definition or an engine component; each has its own module."""

from treadle.bootstrap.preparation import pause_collector

pause_collector()
