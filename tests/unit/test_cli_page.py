"""docs/reference/cli.md shows every command as it is."""

import re
from collections.abc import Iterator

import click
import pytest

from tests.support.project import run
from tools.project import ROOT
from treadle.cli.commands import treadle

PAGE = (ROOT / "docs/reference/cli.md").read_text()


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of a command and of all below it."""
    yield path
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, (*path, name))


@pytest.mark.parametrize("path", list(commands(treadle)), ids=" ".join)
def test_reference_shows_the_help_as_it_is(path: tuple[str, ...]) -> None:
    """Each command's help stands in a block of its own."""
    shown = run(*path, "--help").stdout

    assert f"```console\n$ {' '.join(['treadle', *path])} --help\n{shown}```" in PAGE


def test_reference_shows_no_command_that_is_gone() -> None:
    shown = re.findall(r"^\$ treadle ?(.*?) ?--help$", PAGE, flags=re.MULTILINE)

    assert sorted(shown) == sorted(" ".join(path) for path in commands(treadle))
