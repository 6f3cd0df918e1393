"""Commands that need a checkout of Treadle: the local cloud, the demo, and local invocation of a function."""

import subprocess
from pathlib import Path

import click

from treadle.cli.output import FAILED


@click.group()
def local() -> None:
    """Manage the local cloud of this machine; only in a checkout of Treadle."""


@local.command()
def up() -> None:
    """Start a local cloud and deploy the engine and the project to it: `make up`."""
    _make("up")


@local.command()
def down() -> None:
    """Stop the local cloud and delete its data: `make down`."""
    _make("down")


@local.command()
def demo() -> None:
    """Demonstrate Treadle on a local cloud, from a file to the end of its run: `make demo`."""
    _make("demo")


@click.command()
@click.argument("function")
@click.argument("event", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def invoke(function: str, event: Path) -> None:
    """Run a built function of the project or the engine with an event from a file, as Lambda would.

    FUNCTION is its logical id, such as NewObjects. Only in a checkout of Treadle; for a deployed sensor use
    `treadle sensor preview`.
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
        click.echo(
            f"treadle: {here} is not in a checkout of Treadle, whose tools this command needs.", err=True
        )
        raise SystemExit(FAILED)
    return root


def _carry_out(root: Path, command: list[str]) -> None:
    """Run one of the checkout's tools, and exit with its status."""
    try:
        done = subprocess.run(command, cwd=root, check=False)  # noqa: S603 - no shell reads the command
    except OSError as error:
        click.echo(
            f"treadle: {command[0]} cannot be run: {error.strerror}. `make setup` installs what it needs.",
            err=True,
        )
        raise SystemExit(FAILED) from None
    raise SystemExit(done.returncode)


def _is_checkout(folder: Path) -> bool:
    return (folder / "tools" / "local_cloud.py").is_file() and (folder / "Makefile").is_file()
