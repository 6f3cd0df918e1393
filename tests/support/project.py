"""The command `treadle`, and the files it writes."""

from pathlib import Path

from click.testing import CliRunner, Result

from treadle.cli.commands import treadle


def run(*arguments: str | Path, answers: str | None = None) -> Result:
    """Return the result of `treadle ARGUMENTS`, to whose questions the answers are given."""
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(treadle, given, input=answers, prog_name="treadle")


def contents(folder: Path) -> dict[Path, bytes]:
    """Return every file's content by its path, without links and caches."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
