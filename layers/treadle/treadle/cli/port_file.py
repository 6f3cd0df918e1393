"""Ports one file: what it takes from Dagster, what becomes of each line, and the changed file."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from treadle.cli.port_rules import (
    CODE,
    CONFIG_OF_JOB,
    CONTEXTS,
    DIFFERENT,
    DROPPED_OPTIONS,
    GUIDE,
    MEMBERS,
    NAMES,
    OPTIONS,
    PACKAGES,
    RENAMED_OPTIONS,
    SENSORS,
    UNBUILT,
    UNBUILT_UNLESS,
    Level,
    Rule,
    class_of,
    exists,
    has_member,
    options_of,
    positional,
    unknown,
)
from treadle.cli.port_source import Source

_TARGETS = frozenset(
    {"job", "jobs", "target", "request_job", "request_jobs", "monitored_jobs", "job_selection"}
)
"""Options that take jobs."""
_EACH = "Pass those that it uses to each function's evaluator(sensor, resources={...})"
_TEXT = re.compile(r"[\"']([^\"']+)[\"']")
_RELATIVE = Rule(
    "the function's folder is no package",
    "Copy what the sensor needs from there, or share it by the project's layer",
    DIFFERENT,
    Level.HAND,
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Finding:
    """What becomes of something in a line.

    Attributes:
        line: its number.
        level: what becomes of it.
        what: the thing.
        fact: about it.
        advice: what to do; "" if nothing.
        section: of the guide; "" for none.
    """

    line: int
    level: Level
    what: str
    fact: str
    advice: str = ""
    section: str = ""

    def __str__(self) -> str:
        fact = f"cannot be expressed, as {self.fact}" if self.level is Level.IMPOSSIBLE else self.fact
        advice = (
            f"By hand: {self.advice[0].lower()}{self.advice[1:]}" if self.level is Level.HAND else self.advice
        )
        sentences = [f"{self.what}: {fact}", advice, f"See {self.link}" if self.section else ""]
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


@dataclass(frozen=True, slots=True)
class Report:
    """A file's port.

    Attributes:
        path: the file.
        findings: by line.
        sensors: those that it defines.
        changed: the changed file.
        has_handler: whether the changed file has the handler of a function.
    """

    path: Path
    findings: Sequence[Finding]
    sensors: Sequence[Sensor]
    changed: bytes
    has_handler: bool


class _Name(NamedTuple):
    """What a local name is: a package of Dagster's, or (with `name`) something from it."""

    package: str
    name: str | None = None


def port(path: Path) -> Report | None:
    """Read a file and port it, without running or writing anything; None if it imports nothing of Dagster.

    Raises:
        ScaffoldError: if it cannot be read, or is not Python.
    """
    source = Source.read(path)
    imports = _Imports(source)
    return _Port(source, imports).report() if imports.names else None


class _Imports:
    """The imports of a file: what its local names are."""

    def __init__(self, source: Source) -> None:
        self.names: dict[str, _Name] = {}
        self.lines: dict[str, int] = {}
        self.statements: list[tuple[ast.Import | ast.ImportFrom, list[ast.stmt]]] = []
        self.others: dict[str, ast.alias] = {}
        for body in _bodies(source.tree):
            for statement in body:
                if isinstance(statement, ast.Import | ast.ImportFrom):
                    self._read(statement, body)

    def _read(self, statement: ast.Import | ast.ImportFrom, body: list[ast.stmt]) -> None:
        module = getattr(statement, "module", None) or ""
        self.statements.append((statement, body))
        for alias in statement.names:
            package = (module if isinstance(statement, ast.ImportFrom) else alias.name).partition(".")[0]
            local = alias.asname or alias.name.partition(".")[0]
            self.lines.setdefault(local, statement.lineno)
            if getattr(statement, "level", 0) or not (package in PACKAGES or package.startswith("dagster_")):
                self.others[local] = alias
            elif isinstance(statement, ast.Import):
                self.names[local] = _Name(alias.name if alias.asname else package)
            elif alias.name == "*":
                self.names |= {
                    name: _Name(package, name) for name in {*CODE, *NAMES} if name not in self.names
                }
                self.names |= {
                    name: _Name(package, name) for name in _treadle_names() if name not in self.names
                }
            else:
                self.names[local] = _Name(package, alias.name)


