"""Finds the files that have changed, by polling."""

import os
from collections.abc import Iterator
from pathlib import Path

Snapshot = dict[str, tuple[int, int]]


def snapshot(place: Path) -> Snapshot:
    """Return what changes when a file, or one below a folder, is saved; bytecode and hidden files are left out."""
    return dict(_stamps(str(place)))


def _stamps(place: str) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        entries = list(os.scandir(place))
    except NotADirectoryError:
        stat = os.stat(place)  # noqa: PTH116 - polled often
        yield place, (stat.st_mtime_ns, stat.st_size)
        return
    except OSError:
        return
    for each in entries:
        if each.name == "__pycache__" or each.name.startswith("."):
            continue
        try:
            if each.is_dir():
                yield from _stamps(each.path)
            else:
                stat = each.stat()
                yield each.path, (stat.st_mtime_ns, stat.st_size)
        except OSError:
            continue
