"""Ticks: evaluate a sensor, plan what its requests commit, and commit it."""
