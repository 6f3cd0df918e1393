"""Parts that are imported and made once they are used, so that a cold start pays only for those that its event needs."""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

Part = TypeVar("Part")


def lazy(make: Callable[[], Part]) -> Part:
    """A part that is made when it is first used.

    Args:
        make: imports and makes it.
    """
    return cast("Part", _Lazy(cache(make)))


class _Lazy:
    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
