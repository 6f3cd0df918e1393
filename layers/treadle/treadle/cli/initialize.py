"""The command that writes a project, which needs no checkout of Treadle."""

from pathlib import Path

import click

from treadle.cli.distribution import installed_version, update_project, write_project
from treadle.cli.output import scaffold_errors


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--update", is_flag=True, help="Update the project in DIR to this version of Treadle.")
def init(directory: Path, update: bool) -> None:
    """Create a project in DIR, with an example of each kind of sensor and this version of Treadle.

    With --update, only Treadle's files are replaced; the project's README.md lists them.
    """
    with scaffold_errors():
        if update:
            changed = update_project(directory)
            click.echo(f"{directory} has Treadle {installed_version()}: {_number(changed, 'file')} replaced.")
            for path in changed:
                click.echo(f"  {path}")
            return
        written = write_project(directory)
    click.echo(
        f"Project {directory}, with Treadle {installed_version()}: {_number(written, 'file')} written."
    )
    click.echo("")
    click.echo("Next:")
    click.echo(f"  1. Run it on this machine: cd {directory} && treadle dev")
    click.echo("  2. Check it: make check")
    click.echo("  3. Deploy an engine, if this account and Region has none: treadle engine deploy --guided")
    click.echo("  4. Deploy the project: sam build && sam deploy --guided")


def _number(paths: list[str], what: str) -> str:
    return f"{len(paths)} {what}" + ("" if len(paths) == 1 else "s")
