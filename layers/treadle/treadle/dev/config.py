"""`dev.toml`: what a developer sets for `treadle dev`."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treadle.definitions.errors import SettingsError
from treadle.dev.jobs import JobDouble, doubles_of

NAME = "dev.toml"
_TABLES = ("jobs", "buckets", "parameters", "secrets")

LOCAL_SECRET = "treadle-dev"  # noqa: S105 - of endpoints of this machine
"""The secret of a webhook sensor for which none is set."""


@dataclass(frozen=True, slots=True)
class DevConfig:
    """The contents of dev.toml.

    Attributes:
        jobs: how the runs of each job end.
        buckets: the folder of each bucket, relative to the file.
        parameters: values for the template's parameters.
        secrets: those of webhook sensors, by name: the value, or the environment variable that has it.
    """

    jobs: Mapping[str, JobDouble] = field(default_factory=dict)
    buckets: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)

    def secret(self, name: str) -> str:
        """Return the secret of a webhook sensor.

        Raises:
            SettingsError: if its environment variable is not set.
        """
        found = self.secrets.get(name, LOCAL_SECRET)
        if isinstance(found, str):
            return found
        variable = found["env"]
        if not os.environ.get(variable):
            msg = (
                f"The secret {name} has no value: {NAME} names the environment variable {variable}, which is not set. "
                "Set it, and start `treadle dev` again."
            )
            raise SettingsError(msg)
        return os.environ[variable]


def read_config(path: Path) -> DevConfig:
    """Read the file; one that does not exist is empty.

    Raises:
        SettingsError: with what is wrong in it.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return DevConfig()
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}. Correct it."
        raise SettingsError(msg) from error
    try:
        found = tomllib.loads(text)
        unknown = sorted(found.keys() - set(_TABLES))
        if unknown:
            msg = f"it has {', '.join(unknown)}, and only the tables {', '.join(_TABLES)} mean something"
            raise ValueError(msg)  # noqa: TRY301 - one message for all that may be wrong
        return DevConfig(
            doubles_of(_table(found, "jobs")),
            _texts(found, "buckets"),
            _texts(found, "parameters"),
            _secrets(found),
        )
    except ValueError as error:
        msg = f"{path} cannot be used: {error}. Correct it."
        raise SettingsError(msg) from error


def _table(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = found.get(name, {})
    if not isinstance(table, Mapping):
        msg = f"{name} must be a table, [{name}]"
        raise ValueError(msg)  # noqa: TRY004 - a value of the file
    return table


def _texts(found: Mapping[str, Any], name: str) -> Mapping[str, str]:
    table = _table(found, name)
    wrong = [key for key, value in table.items() if not isinstance(value, str)]
    if wrong:
        msg = f"[{name}]: {', '.join(wrong)} must be text in quotation marks"
        raise ValueError(msg)
    return table


def _secrets(found: Mapping[str, Any]) -> Mapping[str, str | Mapping[str, str]]:
    table = _table(found, "secrets")
    for name, value in table.items():
        names_variable = (
            isinstance(value, Mapping)
            and [*value] == ["env"]
            and isinstance(value["env"], str)
            and value["env"]
        )
        if not names_variable and not (isinstance(value, str) and value):
            msg = f'[secrets]: {name} must be text in quotation marks, or {{ env = "VARIABLE" }}'
            raise ValueError(msg)
    return table
