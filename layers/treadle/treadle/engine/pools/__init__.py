"""Concurrency pools: which of the waiting runs start, and how pools open."""
