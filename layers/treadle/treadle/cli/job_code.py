"""Finds and reads the definition of a job in the project's code, for commands that need its partitions."""

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from treadle.definitions.errors import CommandRefusedError, ScaffoldError
from treadle.definitions.jobs import JobDefinition

_SKIPPED = {"tests", "node_modules", "build", "dist", "__pycache__"}
_LAYER = Path("layers/project/python")


def job_definition(job: str, file: Path | None = None) -> JobDefinition | None:
    """Return a job's definition, by importing the file that has it; None if no file of the project has one.

    Args:
        job: the job's name.
        file: the file; None to find it among the project's.

    Raises:
        CommandRefusedError: if several files define it with partitions, or the file cannot be imported or
            does not define it.
    """
    root = _root()
    if file is None:
        found = [path for path in _files(root) if _defines(path, job)] if root else []
        if not found:
            return None
        if len(found) > 1:
            shown = ", ".join(str(path) for path in found[:5])
            msg = f"Job {job} is defined with partitions in several files: {shown}. Name one with --code."
            raise CommandRefusedError(msg)
        [file] = found
    definitions = {
        id(each): each for each in _values(file, root) if isinstance(each, JobDefinition) and each.name == job
    }
    if len(definitions) != 1:
        msg = f"{file} must have one variable with the JobDefinition of {job}, but has {len(definitions)}."
        raise CommandRefusedError(msg)
    return next(iter(definitions.values()))


def _root() -> Path | None:
    from treadle.cli.new_sensor import find_root

    try:
        return find_root(Path.cwd())
    except ScaffoldError:
        return None


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        # The others are not even listed: they may have thousands of files, and a build may delete some meanwhile.
        folders[:] = sorted(each for each in folders if each not in _SKIPPED and not each.startswith("."))
        yield from (Path(folder, each) for each in sorted(files) if each.endswith(".py") and each[0] != ".")


def _defines(path: Path, job: str) -> bool:
    """Return whether a file calls JobDefinition with this name and with partitions."""
    try:
        text = path.read_text("utf-8")
        if "JobDefinition" not in text or job not in text:
            return False
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return False
    return any(_is_definition(node, job) for node in ast.walk(tree))


def _is_definition(node: ast.AST, job: str) -> bool:
    if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] != "JobDefinition":
        return False
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    name = node.args[0] if node.args else given.get("name")
    return isinstance(name, ast.Constant) and name.value == job and "partitions_def" in given


def _values(file: Path, root: Path | None) -> list[object]:
    """Import a file as its function would, and return its variables' values."""
    spec = importlib.util.spec_from_file_location(f"_treadle_job_code_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise CommandRefusedError(
            f"{file} is not a Python file. Name the one that defines the job with --code."
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Where dataclasses look up the names of annotations.
    with _importable(file.resolve().parent, *([root / _LAYER] if root else [])):
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            msg = (
                f"{file} cannot be imported: {type(error).__name__}: {error}. Run the command where the project's "
                "requirements are installed, or name another file with --code."
            )
            raise CommandRefusedError(msg) from error
    return list(vars(module).values())


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = before
