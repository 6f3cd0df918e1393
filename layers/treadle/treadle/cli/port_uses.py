"""The uses of Dagster's names in what remains of a file."""

import ast
import re
from collections.abc import Sequence

from treadle.cli.new_sensor import INTERVALS
from treadle.cli.port_code import CodePort
from treadle.cli.port_names import Function, Sensor, bound, elements
from treadle.cli.port_rules import (
    ASSETS_OF_JOB,
    CONTEXTS,
    DROPPED_OF_ASSETS,
    DROPPED_OPTIONS,
    JOB_ELSEWHERE,
    JOBS_OF_ASSETS,
    MAPS_PARTITIONS,
    MEMBERS,
    PACKAGES,
    PARTITIONS_OF_KEY,
    RENAMED_OPTIONS,
    SENSORS,
    TARGETS,
    Level,
    Rule,
    class_of,
    exists,
    has_member,
    missing_name,
    options_of,
    positional,
    refusal,
    rule_of,
    unknown,
)

_OF_ASSETS = {"target", "asset_selection", "request_assets"}
"""Options of sensors that select assets."""

_QUOTE = re.compile(r"\w*(\"{3}|'{3}|[\"'])")
_TEXT = re.compile(r"[\"']([^\"']+)[\"']")


class UsesPort(CodePort, ast.NodeVisitor):
    """Checks each name, option and attribute, and changes what has another form."""

    def visit(self, node: ast.AST) -> None:
        """Visit what remains of a node."""
        if node in self.replaced:
            return
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
            if name in CONTEXTS and first:
                self._read_context(first[0], CONTEXTS[name])
            self.decorates[decorator] = node
        for each in [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]:
            self.visit(each)
        for decorator, name in makers.items():
            self._add_sensor(node.name, name, decorator)
        self.hidden.append({each.arg for each in every} | bound(node.body))
        for statement in node.body:
            self.visit(statement)
        self.hidden.pop()
        self.contexts = before

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def _read_context(self, parameter: ast.arg, given: type) -> None:
        """Note what a sensor's function gets, and correct an annotation that names another context."""
        annotation = parameter.annotation
        named = self._dagster(annotation) if annotation else ""
        if annotation and not (named.endswith("Context") and not exists(named)):
            return
        self.contexts[parameter.arg] = given
        if annotation:
            name = next(each.__name__ for each in given.__mro__ if exists(each.__name__))
            text = self._spelled(name, annotation.lineno)
            self.source.replace(annotation, text)
            self.replaced.add(annotation)
            fact = "a sensor's function gets another context"
            self._find(annotation, Level.CHANGE, named, fact, f"Change it to `{text}`")

    def _is_context(self, parameter: ast.arg) -> bool:
        name = self._dagster(parameter.annotation) if parameter.annotation else ""
        return name.endswith("Context") and class_of(name) is not None

    def visit_Assign(self, node: ast.Assign) -> None:
        """Visit an assignment, which may make a sensor."""
        [target, *others] = node.targets
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        if is_none and isinstance(target, ast.Name) and not self.hidden:
            self.none[target.id] = node.value
        if isinstance(node.value, ast.Call) and isinstance(target, ast.Name) and not others:
            self.generic_visit(node)
            self._add_sensor(target.id, self._dagster(node.value.func), node.value)
        else:
            self.generic_visit(node)

    def _add_sensor(self, variable: str, name: str, call: ast.expr) -> None:
        if self.hidden or name not in SENSORS or not exists(name):
            return
        keywords = call.keywords if isinstance(call, ast.Call) else []
        if isinstance(call, ast.Call) and call.args and name in {"asset_sensor", "multi_asset_sensor"}:
            keywords = [ast.keyword("monitored_assets", call.args[0]), *keywords]
        options = [each for keyword in keywords for each in self._new_options(keyword, SENSORS[name])]
        is_of_failures = any(getattr(each.value, "attr", "") == "FAILURE" for each in keywords)
        kind = "run-failure" if is_of_failures else SENSORS[name]
        self.sensors.append(Sensor(variable, kind, " ".join(dict.fromkeys(options))))

    def _new_options(self, keyword: ast.keyword, kind: str) -> list[str]:
        """Return what an option of a sensor means for `treadle new sensor`."""
        made = [f"--job {self.made_jobs[keyword]}"] if keyword in self.made_jobs else []
        return made if made and keyword.arg in _OF_ASSETS else [*made, *self._given_options(keyword, kind)]

    def _given_options(self, keyword: ast.keyword, kind: str) -> list[str]:
        value = keyword.value
        text = str(value.value) if isinstance(value, ast.Constant) and value.value is not None else ""
        inner = map(self._job_name, ast.walk(value))
        names = [*(each.strip("\"'") for each in inner if each), *([text] if text else [])]
        if keyword.arg in {"monitored_jobs", "job_selection"}:
            return [f"--jobs {','.join(names)}"] if names else []
        if keyword.arg in {*TARGETS, "job_name"}:
            return [f"--job {names[0]}"] if names else []
        if RENAMED_OPTIONS.get(str(keyword.arg), keyword.arg) in {"asset_key", "monitored_assets"}:
            is_key = self._dagster(getattr(value, "func", value)) == "AssetKey"
            keys = (
                re.findall(_TEXT, self._literal_key(each))
                for each in ([value] if is_key else elements(value))
            )
            return [f"--asset {'/'.join(key)}" for key in keys if key]
        is_interval = keyword.arg == "minimum_interval_seconds" and kind == "schedule" and text.isdecimal()
        return [f"--interval {min(max(int(text), INTERVALS[0]), INTERVALS[-1])}"] if is_interval else []

    def _job_name(self, node: ast.AST) -> str:
        """Return the text of the name of the job that a node is; "" if it is none."""
        if isinstance(node, ast.Attribute):
            return node.attr if node in self.replaced else ""
        if isinstance(node, ast.Call) and self._dagster(node.func) == "define_asset_job":
            given = [each.value for each in node.keywords if each.arg == "name"]
            return self._text((node.args or given)[0]) if node.args or given else ""
        return self.jobs.get(node.id, "") if isinstance(node, ast.Name) else ""

    def _literal_key(self, node: ast.expr) -> str:
        """Return the text of an asset's key; "" if it cannot be read."""
        key = self._key(node) or ""
        return self.partitioned.get(key.removesuffix(".key"), key)

    def visit_Call(self, node: ast.Call) -> None:
        """Visit a call: its options must exist."""
        name = self._dagster(node.func)
        if name == "define_asset_job":
            text, kept, gone = self._job(name, "", node, node.lineno, is_function=False)
            self.source.replace(node, text)
            self._find_job(node.lineno, name, f"Change it to `{text}`", name, gone)
            for each in kept:
                self.visit(each)
            return
        if exists(name):
            self._replace_assets(node, name)
            changed = self._check_options(node, name)
            self.visit(node.func)
            for argument in node.args:
                self.visit(argument)
            for keyword in node.keywords:
                is_list = keyword.arg == "monitored_assets" and self._is_selection(keyword.value)
                if keyword not in changed and not is_list:
                    self._note_target(keyword)
                    self.visit(keyword.value)
            return
        if isinstance(node.func, ast.Attribute) and self._dagster(node.func.value) == "AssetSelection":
            self._replace_keys(node.args)
        self.generic_visit(node)

    def _replace_assets(self, node: ast.Call, name: str) -> None:
        """Replace removed assets by their keys, where an asset may be named by its key."""
        monitored = node.args[:1] if name == "multi_asset_sensor" else []
        for keyword in node.keywords:
            if (name, keyword.arg) == ("AssetSpec", "deps"):
                self._replace_keys(elements(keyword.value))
            if RENAMED_OPTIONS.get(str(keyword.arg), keyword.arg) == "monitored_assets":
                monitored = [keyword.value]
        for each in monitored:
            self._replace_partitioned(elements(each), self._mapped(self.decorates.get(node)))

    def _mapped(self, sensor: Function | None) -> list[ast.expr]:
        """Return the assets whose partitions a sensor maps."""
        return [
            keyword.value
            for each in (ast.walk(sensor) if sensor else ())
            if isinstance(each, ast.Call) and getattr(each.func, "attr", "") == MAPS_PARTITIONS
            for keyword in each.keywords
            if keyword.arg in {"from_asset_key", "to_asset_key"}
        ]

    def _replace_partitioned(self, nodes: Sequence[ast.expr], mapped: Sequence[ast.expr]) -> None:
        """Replace the keys of assets with partitions by their specs, which have these.

        Args:
            nodes: the monitored assets.
            mapped: those whose partitions the sensor must know.
        """
        specs = {key: variable for variable, key in self.partitioned.items()}
        is_any = any(isinstance(each, ast.Name) for each in mapped)
        needed = {self._text(each) for each in mapped}
        for each in nodes:
            text: str | None = None
            if isinstance(each, ast.Attribute) and each.attr == "key" and isinstance(each.value, ast.Name):
                text = each.value.id if each.value.id in self.partitioned else None
            elif isinstance(each, ast.Call) and self._dagster(each.func) == "AssetKey" and each.args:
                text = specs.get(self._text(each.args[0]))
            if text is not None:
                what, fact = self._text(each), "a sensor knows partitions by specs"
                self.source.replace(each, text)
                self._find(each, Level.CHANGE, what, fact, f"Change it to `{text}`")
            elif (is_any or self._text(each) in needed) and not self._is_defined(each):
                self._refuse(each, f"partitions of {self._text(each)}", PARTITIONS_OF_KEY)

    def _is_defined(self, node: ast.expr) -> bool:
        """Return whether an asset, named by its key, is defined in the file."""
        if isinstance(node, ast.Call):
            keys = {*self.assets.values(), *self.partitioned.values()}
            return bool(node.args) and self._text(node.args[0]) in keys
        name = node.value if isinstance(node, ast.Attribute) else node
        return isinstance(name, ast.Name) and name.id in {*self.assets, *self.specs}

    def _replace_keys(self, nodes: Sequence[ast.expr]) -> None:
        for each in nodes:
            text = self._key(each) if isinstance(each, ast.Name) and each.id in self.assets else None
            if text is not None:
                self.source.replace(each, text)
                self.replaced.add(each)
                fact = "the code of the assets is elsewhere"
                self._find(each, Level.CHANGE, each.id, fact, f"Change it to `{text}`")  # type: ignore[attr-defined]

    def _is_selection(self, node: ast.expr) -> bool:
        """Replace a selection that only lists assets by their keys."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return False
        if self._dagster(node.func.value) != "AssetSelection":
            return False
        keys = self._selected(node)
        if node.func.attr not in {"assets", "keys"} or keys is None:
            self._refuse(node, "AssetSelection", JOBS_OF_ASSETS)
            return False
        self._visit_keys(node)
        text = f"[{', '.join(keys)}]"
        self.source.replace(node, text)
        self._find(
            node,
            Level.CHANGE,
            f"AssetSelection.{node.func.attr}",
            "a sensor names its assets by their keys",
            f"Change it to `{text}`",
        )
        return True

    def _visit_keys(self, node: ast.AST) -> None:
        """Visit the keys that are part of a text that replaces a node."""
        for each in ast.walk(node):
            if isinstance(each, ast.Call) and self._dagster(each.func) == "AssetKey":
                self.visit(each)

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
        self._add_target(node, name)
        changed, dropped = [], []
        for keyword in node.keywords:
            option = keyword.arg
            missing = refusal(name, option) if option else None
            if missing is None and not self._is_no_job(keyword, name):
                continue
            new = RENAMED_OPTIONS.get(str(option))
            is_only = not any(
                each.arg in TARGETS | {"job_name"} for each in node.keywords if each is not keyword
            )
            if name in SENSORS and option in _OF_ASSETS and is_only:
                self._change_target(node, keyword, name)
                changed.append(keyword)
            elif new in known:
                self._rename(keyword, str(new), name)
            elif option in DROPPED_OPTIONS or name == "AssetSpec":
                dropped.append(keyword)
                fact = DROPPED_OF_ASSETS if name == "AssetSpec" else "repositories do not exist"
                self._find(keyword, Level.CHANGE, f"{option} of {name}", fact, "Leave it out")
            elif missing is not None:
                self._refuse(keyword, f"{option} of {name}", missing)
        if dropped:
            self.source.drop([*node.args, *node.keywords], list(dropped))
        return [*changed, *dropped]

    def _add_target(self, node: ast.Call, name: str) -> None:
        """Add a job to a sensor without a target whose requests select assets; in Dagster, their tick fails."""
        sensor = self.decorates.get(node)
        if name not in SENSORS or sensor is None or not node.keywords:
            return
        if any(each.arg in {*TARGETS, *_OF_ASSETS, "job_name", None} for each in node.keywords):
            return
        selections = [
            keyword.value
            for each in ast.walk(sensor)
            if isinstance(each, ast.Call) and self._dagster(each.func) == "RunRequest"
            for keyword in each.keywords
            if keyword.arg == "asset_selection"
        ]
        keys = [key for each in selections for key in self._selected(each) or ()]
        if not keys:
            return
        job = f"{sensor.name}_job"
        self.made_jobs[node.keywords[0]] = job
        definition = self._spelled("JobDefinition", node.lineno)
        text = f'job={definition}("{job}", assets=[{", ".join(dict.fromkeys(keys))}])'
        start, _ = self.source.span(node.keywords[0])
        self.source.edits.append((start, start, f"{text}, "))
        advice = f"Add `{text}`, a job that makes the assets"
        self._find(node, Level.CHANGE, f"{name} {sensor.name}", "it has no target for its requests", advice)

    def _rename(self, keyword: ast.keyword, new: str, name: str) -> None:
        assert keyword.arg
        start, _ = self.source.span(keyword)
        self.source.edits.append((start, start + len(keyword.arg.encode()), new))
        self._find(
            keyword, Level.CHANGE, f"{keyword.arg} of {name}", f"its name is {new}", f"Change it to `{new}=`"
        )

    def _is_no_job(self, keyword: ast.keyword, name: str) -> bool:
        """Return whether a sensor's target is not one job: several jobs, or assets."""
        is_list = isinstance(keyword.value, ast.List | ast.Tuple)
        return name in SENSORS and keyword.arg in _OF_ASSETS and (is_list or self._are_assets(keyword.value))

    def _are_assets(self, value: ast.expr) -> bool:
        if isinstance(value, ast.List | ast.Tuple):
            return bool(value.elts) and all(map(self._are_assets, value.elts))
        if isinstance(value, ast.Constant):
            return isinstance(value.value, str)
        if isinstance(value, ast.Name):
            return value.id in {*self.assets, *self.specs}
        if isinstance(value, ast.Attribute) and value.attr == "key":
            return self._are_assets(value.value)
        return any(self._dagster(each) in {"AssetSelection", "AssetKey"} for each in ast.walk(value))

    def _change_target(self, node: ast.Call, keyword: ast.keyword, name: str) -> None:
        value = keyword.value
        sensor = self.decorates.get(node)
        variable = sensor.name if sensor else "sensor"
        if keyword.arg != "target" or self._are_assets(value):
            job = f"{variable}_job"
            self.made_jobs[keyword] = job
            keys = self._selected(value) if self.selects else None
            text, fact = f'job_name="{job}"', "the code of the assets is elsewhere"
            if keys is not None:
                definition = self._spelled("JobDefinition", keyword.value.lineno)
                text = f'job={definition}("{job}", assets=[{", ".join(keys)}])'
                self._visit_keys(value)
            elif self.selects:
                self._refuse(value, f"{keyword.arg} of {name}", ASSETS_OF_JOB)
            advice = f"Change it to `{text}`, a job that makes the assets"
        else:
            option = "jobs" if isinstance(value, ast.List | ast.Tuple) else "job"
            text, fact = f"{option}={self._text(value)}", "a sensor names its job"
            advice = f"Change it to `{text}`"
            self._note_target(keyword)
            self.visit(value)
        self.source.replace(keyword, text)
        self._find(keyword, Level.CHANGE, f"{keyword.arg} of {name}", fact, advice)

    def _note_target(self, keyword: ast.keyword) -> None:
        """Define jobs that are imported from elsewhere, where Dagster's job has code."""
        if keyword.arg not in TARGETS:
            return
        is_list = isinstance(keyword.value, ast.List | ast.Tuple)
        for each in elements(keyword.value) if is_list else [keyword.value]:
            if isinstance(each, ast.Name) and each.id in self.none:
                # A placeholder for a job.
                self._replace_job(self.none.pop(each.id), each.id)
                self.jobs[each.id] = f'"{each.id}"'
            roots = [name.id for name in ast.walk(each) if isinstance(name, ast.Name)]
            if self.hidden or not set(roots) & set(self.imports.others) - set(self.jobs):
                continue
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
                # Of a module with jobs.
                self._replace_job(each, each.attr)
                continue
            if not isinstance(each, ast.Name):
                self._refuse(each, f"job {self._text(each)}", JOB_ELSEWHERE)
                continue
            self.jobs[each.id] = f'"{each.id}"'
            text = f'{each.id} = {self._spelled("JobDefinition", self.imports.preamble)}("{each.id}")'
            self.defined.append(text)
            advice = f"Change it to `{text}`; the name must be the job's"
            alias = self.imports.others[each.id]
            self._find(alias, Level.CHANGE, f"import of {each.id}", JOB_ELSEWHERE.fact, advice)

    def _replace_job(self, node: ast.expr, name: str) -> None:
        """Replace an expression that gives a job by the job's definition."""
        text = f'{self._spelled("JobDefinition", node.lineno)}("{name}")'
        self.source.replace(node, text)
        self.replaced.add(node)
        advice = f"Change it to `{text}`; the name must be the job's"
        self._find(node, Level.CHANGE, f"job {name}", JOB_ELSEWHERE.fact, advice)

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
            self._refuse(node, what, rule_of(MEMBERS, f"{cls.__name__}.{node.attr}") or unknown(what))
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

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Visit an f-string: before Python 3.12, no expression in it may have its own quotes."""
        before = len(self.source.edits)
        self.generic_visit(node)
        quote = _QUOTE.match(self.source.text(node))
        if quote:
            other = "'" if quote[1] == '"' else '"'
            inner = self.source.edits[before:]
            self.source.edits[before:] = [
                (start, end, text.replace(quote[1], other)) for start, end, text in inner
            ]

    def visit_Name(self, node: ast.Name) -> None:
        """Visit a name: of Dagster's, or of something that is removed."""
        if node in self.replaced or any(node.id in names for names in self.hidden):
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
            self._refuse(node, found.name, missing_name(found.name))
