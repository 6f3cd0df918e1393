"""Starts claimed runs at their targets."""

from treadle.entrypoints.steps import launcher

handler = launcher()
