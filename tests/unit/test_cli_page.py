"""docs/reference/cli.md shows every command as it is."""

import re
from collections.abc import Iterator

import click
import pytest

from tests.support.project import run
from tools.project import ROOT
from treadle.cli.commands import treadle

PAGE = (ROOT / "docs/reference/cli.md").read_text()


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of a command and of all below it."""
    yield words
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, (*words, name))


@pytest.mark.parametrize("words", list(commands(treadle)), ids=" ".join)
def test_reference_shows_the_help_as_it_is(words: tuple[str, ...]) -> None:
    """Each command's help stands in a block of its own."""
    shown = run(*words, "--help").stdout

    assert f"```console\n$ {' '.join(['treadle', *words])} --help\n{shown}```" in PAGE


def test_reference_shows_no_command_that_is_gone() -> None:
    shown = re.findall(r"^\$ treadle ?(.*?) ?--help$", PAGE, flags=re.MULTILINE)

    assert sorted(shown) == sorted(" ".join(words) for words in commands(treadle))
