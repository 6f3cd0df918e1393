"""Turns a definition or an engine step into a Lambda handler, in one line; each is imported from its own module."""
