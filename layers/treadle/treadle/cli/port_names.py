"""What the names of a Dagster file are, and what is found in its lines."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import treadle
from treadle.cli.port_rules import CODE, DIFFERENT, GUIDE, LIBRARIES, NAMES, PACKAGES, Level, Rule, exists
from treadle.cli.port_source import Source

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Finding:
    """What becomes of something in a line.

    Attributes:
        line: its number.
        level: what becomes of it.
        subject: the thing that it is about.
        fact: about it.
        advice: what to do; "" if nothing.
        section: of the guide; "" for none.
    """

    line: int
    level: Level
    subject: str
    fact: str
    advice: str = ""
    section: str = ""

    def __str__(self) -> str:
        fact = f"cannot be expressed, as {self.fact}" if self.level is Level.IMPOSSIBLE else self.fact
        advice = (
            f"By hand: {self.advice[0].lower()}{self.advice[1:]}" if self.level is Level.HAND else self.advice
        )
        sentences = [f"{self.subject}: {fact}", advice, f"See {self.link}" if self.section else ""]
        return " ".join(f"{sentence}." for sentence in sentences if sentence)

    @property
    def link(self) -> str | None:
        """The section of the guide."""
        return f"{GUIDE}#{self.section}" if self.section else None


class Sensor(NamedTuple):
    """A sensor of the file.

    Attributes:
        variable: what its definition is assigned to.
        kind: as `treadle new sensor` names it.
        options: others of `treadle new sensor`.
    """

    variable: str
    kind: str
    options: str


class Name(NamedTuple):
    """What a local name is: a package of Dagster's, or (with `name`) something from it."""

    package: str
    name: str | None = None


class Imports:
    """The imports of a file.

    Attributes:
        names: what of Dagster's the local names are.
        lines: where each is imported.
        others: what the other local names are.
        statements: each import, with its block.
        preamble: the last line of the imports at the top.
    """

    def __init__(self, source: Source) -> None:
        self.names: dict[str, Name] = {}
        self.lines: dict[str, int] = {}
        self.statements: list[tuple[ast.Import | ast.ImportFrom, list[ast.stmt]]] = []
        self.others: dict[str, ast.alias] = {}
        top = takewhile(is_preamble, source.tree.body)
        self.preamble = max((statement.lineno for statement in top), default=0)
        for body in bodies(source.tree):
            for statement in body:
                if isinstance(statement, ast.Import | ast.ImportFrom):
                    self._read(statement, body)

    def _read(self, statement: ast.Import | ast.ImportFrom, body: list[ast.stmt]) -> None:
        module = getattr(statement, "module", None) or ""
        self.statements.append((statement, body))
        for alias in statement.names:
            origin = module if isinstance(statement, ast.ImportFrom) else alias.name
            package = origin.partition(".")[0]
            local = alias.asname or alias.name.partition(".")[0]
            self.lines.setdefault(local, statement.lineno)
            if getattr(statement, "level", 0) or not is_dagsters(origin):
                self.others[local] = alias
            elif isinstance(statement, ast.Import):
                self.names[local] = Name(alias.name if alias.asname else package)
            elif alias.name == "*":
                every = {*CODE, *NAMES, *treadle.__all__} - set(self.names)
                self.names |= {name: Name(package, name) for name in every}
            else:
                self.names[local] = Name(package, alias.name)


def bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yield each block of statements."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and body:
                yield body


def elements(node: ast.expr) -> list[ast.expr]:
    """Return a list's elements, or the arguments of a call that takes several; else the node itself."""
    if isinstance(node, ast.List | ast.Tuple):
        return node.elts
    return (
        node.args
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
        else [node]
    )


def is_preamble(statement: ast.stmt) -> bool:
    """Return whether a statement is one of those at the top of a file: its docstring, imports."""
    is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_docstring or isinstance(statement, ast.Import | ast.ImportFrom)


def is_dagsters(module: str) -> bool:
    """Return whether a module is Dagster's, or of one of its libraries."""
    package = module.partition(".")[0]
    prefix, _, library = package.partition("_")
    return package in PACKAGES or (prefix == "dagster" and library in LIBRARIES)


def bound(body: Sequence[ast.stmt]) -> set[str]:
    """Return the names that statements bind, without those of functions and classes within."""
    names: set[str] = set()
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        pending += ast.iter_child_nodes(node)
    return names


