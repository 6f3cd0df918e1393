"""Objects imported and created on first use, so that a cold start pays only for what its event needs."""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

Part = TypeVar("Part")


def lazy(make: Callable[[], Part]) -> Part:
    """Return a proxy for an object that is created on first use.

    Args:
        make: imports and creates it.
    """
    return cast("Part", _Lazy(cache(make)))


class _Lazy:
    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
