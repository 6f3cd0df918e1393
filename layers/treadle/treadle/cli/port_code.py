"""The code of a Dagster file that is not a sensor's: jobs, assets and wiring."""

import ast

from treadle.cli.port_names import Function, Names
from treadle.cli.port_rules import CODE, CONFIG_OF_JOB, RESOURCES, Level, options_of


class CodePort(Names):
    """Replaces jobs by their definitions, and removes the rest."""

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
            if isinstance(call.func, ast.Attribute) and self._dagster(call.func.value) == "Definitions":
                name = "Definitions"
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
            options = call.keywords if call else []
            gone = [each.arg for each in options if each.arg and each.value not in kept]
            others = ", ".join(each for each in gone if each not in {"name", "selection", "config"})
            advice += f". Set {others} where it runs" if others else ""
            self._find(line, Level.CHANGE, what, code.fact, f"Change it to `{variable} = {text}`. {advice}")
            if "config" in gone:
                self._refuse(statement, f"config of {name}", CONFIG_OF_JOB)
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
        kept = {key: value for key, value in given.items() if key in known and key != "name"}
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
