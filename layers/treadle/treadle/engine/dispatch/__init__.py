"""DISPATCH: turn committed ticks into run records."""
