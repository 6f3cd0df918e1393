"""Starts claimed runs at their targets."""

from treadle.entrypoints.launcher import launcher

handler = launcher()
