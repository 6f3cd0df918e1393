"""The target types of new jobs, and what each needs in a project's template."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

STEP_FUNCTIONS = "step_functions"
KINDS = (STEP_FUNCTIONS, "glue", "batch", "ecs", "lambda", "sqs", "eventbridge")
ADDRESS = "arn"

_PATTERNS = {
    "here": r"arn:(aws[a-z-]*|\$\{AWS::Partition\})",
    "place": r"([a-z0-9-]+|\$\{AWS::Region\}):([0-9]{12}|\$\{AWS::AccountId\})",
    "iam": r"arn:(aws[a-z-]*|\$\{AWS::Partition\}):iam::([0-9]{12}|\$\{AWS::AccountId\}):",
}
_ROLE = _PATTERNS["iam"] + r"role/([A-Za-z0-9+=,.@_-]{1,64}/)*[A-Za-z0-9+=,.@_-]{1,64}"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a job.

    Attributes:
        what: its description.
        pattern: what it must match, so that it cannot end the surrounding text or widen a policy.
        default: its default value; "" for none.
        is_option: whether the job's registry entry contains it, or only the policies of its role.
    """

    what: str
    pattern: str
    default: str = ""
    is_option: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """A target type.

    Attributes:
        name: as in registry entries.
        settings: by name, the address first.
        statements: the policy statements of the role that the engine assumes, with placeholders for settings.
    """

    name: str
    settings: Mapping[str, Setting]
    statements: str

    def problems(self, given: Mapping[str, str], role: str | None) -> Iterator[str]:
        """Find the problems of a job's settings.

        Args:
            given: the settings that were given, by name.
            role: the ARN of the role that was given; None for one in its block.
        """
        for name, value in given.items():
            setting = self.settings.get(name)
            if setting is None:
                known = ", ".join(each for each in self.settings if each != ADDRESS) or "none"
                yield f"A job on {self.name} has no setting {name!r}. Use: {known}."
            elif re.fullmatch(setting.pattern, value) is None:
                yield f"{name} is {value!r}, and must be: {setting.what}."
        if role is not None and re.fullmatch(_ROLE, role) is None:
            yield f"--role is {role!r}, and must be the ARN of an IAM role."

    def values(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the value of each setting.

        Args:
            given: the settings that were given, by name.
        """
        return {name: given.get(name, setting.default) for name, setting in self.settings.items()}


@cache
def kind_of(name: str) -> Kind:
    """Return a target type by name, one of `KINDS`."""
    file = resources.files("treadle.cli").joinpath("templates", "jobs", f"{name}.yaml")
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    settings = {ADDRESS: _setting(content["address"])}
    settings |= {each: _setting(body) for each, body in content.get("settings", {}).items()}
    settings |= {each: _setting(body, is_option=False) for each, body in content.get("roles", {}).items()}
    return Kind(name, settings, content["statements"])


def _setting(body: Mapping[str, str], *, is_option: bool = True) -> Setting:
    pattern = re.sub(r"\{\{(\w+)\}\}", lambda found: _PATTERNS[found[1]], body["pattern"])
    return Setting(body["what"], pattern, body.get("default", ""), is_option)
