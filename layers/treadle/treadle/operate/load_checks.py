"""Checks that sensors' functions load: the code imports and the settings are valid.

A check is an invocation that evaluates nothing. Lambda reports a missing module, a syntax error or a missing
handler only to the invoker: such a function leaves no tick record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from treadle.definitions.errors import InvocationError, TreadleError
from treadle.model.deployment import DeployedSensor
from treadle.ports.deployment import Deployment
from treadle.ports.system import Clock

DESCRIBE = {"treadle": "describe"}

CHECK_SECONDS = 20
"""Timeout of a check for an overview; the console's API must respond within 30 seconds."""

FAILED_FOR_MS = 60_000
"""Time after which a failed check is repeated."""

LOADED_FOR_MS = 600_000
"""Time for which a function that loaded is not checked again, unless it is deployed again."""

SETTLED_MS = 60_000
"""Time after a deployment during which Lambda may still run the previous code."""


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """The result of a check.

    Attributes:
        error: why the function does not load; "" if it does, or if that is unknown.
        unchecked: why that is unknown; "" if it is known.
        is_denied: True if the caller may not invoke the function.
        described: the function's description of its sensor, if it loads.
    """

    error: str = ""
    unchecked: str = ""
    is_denied: bool = False
    described: Mapping[str, object] = field(default_factory=dict)

    @property
    def advice(self) -> str:
        """Return what to do; "" if there is nothing to do."""
        if self.error:
            return advice_on_load(self.error)
        if self.unchecked:
            return (
                "Grant yourself lambda:InvokeFunction." if self.is_denied else "Check it again in a minute."
            )
        return ""


class LoadChecks:
    """Checks functions and caches the results for a while."""

    def __init__(self, deployment: Deployment, clock: Clock) -> None:
        self._deployment = deployment
        self._clock = clock
        self._known: dict[str, tuple[int | None, int, LoadCheck]] = {}

    def check(self, sensor: DeployedSensor) -> LoadCheck:
        """Check whether a sensor's function loads, with a timeout; a recent result is reused."""
        known = self._known.get(sensor.name)
        if known is not None and known[0] == sensor.deployed_at and self._clock.now() < known[1]:
            return known[2]
        return self._checked(sensor, CHECK_SECONDS)

    def check_now(self, sensor: DeployedSensor) -> LoadCheck:
        """Check whether a sensor's function loads now, without a timeout."""
        return self._checked(sensor, None)

    def _checked(self, sensor: DeployedSensor, seconds: int | None) -> LoadCheck:
        began = self._clock.now()
        found = self._invoked(sensor, seconds)
        has_settled = sensor.deployed_at is None or began > sensor.deployed_at + SETTLED_MS
        is_lasting = not (found.error or found.unchecked) and has_settled
        until = began + (LOADED_FOR_MS if is_lasting else FAILED_FOR_MS)
        self._known[sensor.name] = sensor.deployed_at, until, found
        return found

    def _invoked(self, sensor: DeployedSensor, seconds: int | None) -> LoadCheck:
        try:
            described = self._deployment.invoke(sensor.name, DESCRIBE, seconds=seconds)
        except InvocationError as error:
            if error.reason:
                return LoadCheck(error=error.reason)
            return LoadCheck(unchecked=str(error), is_denied=error.is_denied)
        except TreadleError as error:
            return LoadCheck(unchecked=str(error))
        return LoadCheck(described=described)


_ADVICE = (
    # Lambda's own error types, and Python's messages where a runtime passes on only those.
    (
        ("HandlerNotFound", "has no attribute 'handler'", "missing on module"),
        "Add `handler = evaluator(…)` with the sensor to the end of its app.py, and deploy.",
    ),
    (("UserCodeSyntaxError", "SyntaxError", "IndentationError"), "Fix the syntax of its code, and deploy."),
    (
        ("No module named",),
        "Correct the import, or add the package to layers/project/requirements.txt (no other list is read), and deploy.",
    ),
    (("cannot import name",), "Correct the import, and deploy."),
    (("SettingsError", "environment does not fit"), "Correct its block of template.yaml, and deploy."),
)


def advice_on_load(error: str) -> str:
    """Return what to do about a function that does not load.

    Args:
        error: as reported by the function's runtime.
    """
    for signs, advice in _ADVICE:
        if any(sign in error for sign in signs):
            return advice
    return "Fix its code or its block of template.yaml, and deploy."
