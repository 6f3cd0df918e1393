"""The code of a Dagster file that is not a sensor's: jobs, assets and wiring."""

import ast
import json
import re
from collections.abc import Mapping

from treadle.cli.port_names import Function, Names, bodies
from treadle.cli.port_rules import (
    ASSETS_OF_JOB,
    CODE,
    CONFIG_OF_JOB,
    MAPPING_OF_INPUT,
    MAPS_PARTITIONS,
    READS_PARTITIONS,
    RESOURCES,
    SENSORS,
    Level,
    exists,
    options_of,
)

_PLAIN = re.compile(r"[\w./-]+")

_OF_ASSET_JOB = (
    "name",
    "selection",
    "config",
    "description",
    "tags",
    "run_tags",
    "metadata",
    "partitions_def",
)
"""The arguments of `define_asset_job` by position."""


class CodePort(Names):
    """Replaces jobs by their definitions, and removes the rest."""

    def _read_assets(self) -> None:
        """Read which assets the file defines, and whether its requests select some, or its sensors read partitions."""
        attributes = {each.attr for each in ast.walk(self.source.tree) if isinstance(each, ast.Attribute)}
        reads_partitions = not attributes.isdisjoint(READS_PARTITIONS)
        for body in bodies(self.source.tree):
            for statement in body:
                name, variable, call = self._code(statement)
                if name == "AssetSpec":
                    self.specs.add(variable)
                elif name in CODE and CODE[name].kind == "asset":
                    is_function = isinstance(statement, Function)
                    key = self._asset_key(variable, call, is_function)
                    options = {each.arg for each in call.keywords} if call else set()
                    if reads_partitions and variable and key and "partitions_def" in options:
                        self.partitioned[variable] = key
                        self.specs.add(variable)
                    else:
                        self.assets[variable] = key
        self.selects = MAPS_PARTITIONS in attributes or any(
            isinstance(each, ast.Call)
            and any(keyword.arg == "asset_selection" for keyword in each.keywords)
            and self._dagster(each.func) not in SENSORS
            for each in ast.walk(self.source.tree)
        )

    def _code(self, statement: ast.stmt) -> tuple[str, str, ast.Call | None]:
        """Return what of Dagster a statement defines, the variable, and the call that does it."""
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
            if isinstance(call.func, ast.Attribute) and self._dagster(call.func.value) == "Definitions":
                name = "Definitions"
        return name, variable, call

    def _replace(self, statement: ast.stmt, *, is_alone: bool) -> None:
        name, variable, call = self._code(statement)
        if self._runs_jobs(statement):
            self.kept[statement] = []
            self.source.replace_statement(statement, "", is_alone=is_alone)
            fact = "it runs jobs on this machine"
            self._find(statement, Level.CHANGE, f"if {self._text(statement.test)}", fact, "Remove it")  # type: ignore[attr-defined]
        elif name == "to_job" or name in CODE:
            self._replace_code(statement, name, variable, call, is_alone)

    def _runs_jobs(self, statement: ast.stmt) -> bool:
        """Return whether a statement is what a file does as a program, and uses what does not exist outside of jobs."""
        if not isinstance(statement, ast.If) or statement.orelse:
            return False
        if not self._text(statement.test).startswith("__name__ =="):
            return False
        names = {self._dagster(each) for each in ast.walk(statement)} - {""}
        return any(not exists(name) for name in names) or any(
            getattr(each, "attr", "") == "execute_in_process" for each in ast.walk(statement)
        )

    def _replace_code(
        self, statement: ast.stmt, name: str, variable: str, call: ast.Call | None, is_alone: bool
    ) -> None:
        code = CODE["job" if name == "to_job" else name]
        what = f"@{name} {variable}" if isinstance(statement, Function) else f"{name} {variable}".strip()
        line = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
        if code.kind == "job" and variable:
            is_function = isinstance(statement, Function)
            text, kept, gone = self._job(name, variable, call, line, is_function=is_function)
            self.source.replace_statement(statement, f"{variable} = {text}")
            self.kept[statement] = kept
            advice = code.advice.format(name=self.jobs[variable].strip("\"'"))
            self._find_job(line, what, f"Change it to `{variable} = {text}`. {advice}", name, gone)
            return
        if variable in self.partitioned and call:
            text, self.kept[statement] = self._spec(variable, call, line)
            self.source.replace_statement(statement, f"{variable} = {text}")
            fact = "the code of the asset is elsewhere"
            self._find(line, Level.CHANGE, what, fact, f"Change it to `{variable} = {text}`")
            return
        if code.kind != "asset" and variable:
            self.removed[variable] = f"@{name}"
        self.kept[statement] = []
        for each in ast.walk(statement):
            if isinstance(each, ast.Call) and self._dagster(each.func) == "Definitions":
                self.resources.update(
                    (statement, given.value) for given in each.keywords if given.arg == "resources"
                )
        self.source.replace_statement(statement, "", is_alone=is_alone)
        self._find(line, Level.CHANGE, what, code.fact, code.advice)

    def _spec(self, variable: str, call: ast.Call, line: int) -> tuple[str, list[ast.expr]]:
        """Return the spec of an asset with partitions, and which parts of its definition it keeps."""
        given = {each.arg: each.value for each in call.keywords}
        parts = [self.partitioned[variable]]
        kept = [given["partitions_def"]]
        deps = given.get("deps")
        mapped = [
            each
            for each in (deps.elts if isinstance(deps, ast.List) else [])
            if isinstance(each, ast.Call)
            and any(option.arg == "partition_mapping" for option in each.keywords)
        ]
        if mapped:
            parts.append(f"deps=[{', '.join(map(self._text, mapped))}]")
            kept += mapped
        parts.append(f"partitions_def={self._text(given['partitions_def'])}")
        inputs = given.get("ins")
        if inputs is not None and "partition_mapping" in self._text(inputs):
            self._refuse(inputs, f"ins of {variable}", MAPPING_OF_INPUT)
        return f"{self._spelled('AssetSpec', line)}({', '.join(parts)})", kept

    def _job(
        self, name: str, variable: str, call: ast.Call | None, line: int, *, is_function: bool
    ) -> tuple[str, list[ast.expr], dict[str, ast.expr]]:
        """Return a job's new definition, which parts of its old one it keeps, and the options that it loses."""
        given = {each.arg: each.value for each in call.keywords if each.arg} if call else {}
        if call and call.args and not is_function:
            places = _OF_ASSET_JOB if name == "define_asset_job" else _OF_ASSET_JOB[:1]
            given.update(zip(places, call.args, strict=False))
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
        kept = {key: value for key, value in given.items() if key in known and key != "name"}
        parts = [named, *(f"{key}={self._text(value)}" for key, value in kept.items())]
        if name == "define_asset_job" and self.selects:
            keys = self._selected(given.get("selection"))
            if keys is None:
                self._refuse(given["selection"], "selection of define_asset_job", ASSETS_OF_JOB)
            else:
                parts.append(f"assets=[{', '.join(keys)}]")
        gone = {key: value for key, value in given.items() if key not in {*kept, "name", "selection"}}
        return f"{self._spelled('JobDefinition', line)}({', '.join(parts)})", list(kept.values()), gone

    def _find_job(self, line: int, what: str, advice: str, name: str, gone: Mapping[str, ast.expr]) -> None:
        """Report what becomes of a job, and of the options that its definition loses."""
        others = ", ".join(each for each in gone if each != "config")
        advice += f". Set {others} where it runs" if others else ""
        self._find(line, Level.CHANGE, what, CODE["job"].fact, advice)
        if "config" in gone:
            self._refuse(gone["config"], f"config of {name}", CONFIG_OF_JOB)

    def _selected(self, selection: ast.expr | None) -> list[str] | None:
        """Return the texts of the keys of what a selection selects, if they can be read."""
        if selection is None or (isinstance(selection, ast.Constant) and selection.value in {None, "*"}):
            names = [*self.assets, *self.partitioned]
            every = [self._key(ast.Name(name, lineno=self.imports.preamble)) for name in names]
            return None if None in every else list(map(str, every))
        if isinstance(selection, ast.BinOp) and isinstance(selection.op, ast.BitOr):
            left, right = self._selected(selection.left), self._selected(selection.right)
            return None if left is None or right is None else list(dict.fromkeys([*left, *right]))
        is_call = isinstance(selection, ast.Call) and isinstance(selection.func, ast.Attribute)
        if is_call and self._dagster(selection.func.value) == "AssetSelection" and not selection.keywords:  # type: ignore[attr-defined]
            how = selection.func.attr  # type: ignore[attr-defined]
            if how == "all":
                return self._selected(None)
            if how not in {"assets", "keys"}:
                return None
            found = [self._key(each, is_user_string=how == "keys") for each in selection.args]  # type: ignore[attr-defined]
        else:
            is_list = isinstance(selection, ast.List | ast.Tuple)
            each_of = selection.elts if is_list else [selection]  # type: ignore[attr-defined]
            found = [self._key(each, is_user_string=True) for each in each_of]
        return None if None in found else list(map(str, found))

    def _key(self, node: ast.expr, *, is_user_string: bool = False) -> str | None:
        """Return the text of an asset's key.

        Args:
            node: what stands for the asset.
            is_user_string: whether a string has the parts of the key joined by "/", and may be a selection.
        """
        if isinstance(node, ast.Name) and node.id in self.assets:
            text = self.assets[node.id]
            return f"{self._spelled('AssetKey', node.lineno)}({text})" if text else None
        if isinstance(node, ast.Name) and node.id in self.specs:
            return node.id
        if isinstance(node, ast.Attribute) and node.attr == "key":
            key = self._key(node.value)
            return f"{key}.key" if key in self.specs else key
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = self._text(node)
            spec = next(
                (name for name, key in self.partitioned.items() if key.strip("'\"") == node.value), None
            )
            if spec is not None:
                return spec
            if is_user_string and _PLAIN.fullmatch(node.value) is None:
                return None
            if is_user_string and "/" in node.value:
                text = f"[{', '.join(json.dumps(part) for part in node.value.split('/'))}]"
            return f"{self._spelled('AssetKey', node.lineno)}({text})"
        if isinstance(node, ast.Call) and self._dagster(node.func) == "AssetKey":
            return self._text(node)
        return None

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
                self._refuse(resources, "resources of Definitions", RESOURCES)
                continue
            for key, value in zip(resources.keys, resources.values, strict=True):
                if key is not None and isinstance(key, ast.Constant) and key.value in words:
                    self.kept[statement].append(value)
                    self.given.append(f"{self._text(key)}: {self._text(value)}")
