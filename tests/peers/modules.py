"""The module `dagster` that Dagster's tests import: Treadle's names, and those of the scaffold.

Each statement of a test module is executed on its own. One that Treadle cannot express (such as a sensor with asset
checks) does not fail the module: its names raise the statement's error where a test uses them.
"""

import ast
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

DAGSTER = ("dagster", "dagster_aws")


class BrokenError(Exception):
    """The error of a statement, where a test uses what it would have defined."""


class Broken:
    """Stands for what a failed statement would have defined; each use raises the statement's error.

    Args:
        name: what would have been defined.
        error: why it is not.
    """

    def __init__(self, name: str, error: Exception) -> None:
        text = str(error) if isinstance(error, BrokenError) else f"{name}: {type(error).__name__}: {error}"
        self.__dict__.update(name=name, reason=text)

    def _use(self, *_: object, **__: object) -> NoReturn:
        raise BrokenError(self.__dict__["reason"])

    __call__ = __getitem__ = __iter__ = __len__ = __enter__ = _use

    def __or__(self, _: object) -> "Broken":
        """Let an annotation use it."""
        return self

    def __getattr__(self, name: str) -> NoReturn:
        # Pytest and inspect look for such names in anything.
        if name.startswith(("__", "_pytest")):
            raise AttributeError(name)
        self._use()


class Names(Loader, MetaPathFinder):
    """Finds `dagster` and all modules in it, each with the same names.

    Args:
        names: all of them.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Find a module of Dagster; names in capitals are those of classes, not of modules."""
        if fullname.split(".", maxsplit=1)[0] not in DAGSTER or not fullname.islower():
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make a module that looks its names up."""
        module = ModuleType(spec.name)
        module.__getattr__ = self._named  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute nothing."""

    def _named(self, name: str) -> Any:
        if name in self._names:
            return self._names[name]
        msg = f"Treadle has no {name}."
        raise AttributeError(msg)


class Statements(SourceFileLoader):
    """Executes a test module statement by statement.

    Args:
        spec: the module's.
        left_out: functions of these names do nothing; assertions with one of these texts, blocks that expect an error with
            one, and assignments to one of these names are left out, as they are about Dagster's daemon or repositories.
        broken: what could not be defined, by name; completed here.
    """

    def __init__(self, spec: ModuleSpec, left_out: Collection[str], broken: dict[str, Broken]) -> None:
        super().__init__(spec.name, spec.origin or "")
        self._left_out = left_out
        self._broken = broken

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module; what a failed statement defines is `Broken`."""
        tree = ast.parse(Path(self.path).read_text(encoding="utf-8"), self.path)
        for statement in tree.body:
            for each in _single_imports(statement):
                self._leave_out(each)
                code = compile(ast.Module([each], []), self.path, "exec", dont_inherit=True)
                try:
                    exec(code, module.__dict__)
                except Exception as error:  # noqa: BLE001 - raised again where a test uses a name
                    broken = {name: Broken(name, error) for name in _defined(each)}
                    module.__dict__.update(broken)
                    self._broken.update(broken)

    def _leave_out(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.FunctionDef) and statement.name in self._left_out:
            statement.body = [ast.copy_location(ast.Pass(), statement)]
        for block in ast.walk(statement):
            lines = getattr(block, "body", None)
            if isinstance(lines, list):
                kept = [each for each in lines if not self._is_left_out(each)]
                block.body = kept or [ast.copy_location(ast.Pass(), lines[0])]  # type: ignore[attr-defined]

    def _is_left_out(self, line: ast.stmt) -> bool:
        if isinstance(line, ast.Assign):
            return ast.unparse(line.targets[0]) in self._left_out
        if isinstance(line, ast.With) and "pytest.raises" in (raises := ast.unparse(line.items[0])):
            return any(text in raises for text in self._left_out)
        return isinstance(line, ast.Assert) and any(text in ast.unparse(line) for text in self._left_out)


class Suites(MetaPathFinder):
    """Finds the modules of the test suites.

    Args:
        folder: has the suites.
        left_out: as in `Statements`.
    """

    def __init__(self, folder: Path, left_out: Collection[str]) -> None:
        self._folder = folder
        self._left_out = left_out
        self.broken: dict[str, Broken] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of the suites."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not Path(spec.origin or "").is_relative_to(self._folder):
            return None
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = Statements(spec, self._left_out, self.broken)
        return spec


def install(scaffold: Mapping[str, Any], sources: Sequence[str], suites: Suites) -> None:
    """Let imports find `dagster` and the suites.

    Args:
        scaffold: the names beside Treadle's; these win.
        sources: modules of Treadle with an `__all__`.
        suites: finds the suites.
    """
    names: dict[str, Any] = {}
    for source in map(import_module, sources):
        names |= {name: getattr(source, name) for name in source.__all__}
    sys.meta_path[:0] = [Names({**names, **scaffold}), suites]


def _single_imports(statement: ast.stmt) -> list[ast.stmt]:
    """Split the import of several names, so that one that is missing does not take the others with it."""
    if not isinstance(statement, ast.ImportFrom):
        return [statement]
    return [
        ast.copy_location(ast.ImportFrom(statement.module, [each], statement.level), statement)
        for each in statement.names
    ]


def _defined(statement: ast.stmt) -> list[str]:
    """Return the names that a statement would have defined."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [(each.asname or each.name).split(".")[0] for each in statement.names]
    return [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
