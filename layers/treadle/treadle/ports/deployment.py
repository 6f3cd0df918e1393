"""The operator's access to a deployment: its sensors, their functions, and the engine's commands."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from treadle.model.deployment import CommandAnswer, DeployedSensor, LogLine

CANCEL, REFRESH, TARGETS = "cancel", "refresh", "targets"

COMMANDS = frozenset({CANCEL, REFRESH, TARGETS})
"""The values of an event's `treadle` field that RECONCILE accepts as operator commands."""


class EngineCommands(Protocol):
    """Commands that the engine executes for operators, as job roles trust its functions and not people."""

    def cancel(self, run_id: str, by: str) -> CommandAnswer:
        """Request cancellation of a run from its target.

        Raises:
            CommandRefusedError: if it cannot be canceled.
            LaunchError: if the target did not accept the request, or the job's role cannot be assumed.
            StoreError: if the store did not answer.
            InvocationError: if the engine did not answer.
        """

    def refresh(self, run_id: str) -> CommandAnswer:
        """Query the status of a run from its target, and record it.

        Raises:
            CommandRefusedError, LaunchError, StoreError, InvocationError: as for `cancel`.
        """


class Deployment(Protocol):
    """A deployed engine, with the sensors of all its projects."""

    @property
    def name(self) -> str:
        """The name of the engine's stack."""

    def sensors(self) -> Mapping[str, DeployedSensor]:
        """Return the registered sensors by name, in order; up to a minute old.

        A sensor that cannot be read is included, with its problem.

        Raises:
            StoreError: if the registry cannot be read.
        """

    def invoke(
        self, sensor: str, event: Mapping[str, object], *, seconds: int | None = None
    ) -> Mapping[str, object]:
        """Invoke a sensor's function directly, without retries, and return its response.

        Args:
            sensor: the sensor's name.
            event: such as `{"treadle": "preview"}`.
            seconds: the timeout; None for the maximum duration of a function.

        Raises:
            CommandRefusedError: if there is no such sensor.
            InvocationError: if the function failed, or did not answer.
        """

    def logs(self, sensor: str, since: int, until: int | None = None) -> Iterator[LogLine]:
        """Iterate lazily over the log lines of a sensor's function, oldest first; the latest may be missing.

        Args:
            sensor: the sensor's name.
            since: the start of the time range.
            until: its end; None for no end.

        Raises:
            CommandRefusedError: if there is no such sensor.
            DeploymentError: if its log cannot be read.
        """
