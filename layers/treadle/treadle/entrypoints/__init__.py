"""Lambda handlers, made in one line from a definition or an engine component; each has its own module."""
