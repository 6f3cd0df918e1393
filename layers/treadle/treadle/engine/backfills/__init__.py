"""Backfills: one run for each partition of a set, slice by slice."""
