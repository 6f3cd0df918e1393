"""Commands that need a checkout of Treadle: the local cloud, the demo, and local invocation of a function."""

import subprocess
from pathlib import Path

import click

from treadle.cli.output import FAILED


@click.group()
def local() -> None:
    """The local cloud of this machine; in a checkout of Treadle only."""


@local.command()
def up() -> None:
    """Start a local cloud and deploy the engine and the project to it: `make up`."""
    _make("up")


@local.command()
def down() -> None:
    """End the local cloud; nothing of it is kept: `make down`."""
    _make("down")


@local.command()
def demo() -> None:
    """Show on a local cloud what Treadle does, from a file to its run's end: `make demo`."""
    _make("demo")


@click.command()
@click.argument("function")
@click.argument("event", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def invoke(function: str, event: Path) -> None:
    """Run a built function of the project or the engine with an event of a file, as Lambda would.

    FUNCTION is its logical id, such as NewObjects. In a checkout of Treadle only; a deployed sensor is
    asked by `treadle sensor preview`.
    """
    root = _checkout()
    _carry_out(
        root, [str(root / ".venv" / "bin" / "python"), "-m", "tools.invoke", function, str(event.resolve())]
    )


def _make(target: str) -> None:
    _carry_out(_checkout(), ["make", "--no-print-directory", target])


def _checkout() -> Path:
    """Return the checkout that contains the current folder; exit if there is none."""
    here = Path.cwd()
    root = next((each for each in (here, *here.parents) if _is_checkout(each)), None)
    if root is None:
        click.echo(f"treadle: {here} is in no checkout of Treadle, whose tools this needs.", err=True)
        raise SystemExit(FAILED)
    return root


def _carry_out(root: Path, words: list[str]) -> None:
    """Run one of the checkout's tools, and exit with its status."""
    try:
        done = subprocess.run(words, cwd=root, check=False)  # noqa: S603 - no shell reads the words
    except OSError as error:
        click.echo(
            f"treadle: {words[0]} cannot be run: {error.strerror}. `make setup` brings what it needs.",
            err=True,
        )
        raise SystemExit(FAILED) from None
    raise SystemExit(done.returncode)


def _is_checkout(folder: Path) -> bool:
    return (folder / "tools" / "local_cloud.py").is_file() and (folder / "Makefile").is_file()