def _treadle_names() -> Sequence[str]:
    import treadle

    return treadle.__all__


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yield each block of statements."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and body:
                yield body


class _Port(ast.NodeVisitor):
    """The port of one file: first what is removed, then each use in what remains, then the imports."""

    def __init__(self, source: Source, imports: _Imports) -> None:
        self.source = source
        self.imports = imports
        self.findings: list[Finding] = []
        self.works: dict[int, list[str]] = defaultdict(list)
        self.sensors: list[Sensor] = []
        self.jobs: dict[str, str] = {}
        """Variables that are jobs after the port, with the text of the job's name."""
        self.assets: dict[str, str | None] = {}
        """Removed assets, with the text of their keys."""
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

    def report(self) -> Report:
        """Port the file."""
        for body in list(_bodies(self.source.tree)):
            for statement in body:
                self._replace(statement, is_alone=body is not self.source.tree.body)
        self.before = {each.id for each in ast.walk(self.source.tree) if isinstance(each, ast.Name)}
        self._select_resources()
        self.visit(self.source.tree)
        has_handler = self._add_handler()
        self._rewrite_imports()
        bound = {finding.line for finding in self.findings}
        for line, names in self.works.items():
            if line not in bound:
                verb = "works as it is" if len(set(names)) == 1 else "work as they are"
                self._find(line, Level.WORKS, ", ".join(dict.fromkeys(names)), verb)
        ordered = sorted(dict.fromkeys(self.findings), key=lambda finding: finding.line)
        return Report(self.source.path, ordered, self.sensors, self.source.result(), has_handler)

    def _find(
        self, at: ast.AST | int, level: Level, what: str, fact: str, advice: str = "", section: str = ""
    ) -> None:
        line = at if isinstance(at, int) else int(getattr(at, "lineno", 1))
        section = section or (DIFFERENT if level is Level.HAND else "")
        self.findings.append(Finding(line, level, what, fact, advice, section))

    def _refuse(self, at: ast.AST, what: str, rule: Rule) -> None:
        self._find(at, rule.level, what, rule.fact, rule.advice, rule.section)

    # What a name is

    def _resolve(self, node: ast.AST) -> _Name | None:
        """Return what of Dagster an expression names."""
        if isinstance(node, ast.Name) and not any(node.id in names for names in self.hidden):
            return self.imports.names.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self._resolve(node.value)
            if base is not None and base.name is None:
                is_package = node.attr == "s3" and base.package.startswith("dagster_aws")
                return _Name(f"{base.package}.{node.attr}") if is_package else _Name(base.package, node.attr)
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
            if found == _Name("dagster", name) and exists(name):
                self.used.add(local)
                return local
        for local, found in known.items():
            if found == _Name("dagster"):
                return f"{self.module[local]}.{name}"
        self.needed[name] = None
        return name

    def _text(self, node: ast.expr) -> str:
        """Return an expression's text, with the packages' names after the port."""
        inner = Source(self.source.path, self.source.data, self.source.encoding, self.source.tree)
        inner.edits = []
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id in self.module and self._resolve(each):
                inner.replace(each, self.module[each.id])
        start, end = inner.span(node)
        text = inner.data[start:end]
        for first, last, name in sorted(inner.edits, reverse=True):
            text = text[: first - start] + name.encode() + text[last - start :]
        return text.decode()

    # What is removed

    def _replace(self, statement: ast.stmt, *, is_alone: bool) -> None:
        call: ast.Call | None = None
        name, variable = "", ""
        if isinstance(statement, Function):
            for decorator in statement.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if self._dagster(called) in CODE:
                    name, variable = self._dagster(called), statement.name
                    call = decorator if isinstance(decorator, ast.Call) else None
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr) and isinstance(
            statement.value, ast.Call
        ):
            call = statement.value
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            variable = targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""
            name = self._dagster(call.func)
            is_graph = isinstance(call.func, ast.Attribute) and call.func.attr == "to_job"
            name = "to_job" if is_graph else name
        if name == "to_job" or name in CODE:
            self._replace_code(statement, name, variable, call, is_alone)

    def _replace_code(
        self, statement: ast.stmt, name: str, variable: str, call: ast.Call | None, is_alone: bool
    ) -> None:
        code = CODE["job" if name == "to_job" else name]
        what = f"@{name} {variable}" if isinstance(statement, Function) else f"{name} {variable}".strip()
        line = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
        if code.kind == "job" and variable:
            text, kept = self._job(name, variable, call, line, is_function=isinstance(statement, Function))
            self.source.replace_statement(statement, f"{variable} = {text}")
            self.kept[statement] = kept
            advice = code.advice.format(name=self.jobs[variable].strip("\"'"))
            dropped = (
                [each.arg for each in call.keywords if each.arg and each.value not in kept] if call else []
            )
            dropped = [each for each in dropped if each not in {"name", "selection", "config"}]
            belongs = f". Its {', '.join(dropped)} belongs to what it starts" if dropped else ""
            self._find(
                line, Level.CHANGE, what, code.fact, f"Change it to `{variable} = {text}`. {advice}{belongs}"
            )
            for each in call.keywords if call else ():
                if each.arg == "config":
                    self._refuse(each, f"config of {name}", CONFIG_OF_JOB)
            return
        if code.kind == "asset":
            self.assets[variable] = self._asset_key(variable, call, isinstance(statement, Function))
        elif variable:
            self.removed[variable] = f"@{name}"
        self.kept[statement] = []
        for each in ast.walk(statement):
            if isinstance(each, ast.Call) and self._dagster(each.func) == "Definitions":
                self.resources.update(
                    (statement, given.value) for given in each.keywords if given.arg == "resources"
                )
        self.source.replace_statement(statement, "", is_alone=is_alone)
        self._find(line, Level.CHANGE, what, code.fact, code.advice)

    def _job(
        self, name: str, variable: str, call: ast.Call | None, line: int, *, is_function: bool
    ) -> tuple[str, list[ast.expr]]:
        """Return a job's new definition, and which parts of its old one it keeps."""
        given = {each.arg: each.value for each in call.keywords if each.arg} if call else {}
        if call and call.args and not is_function:
            given.setdefault("name", call.args[0])
        named = f'"{variable}"'
        if (
            name == "to_job"
            and call
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
        ):
            named = f'"{call.func.value.id}"'
        self.jobs[variable] = named = self._text(given["name"]) if "name" in given else named
        known = options_of("JobDefinition") or ()
        kept = {key: value for key, value in given.items() if key in known and key not in {"name", "assets"}}
        parts = [named, *(f"{key}={self._text(value)}" for key, value in kept.items())]
        return f"{self._spelled('JobDefinition', line)}({', '.join(parts)})", list(kept.values())

    def _asset_key(self, variable: str, call: ast.Call | None, is_function: bool) -> str | None:
        """Return the text of an asset's key, if it can be read."""
        given = {each.arg: each.value for each in call.keywords if each.arg} if call else {}
        if call and call.args and not is_function:
            given["key"] = call.args[0]
        if "key" in given:
            key = given["key"]
            is_key = isinstance(key, ast.Call) and self._dagster(key.func) == "AssetKey"
            return (
                self._text(key.args[0])
                if is_key and isinstance(key, ast.Call) and key.args
                else self._text(key)
            )
        name = self._text(given["name"]) if "name" in given else f'"{variable}"'
        prefix = given.get("key_prefix")
        if isinstance(prefix, ast.List):
            return f"[{', '.join([*map(self._text, prefix.elts), name])}]"
        return f"[{self._text(prefix)}, {name}]" if prefix is not None else name

    # What remains

    def visit(self, node: ast.AST) -> None:
        """Visit what remains of a node."""
        if isinstance(node, ast.stmt) and node in self.kept:
            for each in self.kept[node]:
                super().visit(each)
        else:
            super().visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Leave imports for the end."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Likewise."""

    def visit_FunctionDef(self, node: Function) -> None:
        """Visit a function: its parameters hide names, and one may be a context."""
        before = dict(self.contexts)
        every = [each for each in ast.walk(node.args) if isinstance(each, ast.arg)]
        for parameter in every:
            if parameter.annotation and self._is_context(parameter):
                self.contexts[parameter.arg] = class_of(self._dagster(parameter.annotation))
        makers = {
            decorator: self._dagster(getattr(decorator, "func", decorator))
            for decorator in node.decorator_list
        }
        first = [*node.args.posonlyargs, *node.args.args][:1]
        for decorator, name in makers.items():
            if name in CONTEXTS and first and first[0].annotation is None:
                self.contexts[first[0].arg] = CONTEXTS[name]
            self.decorates[decorator] = node
        for each in [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]:
            self.visit(each)
        for decorator, name in makers.items():
            self._add_sensor(node.name, name, decorator)
        self.hidden.append({each.arg for each in every} | _bound(node.body))
        for statement in node.body:
            self.visit(statement)
        self.hidden.pop()
        self.contexts = before

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def _is_context(self, parameter: ast.arg) -> bool:
        name = self._dagster(parameter.annotation) if parameter.annotation else ""
        return name.endswith("Context") and class_of(name) is not None

    def visit_Assign(self, node: ast.Assign) -> None:
        """Visit an assignment, which may make a sensor."""
        [target, *others] = node.targets
        if isinstance(node.value, ast.Call) and isinstance(target, ast.Name) and not others:
            self.generic_visit(node)
            self._add_sensor(target.id, self._dagster(node.value.func), node.value)
        else:
            self.generic_visit(node)

    def _add_sensor(self, variable: str, name: str, call: ast.expr) -> None:
        if self.hidden or name not in SENSORS or not exists(name):
            return
        options: list[str] = []
        for keyword in call.keywords if isinstance(call, ast.Call) else ():
            if keyword.arg in _TARGETS - {"monitored_jobs", "job_selection"} or keyword.arg == "job_name":
                names = [
                    self.jobs.get(getattr(each, "id", ""), "").strip("\"'")
                    for each in ast.walk(keyword.value)
                ]
                names += [str(each.value) for each in [keyword.value] if isinstance(each, ast.Constant)]
                options += [f"--job {each}" for each in names if each][:1]
            elif keyword.arg in {"monitored_jobs", "job_selection"}:
                names = [
                    self.jobs.get(getattr(each, "id", ""), "").strip("\"'")
                    for each in ast.walk(keyword.value)
                ]
                options += [f"--jobs {','.join(filter(None, names))}"] if any(names) else []
            elif keyword.arg in {"asset_key", "monitored_assets"}:
                elements = [
                    each.value if isinstance(each, ast.Attribute) else each
                    for each in _elements(keyword.value)
                ]
                keys = [self._key(each) or "" for each in elements]
                options += [f"--asset {'/'.join(re.findall(_TEXT, key))}" for key in keys if key]
            elif keyword.arg == "minimum_interval_seconds" and isinstance(keyword.value, ast.Constant):
                options += [f"--interval {keyword.value.value!r}"] if SENSORS[name] == "schedule" else []
        kind = SENSORS[name]
        if isinstance(call, ast.Call) and any(
            getattr(each.value, "attr", "") == "FAILURE" for each in call.keywords
        ):
            kind = "run-failure"
        self.sensors.append(Sensor(variable, kind, " ".join(dict.fromkeys(options))))

    def visit_Call(self, node: ast.Call) -> None:
        """Visit a call: its options must exist."""
        name = self._dagster(node.func)
        if name == "AssetSelection" or (isinstance(node.func, ast.Attribute) and self._is_selection(node)):
            return
        if name == "define_asset_job":
            text, kept = self._job(name, "", node, node.lineno, is_function=False)
            self.source.replace(node, text)
            self._find(node, Level.CHANGE, name, CODE[name].fact, f"Change it to `{text}`")
            for each in kept:
                self.visit(each)
            return
        if exists(name):
            changed = self._check_options(node, name)
            self.visit(node.func)
            for argument in node.args:
                self.visit(argument)
            for keyword in node.keywords:
                if keyword not in changed:
                    self._note_target(keyword)
                    self.visit(keyword.value)
            return
        self.generic_visit(node)

    def _is_selection(self, node: ast.Call) -> bool:
        """Replace a selection that only lists assets by their keys."""
        assert isinstance(node.func, ast.Attribute)
        if self._dagster(node.func.value) != "AssetSelection" or exists("AssetSelection"):
            return False
        keys = [self._key(each) for each in node.args]
        if node.func.attr not in {"assets", "keys"} or None in keys or node.keywords:
            return False
        text = f"[{', '.join(map(str, keys))}]"
        self.source.replace(node, text)
        self._find(
            node,
            Level.CHANGE,
            f"AssetSelection.{node.func.attr}",
            "a sensor names its assets by their keys",
            f"Change it to `{text}`",
        )
        return True

    def _key(self, node: ast.expr) -> str | None:
        """Return the text of an asset's key."""
        if isinstance(node, ast.Name) and node.id in self.assets:
            text = self.assets[node.id]
            return f"{self._spelled('AssetKey', node.lineno)}({text})" if text else None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return f"{self._spelled('AssetKey', node.lineno)}({self._text(node)})"
        if isinstance(node, ast.Call) and self._dagster(node.func) == "AssetKey":
            self.visit(node)
            return self._text(node)
        return None

    def _check_options(self, node: ast.Call, name: str) -> list[ast.keyword]:
        """Report options that Treadle does not have; return those that are replaced."""
        known = options_of(name)
        if known is None:
            return []
        if len(node.args) > positional(name) and not any(isinstance(each, ast.Starred) for each in node.args):
            rule = Rule(
                f"only its first {positional(name)} arguments may be positional",
                "Name the others",
                level=Level.HAND,
            )
            self._refuse(node.args[-1], f"arguments of {name}", rule)
        changed, dropped = [], []
        for keyword in node.keywords:
            option = keyword.arg
            if (name, option) in UNBUILT and not (options_of(UNBUILT_UNLESS[0]) or ()).count(
                UNBUILT_UNLESS[1]
            ):
                self._refuse(keyword, f"{option} of {name}", UNBUILT[name, option])
            if option is None or (option in known and not self._targets_assets(keyword, name)):
                continue
            new = RENAMED_OPTIONS.get(option)
            is_only = not any(
                each.arg in _TARGETS | {"job_name"} for each in node.keywords if each is not keyword
            )
            if name in SENSORS and option in {"target", "asset_selection"} and is_only:
                self._change_target(node, keyword, name)
                changed.append(keyword)
            elif new in known:
                self._rename(keyword, str(new), name)
            elif option in DROPPED_OPTIONS:
                dropped.append(keyword)
                self._find(
                    keyword, Level.CHANGE, f"{option} of {name}", "repositories do not exist", "Leave it out"
                )
            else:
                self._refuse(
                    keyword, f"{option} of {name}", OPTIONS.get(option, unknown(f"option {option} of {name}"))
                )
        if dropped:
            self.source.drop([*node.args, *node.keywords], list(dropped))
        return [*changed, *dropped]

    def _rename(self, keyword: ast.keyword, new: str, name: str) -> None:
        assert keyword.arg
        start, _ = self.source.span(keyword)
        self.source.edits.append((start, start + len(keyword.arg.encode()), new))
        self._find(
            keyword, Level.CHANGE, f"{keyword.arg} of {name}", f"its name is {new}", f"Change it to `{new}=`"
        )

    def _targets_assets(self, keyword: ast.keyword, name: str) -> bool:
        return name in SENSORS and keyword.arg == "target" and self._are_assets(keyword.value)

    def _are_assets(self, value: ast.expr) -> bool:
        if isinstance(value, ast.List | ast.Tuple):
            return bool(value.elts) and all(map(self._are_assets, value.elts))
        if isinstance(value, ast.Constant):
            return not str(value.value).isidentifier()
        if isinstance(value, ast.Name):
            return value.id in self.assets
        return any(self._dagster(each) in {"AssetSelection", "AssetKey"} for each in ast.walk(value))

    def _change_target(self, node: ast.Call, keyword: ast.keyword, name: str) -> None:
        value = keyword.value
        sensor = self.decorates.get(node)
        variable = sensor.name if sensor else "sensor"
        if keyword.arg == "asset_selection" or self._are_assets(value):
            text, fact = f'job_name="{variable}_job"', "asset definitions do not exist"
            advice = f"Change it to `{text}`, a job that makes the assets"
        else:
            option = "job_name" if isinstance(value, ast.Constant) else "job"
            option = "jobs" if isinstance(value, ast.List | ast.Tuple) else option
            text, fact = f"{option}={self._text(value)}", "a sensor names its job"
            advice = f"Change it to `{text}`"
            self._note_target(keyword)
            self.visit(value)
        self.source.replace(keyword, text)
        self._find(keyword, Level.CHANGE, f"{keyword.arg} of {name}", fact, advice)

    def _note_target(self, keyword: ast.keyword) -> None:
        """Define jobs that are imported from elsewhere, where Dagster's job has code."""
        if keyword.arg not in _TARGETS:
            return
        for each in ast.walk(keyword.value):
            if not isinstance(each, ast.Name) or any(each.id in names for names in self.hidden):
                continue
            if each.id in self.imports.others and each.id not in self.jobs:
                self.jobs[each.id] = f'"{each.id}"'
                text = f'{each.id} = {self._spelled("JobDefinition", 0)}("{each.id}")'
                alias = self.imports.others[each.id]
                self._find(
                    alias,
                    Level.CHANGE,
                    f"import of {each.id}",
                    "the job's code is elsewhere",
                    f"Change it to `{text}`; the name must be the job's",
                )
                self.defined.append(text)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Visit an attribute: of a package, a class, a context, an instance, a job or an asset."""
        if self._resolve(node) is not None:
            self._use(node)
            self.generic_visit(node)
            return
        if isinstance(node.value, ast.Name) and self.assets.get(node.value.id) and node.attr == "key":
            text = str(self._key(node.value))
            self.source.replace(node, text)
            self._find(
                node,
                Level.CHANGE,
                f"{node.value.id}.key",
                "asset definitions do not exist",
                f"Change it to `{text}`",
            )
            return
        of, cls = self._owner(node.value)
        if cls is not None and not has_member(cls, node.attr):
            what = f"{of}.{node.attr}"
            self._refuse(node, what, MEMBERS.get(node.attr, unknown(what)))
        self.generic_visit(node)

    def _owner(self, value: ast.expr) -> tuple[str, type | None]:
        """Return what has an attribute, and its class if that is known."""
        name = self._dagster(value)
        if name:
            return name, class_of(name) if exists(name) else None
        if isinstance(value, ast.Name):
            return value.id, class_of("JobDefinition") if value.id in self.jobs else self.contexts.get(
                value.id
            )
        if (
            isinstance(value, ast.Attribute)
            and value.attr == "instance"
            and isinstance(value.value, ast.Name)
        ):
            is_context = value.value.id in self.contexts
            return f"{value.value.id}.instance", class_of("DagsterInstance") if is_context else None
        return "", None

    def visit_Name(self, node: ast.Name) -> None:
        """Visit a name: of Dagster's, or of something that is removed."""
        if any(node.id in names for names in self.hidden):
            return
        self.used.add(node.id)
        found = self._resolve(node)
        if found is not None and found.name is not None:
            self._use(node)
        elif found is not None and self.module[node.id] != node.id:
            self.source.replace(node, self.module[node.id])
        elif (
            isinstance(node.ctx, ast.Load)
            and node.id in {**self.removed, **self.assets}
            and node.id not in self.jobs
        ):
            fact = f"it is {self.removed.get(node.id, 'an asset')}, and removed"
            self._find(node, Level.HAND, node.id, fact, "Change what uses it")

    def _use(self, node: ast.Attribute | ast.Name) -> None:
        found = self._resolve(node)
        assert found is not None
        assert found.name is not None
        if found.package.partition(".")[0] in PACKAGES and exists(found.name):
            self.works[node.lineno].append(found.name)
        else:
            self._refuse(node, found.name, NAMES.get(found.name, unknown(found.name)))

    # What is added, and the imports

    def _select_resources(self) -> None:
        """Keep the resources of `Definitions` that what remains may name."""
        words = {
            getattr(each, name, None)
            for statement in ast.walk(self.source.tree)
            if isinstance(statement, Function) and statement not in self.kept
            for each in ast.walk(statement)
            for name in ("arg", "attr", "value")
            if isinstance(each, ast.arg | ast.Attribute | ast.Constant)
        }
        for statement, resources in self.resources.items():
            if not isinstance(resources, ast.Dict):
                self._find(
                    resources, Level.HAND, "resources of Definitions", "they are not a dict here", _EACH
                )
                continue
            for key, value in zip(resources.keys, resources.values, strict=True):
                if key is not None and isinstance(key, ast.Constant) and key.value in words:
                    self.kept[statement].append(value)
                    self.given.append(f"{self._text(key)}: {self._text(value)}")

    def _add_handler(self) -> bool:
        """Add the handler, if the file has one sensor; return whether it has one."""
        if any("handler" in _bound([each]) for each in self.source.tree.body if each not in self.kept):
            return True
        given = f"{{{', '.join(self.given)}}}" if self.given else ""
        last = self.source.tree.body[-1].end_lineno or 1
        if len(self.sensors) != 1:
            if given:
                fact = "the function of each sensor makes what it uses"
                self._find(last, Level.HAND, "resources of Definitions", fact, f"{_EACH}: {given}")
            return False
        resources = f", resources={given}" if given else ""
        text = f"handler = {self._spelled('evaluator', last)}({self.sensors[0].variable}{resources})"
        self.source.tail = f"\n\n{text}\n"
        self._find(last, Level.CHANGE, "handler", "each sensor is a Lambda function", f"Add `{text}`")
        return True

    def _rewrite_imports(self) -> None:
        for statement, body in self.imports.statements:
            is_alone = len(body) == 1 and body is not self.source.tree.body
            module = getattr(statement, "module", None) or ""
            if isinstance(statement, ast.ImportFrom) and not statement.level and _is_dagsters(module):
                self._rewrite_names(statement, module, is_alone)
            else:
                self._rewrite_modules(statement, is_alone)
        texts = [f"from treadle import {', '.join(self.needed)}"] if self.needed else []
        texts += [f"\n{self.defined[0]}", *self.defined[1:]] if self.defined else []
        if texts:
            top = takewhile(_is_preamble, self.source.tree.body)
            last = [each for each in top if each not in self.gone][-1]
            self.source.insert_after(last, "".join(f"\n{text}" for text in texts))

    def _rewrite_modules(self, statement: ast.Import | ast.ImportFrom, is_alone: bool) -> None:
        unused: list[ast.alias] = []
        for alias in statement.names:
            local = alias.asname or alias.name.partition(".")[0]
            found = self.imports.names.get(local)
            if found is None or not isinstance(statement, ast.Import):
                if (local in self.before and local not in self.used) or (local in self.jobs):
                    unused.append(alias)
                elif isinstance(statement, ast.ImportFrom) and statement.level and local in self.used:
                    self._refuse(statement, f"import of {local}", _RELATIVE)
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
        self.source.drop(
            [each for each in statement.names if each in ported or each in gone or not ported], list(gone)
        )


def _elements(node: ast.expr) -> list[ast.expr]:
    """Return a list's elements, or the arguments of a call that takes several; else the node itself."""
    if isinstance(node, ast.List | ast.Tuple):
        return node.elts
    return (
        node.args
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
        else [node]
    )


def _is_preamble(statement: ast.stmt) -> bool:
    is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_docstring or isinstance(statement, ast.Import | ast.ImportFrom)


def _is_dagsters(module: str) -> bool:
    package = module.partition(".")[0]
    return package in PACKAGES or package.startswith("dagster_")


def _bound(body: Sequence[ast.stmt]) -> set[str]:
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
