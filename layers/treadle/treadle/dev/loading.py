"""Loads a sensor's function as Lambda does."""

import importlib
import sys
from pathlib import Path

from treadle.entrypoints.evaluator import SensorHandler


def find_modules(folder: Path, shared: Path) -> None:
    """Let imports find a function's modules, and those that the project's functions share.

    Args:
        folder: the function's folder.
        shared: the folder of the project's layer.
    """
    # As in Lambda: the function's folder, and then the layers.
    sys.path[:0] = [str(folder), str(shared)]
    # Bytecode is checked by seconds and size: an edit may change neither.
    sys.dont_write_bytecode = True


def sensor_handler() -> SensorHandler:
    """Import the function's module `app`, and return its handler.

    Raises:
        AttributeError: if it has none.
    """
    handler: object = getattr(importlib.import_module("app"), "handler", None)
    if not isinstance(handler, SensorHandler):
        msg = "module 'app' has no attribute 'handler' that `evaluator` returned"
        raise AttributeError(msg)  # noqa: TRY004 - as Lambda reports a missing handler
    return handler
