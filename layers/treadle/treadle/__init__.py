"""What a sensor's author imports. Names load on first use, so that a handler loads only what it uses.

`__init__.pyi` lists the names, each with its module, for type checkers as well as for this module.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_MODULES = {
    name: module
    for module, name in re.findall(r"^from (\S+) import (?:\(\s+)?(\w+) as ", _STUB, re.MULTILINE)
}

__all__ = sorted(_MODULES)  # noqa: PLE0605 - type checkers and editors read the stub


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = (
            f"module 'treadle' has no attribute {name!r}. docs/guide/coming-from-dagster.md lists what of Dagster is "
            "not built."
        )
        raise AttributeError(msg)
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
