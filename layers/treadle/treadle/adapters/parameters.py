"""Parameter Store, where projects register sensors, jobs and pools."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.aws_errors import code_of, store_error
from treadle.adapters.clients import client
from treadle.model.registry import JOBS, POOLS, SENSORS, path_of

CHANGES = frozenset({"Create", "Update", "Delete"})
"""Operations in a "Parameter Store Change" that affect the value; labels of versions do not.

Source: "Amazon EventBridge event examples for Systems Manager" in the user guide of Systems Manager.
"""


class ParameterStore:
    """An `EntrySource` on Systems Manager.

    Args:
        engine: the engine's name.
    """

    def __init__(self, engine: str) -> None:
        self._path = path_of(engine)

    def list(self) -> Mapping[str, str]:
        """Return all values by path below the engine's; ten per page, the maximum (GetParametersByPath)."""
        found: dict[str, str] = {}
        for folder in (SENSORS, JOBS, POOLS):
            pages = client("ssm").get_paginator("get_parameters_by_path")
            try:
                for page in pages.paginate(Path=f"{self._path}{folder}", Recursive=False):
                    for parameter in page["Parameters"]:
                        found[parameter["Name"].removeprefix(self._path)] = parameter["Value"]
            except (ClientError, BotoCoreError) as error:
                message = f"Parameter Store did not list {self._path}{folder}: {error}"
                raise store_error(code_of(error), message) from error
        return found

    def get(self, path: str) -> str | None:
        """Return one value; None only if the entry certainly does not exist."""
        name = f"{self._path}{path}"
        try:
            value: str = client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
        except (ClientError, BotoCoreError) as error:
            if code_of(error) == "ParameterNotFound":
                return None
            raise store_error(code_of(error), f"Parameter Store did not return {name}: {error}") from error
        return value


def changed_entry(event: Mapping[str, Any], engine: str) -> tuple[str, bool] | None:
    """Return the entry of a "Parameter Store Change", and whether it was deleted; None for other events.

    Args:
        event: the event that invoked a function.
        engine: the engine's name.
    """
    detail = event.get("detail")
    if event.get("source") != "aws.ssm" or not isinstance(detail, dict):
        return None
    name, operation = detail.get("name"), detail.get("operation")
    if not isinstance(name, str) or operation not in CHANGES:
        return None
    # A parameter's fully qualified name begins with a slash (Systems Manager, "Parameter name requirements").
    path = name.removeprefix(path_of(engine))
    folder, _, rest = path.partition("/")
    is_entry = path != name and folder in {SENSORS, JOBS, POOLS} and rest and "/" not in rest
    return (path, operation == "Delete") if is_entry else None
