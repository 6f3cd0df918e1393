"""Treadle in memory: every store's twin, a virtual clock, and targets that do as they are told."""
