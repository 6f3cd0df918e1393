"""The kinds of target that a new job may have, and what each needs in the template."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

STEP_FUNCTIONS = "step_functions"
KINDS = (STEP_FUNCTIONS, "glue", "batch", "ecs", "lambda", "sqs", "eventbridge")

_MANY = 8
"""Of more values than these, README.md gives the words that stand for them."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of target, in texts that take the job's name.

    Attributes:
        name: as job settings call it.
        needs: how the parameters end without which nothing can be started, the address first, each with what
            it is.
        options: the settings beside the address.
        labels: of the parameters.
        parameters: entries of the template's section.
        conditions: entries of the template's section, beside the one that says whether the job is configured.
        launch: statements of LAUNCH's role.
        reconcile: statements of RECONCILE's role.
        record: statements of RECORD's role.
        console: statements of the console's role, which may cancel runs.
        rule: the resource that tells RECORD how it goes.
    """

    name: str
    needs: Mapping[str, str]
    labels: str
    parameters: str
    options: tuple[str, ...] = ()
    conditions: str = ""
    launch: str = ""
    reconcile: str = ""
    record: str = ""
    console: str = ""
    rule: str = ""

    @property
    def address(self) -> str:
        """How the parameter ends that gives the address."""
        return next(iter(self.needs))


@cache
def kind_of(name: str) -> Kind:
    """A kind by its name, one of `KINDS`."""
    file = resources.files("treadle.cli").joinpath("templates", "jobs", f"{name}.yaml")
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return Kind(name, **{**content, "options": tuple(content.get("options", ()))})


def parameter_rows(parameters: str) -> Iterator[str]:
    """README.md's row of each parameter.

    Args:
        parameters: as the template has them.
    """
    for name, parameter in yaml.safe_load(parameters).items():
        default = f"`{parameter['Default']}`" if parameter["Default"] else ""
        values = parameter.get("AllowedValues", ())
        allowed = parameter["ConstraintDescription"]
        if 0 < len(values) <= _MANY:
            allowed = ", ".join(f"`{value}`" for value in values)
        yield f"| `{name}` | {default} | {allowed} | {parameter['Description']} |\n"