class Names:
    """A file whose names are known, and what is found in it."""

    def __init__(self, source: Source, imports: Imports) -> None:
        self.source = source
        self.imports = imports
        self.findings: list[Finding] = []
        self.works: dict[int, list[str]] = defaultdict(list)
        self.sensors: list[Sensor] = []
        self.jobs: dict[str, str] = {}
        """Variables that are jobs after the port, with the text of the job's name."""
        self.assets: dict[str, str | None] = {}
        """Removed assets, with the text of their keys."""
        self.specs: set[str] = set()
        """Variables that are specs of assets, and remain."""
        self.partitioned: dict[str, str] = {}
        """Those that were asset definitions with partitions, with the text of their keys."""
        self.selects = False
        """Whether requests select assets, or sensors map their partitions, so that jobs must say which they make."""
        self.made_jobs: dict[ast.keyword, str] = {}
        """Targets that are assets, with the name of the job that makes them."""
        self.replaced: set[ast.AST] = set()
        """Expressions that are replaced as a whole."""
        self.none: dict[str, ast.expr] = {}
        """Variables of the module that are None, as documentation writes a job that is elsewhere."""
        self.removed: dict[str, str] = {}
        """Other removed variables, with what they were."""
        self.kept: dict[ast.stmt, list[ast.expr]] = {}
        """Replaced statements, with their parts that remain."""
        self.resources: dict[ast.stmt, ast.expr] = {}
        """The resources of each removed `Definitions`."""
        self.given: list[str] = []
        """Those that the sensors may use."""
        self.defined: list[str] = []
        """Definitions of jobs that were imported."""
        self.needed: dict[str, None] = {}
        """Names to import from treadle."""
        self.gone: set[ast.stmt] = set()
        """Imports that are removed."""
        self.used: set[str] = set()
        """Local names that remain in use."""
        self.hidden: list[set[str]] = []
        """Names that enclosing functions bind."""
        self.contexts: dict[str, type] = {}
        self.decorates: dict[ast.expr, Function] = {}
        self.module = {
            local: "treadle" if local == each.package and "." not in each.package else local
            for local, each in imports.names.items()
            if each.name is None
        }
        """Local names of packages, with their names after the port."""

    def _find(
        self, at: ast.AST | int, level: Level, subject: str, fact: str, advice: str = "", section: str = ""
    ) -> None:
        line = at if isinstance(at, int) else int(getattr(at, "lineno", 1))
        section = section or (DIFFERENT if level is Level.HAND else "")
        self.findings.append(Finding(line, level, subject, fact, advice, section))

    def _refuse(self, at: ast.AST, subject: str, rule: Rule) -> None:
        self._find(at, rule.level, subject, rule.fact, rule.advice, rule.section)

    # What a name is

    def _resolve(self, node: ast.AST) -> Name | None:
        """Return what of Dagster an expression names."""
        if isinstance(node, ast.Name) and not any(node.id in names for names in self.hidden):
            return self.imports.names.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self._resolve(node.value)
            if base is not None and base.name is None:
                is_package = node.attr == "s3" and base.package.startswith("dagster_aws")
                return Name(f"{base.package}.{node.attr}") if is_package else Name(base.package, node.attr)
        return None

    def _dagster(self, node: ast.AST) -> str:
        """Return the name within Dagster's packages; "" if it is not from there."""
        found = self._resolve(node)
        return found.name or "" if found else ""

    def _spelled(self, name: str, line: int) -> str:
        """Return how a line of the changed file names something of Treadle's, and import it if need be."""
        known = {
            local: each
            for local, each in self.imports.names.items()
            if self.imports.lines.get(local, 0) <= line
        }
        for local, found in known.items():
            if found == Name("dagster", name) and exists(name):
                self.used.add(local)
                return local
        for local, found in known.items():
            if found.name is None and found.package.partition(".")[0] in PACKAGES:
                return f"{self.module[local]}.{name}"
        self.needed[name] = None
        return name

    def _text(self, node: ast.expr) -> str:
        """Return an expression's text, with the packages' names after the port."""
        start, end = self.source.span(node)
        text = self.source.data[start:end]
        inner = [each for each in ast.walk(node) if isinstance(each, ast.Name) and each.id in self.module]
        for each in sorted(inner, key=self.source.span, reverse=True):
            first, last = self.source.span(each)
            if self._resolve(each):
                text = text[: first - start] + self.module[each.id].encode() + text[last - start :]
        return text.decode()
