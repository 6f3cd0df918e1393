"""A copy of this repository for a test that writes into it."""

import shutil
from pathlib import Path

from click.testing import CliRunner, Result

from treadle.cli.commands import treadle

ROOT = Path(__file__).parents[2]
LINKED = ("layers", "tools")
"""Read only, and the same in every copy."""


def copy_of_project(folder: Path) -> Path:
    """The project's files below a folder, its library and tools by link, without this command's own tests."""
    copy = folder / "project"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "test_cli_*", "test_new_sensor*.py", *LINKED)
    shutil.copytree(ROOT, copy, ignore=ignored)
    for name in LINKED:
        (copy / name).symlink_to(ROOT / name)
    return copy


def run(*arguments: str | Path) -> Result:
    """The outcome of `treadle ARGUMENTS`."""
    return CliRunner().invoke(treadle, [str(argument) for argument in arguments], prog_name="treadle")


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file's content by its path, links and caches left out."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
