"""Each kind of target by its name in jobs' entries. A target's module is imported when a run first needs it."""

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
    """All kinds of targets, each made once, when it is first asked for.

    A run is looked at where it was started, so a kind that no job names any more is still there.

    Args:
        session: the name under which the roles are assumed that jobs bring; `launch` is LAUNCH's alone.
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
