"""Turns a definition or an engine step into a Lambda handler, in one line."""

from treadle.entrypoints.evaluator import evaluator
from treadle.entrypoints.publishing import publisher
from treadle.entrypoints.steps import dispatcher, launcher, reconciler, recorder

__all__ = ["dispatcher", "evaluator", "launcher", "publisher", "reconciler", "recorder"]
