"""Rehearsal: the current code evaluates recorded ticks again, and nothing is committed."""
