"""Reads pages one after the other."""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar


class Page(Protocol):
    """A page of a listing."""

    @property
    def next(self) -> str | None:
        """The start of the next page; None if there is nothing more."""


P = TypeVar("P", bound=Page)


def each_page(read: Callable[[str | None], P], before: str | None = None) -> Iterator[P]:
    """Yield the pages of a listing; a page is read when it is needed.

    Args:
        read: returns the page that begins at a place; None for the first one.
        before: the place at which the first page begins.
    """
    while True:
        page = read(before)
        yield page
        before = page.next
        if before is None:
            return
