"""The adapter of each target type, by its name in job entries; its module is imported on first use."""

import importlib
from collections.abc import Iterator, Mapping

from treadle.adapters.targets.roles import Roles
from treadle.ports.targets import Target

KINDS: Mapping[str, str] = {
    "step_functions": "step_functions:StepFunctionsTarget",
    "glue": "glue:GlueTarget",
    "batch": "batch:BatchTarget",
    "ecs": "ecs:EcsTarget",
    "lambda": "lambda_function:LambdaTarget",
    "sqs": "sqs:SqsTarget",
    "eventbridge": "event_bus:EventBridgeTarget",
}


class LazyTargets(Mapping[str, Target]):
    """All target types; each adapter is created once, on first use.

    A run is checked at the target where it was started, so types that no job uses any more remain available.

    Args:
        session: the session name for assumed job roles; `launch` is reserved for LAUNCH.
    """

    def __init__(self, session: str = "operator") -> None:
        self._roles = Roles(session)
        self._made: dict[str, Target] = {}

    def __getitem__(self, kind: str) -> Target:
        if kind not in self._made:
            module, _, name = KINDS[kind].partition(":")
            made = getattr(importlib.import_module(f"treadle.adapters.targets.{module}"), name)
            self._made[kind] = made(self._roles)
        return self._made[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)
