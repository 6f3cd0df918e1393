"""Ports one file: what it takes from Dagster, what becomes of each line, and the changed file."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from treadle.cli.port_names import Finding, Imports, Sensor, bodies, bound, is_dagsters, is_preamble
from treadle.cli.port_rules import PACKAGES, RELATIVE, RESOURCES, Level, exists, unknown
from treadle.cli.port_source import Source
from treadle.cli.port_uses import UsesPort


@dataclass(frozen=True, slots=True)
class Report:
    """A file's port.

    Attributes:
        path: the file.
        findings: by line.
        sensors: those that it defines.
        changed: the changed file.
    """

    path: Path
    findings: Sequence[Finding]
    sensors: Sequence[Sensor]
    changed: bytes


def port(path: Path) -> Report | None:
    """Read a file and port it, without running or writing anything; None if it imports nothing of Dagster.

    Raises:
        ScaffoldError: if it cannot be read, or is not Python.
    """
    source = Source.read(path)
    imports = Imports(source)
    return _Port(source, imports).report() if imports.names else None


class _Port(UsesPort):
    """The port of a file: first what is removed, then each use in what remains, then the imports."""

    def report(self) -> Report:
        """Port the file."""
        self._read_assets()
        for body in list(bodies(self.source.tree)):
            for statement in body:
                self._replace(statement, is_alone=body is not self.source.tree.body)
        self.before = {each.id for each in ast.walk(self.source.tree) if isinstance(each, ast.Name)}
        self._select_resources()
        self.visit(self.source.tree)
        self._add_handler()
        self._rewrite_imports()
        reported = {finding.line for finding in self.findings}
        for line, names in self.works.items():
            if line not in reported:
                verb = "works as it is" if len(set(names)) == 1 else "work as they are"
                self._find(line, Level.WORKS, ", ".join(dict.fromkeys(names)), verb)
        ordered = sorted(dict.fromkeys(self.findings), key=lambda finding: finding.line)
        return Report(self.source.path, ordered, self.sensors, self.source.result())

    def _add_handler(self) -> None:
        """Add the handler, if the file has one sensor."""
        if any("handler" in bound([each]) for each in self.source.tree.body if each not in self.kept):
            return
        given = f"{{{', '.join(self.given)}}}" if self.given else ""
        last = self.source.tree.body[-1].end_lineno or 1
        if len(self.sensors) != 1:
            if given:
                line = list(self.resources.values())[-1]
                self._refuse(line, f"resources {given} of Definitions", RESOURCES)
            return
        resources = f", resources={given}" if given else ""
        text = f"handler = {self._spelled('evaluator', last)}({self.sensors[0].variable}{resources})"
        self.source.tail = f"\n\n{text}\n"
        self._find(last, Level.CHANGE, "handler", "each sensor is a Lambda function", f"Add `{text}`")

    def _rewrite_imports(self) -> None:
        for statement, body in self.imports.statements:
            is_alone = body is not self.source.tree.body
            module = getattr(statement, "module", None) or ""
            if isinstance(statement, ast.ImportFrom) and not statement.level and is_dagsters(module):
                self._rewrite_names(statement, module, is_alone)
            else:
                self._rewrite_modules(statement, is_alone)
        texts = [f"from treadle import {', '.join(self.needed)}"] if self.needed else []
        texts += [f"\n{self.defined[0]}", *self.defined[1:]] if self.defined else []
        if texts:
            top = takewhile(is_preamble, self.source.tree.body)
            self.source.insert_below([each for each in top if each not in self.gone], texts)

    def _rewrite_modules(self, statement: ast.Import | ast.ImportFrom, is_alone: bool) -> None:
        unused: list[ast.alias] = []
        for alias in statement.names:
            local = alias.asname or alias.name.partition(".")[0]
            found = self.imports.names.get(local)
            if found is None or not isinstance(statement, ast.Import):
                if (local in self.before and local not in self.used) or (local in self.jobs):
                    unused.append(alias)
                elif local in self.used and self._is_own(statement, alias):
                    self._refuse(statement, f"import of {local}", RELATIVE)
            elif found.package in PACKAGES or found.package == "dagster_aws.s3":
                name = self.module[local]
                text = "treadle" if name == "treadle" else f"treadle as {name}"
                self.source.replace(alias, text)
                self._find(
                    statement,
                    Level.CHANGE,
                    f"import {alias.name}",
                    "the package is treadle",
                    f"Change it to `import {text}`",
                )
            elif local in self.used:
                self._refuse(statement, alias.name, unknown(alias.name))
            else:
                unused.append(alias)
        if unused:
            self._remove_names(statement, list(unused), is_alone)
            names = [self.source.text(each) for each in unused if (each.asname or each.name) not in self.jobs]
            if names:
                what = f"import of {', '.join(names)}"
                self._find(statement, Level.CHANGE, what, "nothing that remains uses it", "Remove it")

    def _is_own(self, statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> bool:
        """Return whether an import is from the package that the file itself belongs to."""
        module = alias.name
        if isinstance(statement, ast.ImportFrom):
            if statement.level:
                return True
            module = statement.module or ""
        package = module.partition(".")[0]
        folders = self.source.path.absolute().parents
        return any(each.name == package and (each / "__init__.py").exists() for each in folders)

    def _remove_names(
        self, statement: ast.Import | ast.ImportFrom, names: list[ast.AST], is_alone: bool
    ) -> None:
        if len(names) == len(statement.names):
            self.gone.add(statement)
            self.source.replace_statement(statement, "", is_alone=is_alone)
        else:
            self.source.drop(list(statement.names), names)

    def _rewrite_names(self, statement: ast.ImportFrom, module: str, is_alone: bool) -> None:
        package = module.partition(".")[0]
        ported: list[ast.alias] = []
        left: list[ast.alias] = []
        dropped: list[ast.alias] = []
        for alias in statement.names:
            local = alias.asname or alias.name
            is_known = alias.name == "*" or (package in PACKAGES and exists(alias.name))
            if local not in self.used and (local in self.before or not is_known) and alias.name != "*":
                dropped.append(alias)
            else:
                (ported if is_known else left).append(alias)
        added = list(self.needed) if package in PACKAGES and (ported or dropped) and not is_alone else []
        if added:
            self.needed.clear()
        if not ported and not added:
            if dropped:
                self._remove_names(statement, list(dropped), is_alone)
                self._find(
                    statement,
                    Level.CHANGE,
                    f"from {module} import",
                    "nothing that remains uses it",
                    "Remove it",
                )
            return
        self._write_names(statement, ported, [*left, *dropped], added)
        if left:
            names = ", ".join(self.source.text(each) for each in left)
            self.source.insert_after(statement, f"\n{' ' * statement.col_offset}from {module} import {names}")
        names = ", ".join([*(self.source.text(each) for each in ported), *added])
        advice = f"Change it to `from treadle import {names}`"
        self._find(statement, Level.CHANGE, f"from {module} import", "the package is treadle", advice)

    def _write_names(
        self, statement: ast.ImportFrom, ported: list[ast.alias], gone: list[ast.alias], added: list[str]
    ) -> None:
        start, _ = self.source.span(statement)
        module = re.compile(rb"from\s+([\w.]+)").match(self.source.data, start)
        assert module
        self.source.edits.append((*module.span(1), "treadle"))
        if added and ported:
            # In a list of lines, before the last name, whose line may end in a comment.
            start, end = self.source.span(ported[-1])
            indent = self.source.before(ported[-1])
            text = "".join(f"{name},\n{indent}" for name in added)
            edit = (end, end, f", {', '.join(added)}") if indent.strip() else (start, start, text)
            self.source.edits.append(edit)
        elif added:
            self.source.replace(gone[0], ", ".join(added))
            gone = gone[1:]
        self.source.drop(list(statement.names), list(gone))
