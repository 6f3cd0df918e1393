"""Batches: accepts items, and closes the batches of those that wait."""
