"""Redrives a record of a stream: its sensor's function evaluates it at once, as nothing can be put back into a stream."""

from collections.abc import Mapping

from treadle.definitions.errors import CommandRefusedError
from treadle.engine.outcomes import Decision
from treadle.engine.tick.given_up_records import record_of
from treadle.ports.deployment import Deployment
from treadle.ports.system import BlobStore

_DONE = {Decision.SUCCESS, Decision.SKIPPED, Decision.DUPLICATE}


class StreamSensorFunction:
    """A `Queue` whose messages a stream sensor's function evaluates before `send` returns.

    Args:
        deployment: invokes the function.
        sensor: the sensor's name.
        blobs: has the records that are too large for a message.
    """

    def __init__(self, deployment: Deployment, sensor: str, blobs: BlobStore) -> None:
        self._deployment = deployment
        self._sensor = sensor
        self._blobs = blobs

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Evaluate each record.

        Args:
            bodies: the dead letters of records.
            delay_seconds: has no effect.

        Raises:
            CommandRefusedError: if a record was not evaluated, because the sensor is stopped.
            InvocationError: if the function failed or did not respond; the record may have been evaluated.
            UnknownEventError: if it is no record.
            StoreError: if a record was stored and cannot be read.
        """
        del delay_seconds
        for body in bodies:
            answer = self._deployment.invoke(self._sensor, record_of(body, self._sensor, self._blobs))
            if answer.get("decision") not in _DONE:
                msg = f"The record was not evaluated: {answer.get('reason')} Start the sensor, and redrive it again."
                raise CommandRefusedError(msg)
