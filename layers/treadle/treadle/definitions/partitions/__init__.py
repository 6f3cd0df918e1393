"""Partitions: which keys a job or an asset has, and the time window of each."""
