"""Starts claimed runs at their targets."""

from treadle.entrypoints import launcher

handler = launcher()
