"""`EventSources` on Lambda: the event source mapping from a queue or stream to its sensor's function."""

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import client
from treadle.adapters.stack import DeployedStack
from treadle.definitions.errors import DeploymentError
from treadle.model.deployment import DeployedSensor
from treadle.ports.deployment import Deployment


class EventSourceMappings:
    """Event source mappings of a deployment.

    Args:
        stack: the engine's stack.
        deployment: its sensors.
    """

    def __init__(self, stack: DeployedStack, deployment: Deployment) -> None:
        self._stack = stack
        self._deployment = deployment

    def switch(self, sensor: str, *, is_on: bool) -> None:
        """Enable or disable the mapping of a sensor that consumes a queue or stream."""
        found = self._deployment.sensors().get(sensor)
        source = self._source_of(found) if found else ""
        if found is None or not source:
            return
        try:
            lambdas = client("lambda")
            pages = lambdas.get_paginator("list_event_source_mappings").paginate(
                FunctionName=found.function, EventSourceArn=source
            )
            for mapping in (each for page in pages for each in page["EventSourceMappings"]):
                lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=is_on)
        except (ClientError, BotoCoreError) as error:
            returns = (
                "leaves each record in the stream" if found.stream else "returns each message to the queue"
            )
            word, then = ("enabled", "receives nothing") if is_on else ("disabled", returns)
            msg = (
                f"The event source mapping of {source} was not {word}, so sensor {sensor} {then}: {error}. "
                "Grant yourself lambda:ListEventSourceMappings and lambda:UpdateEventSourceMapping, and try again."
            )
            raise DeploymentError(msg) from error

    def _source_of(self, sensor: DeployedSensor) -> str:
        """Return the ARN of the queue or stream of somebody else that a sensor consumes; "" if it consumes none."""
        if sensor.consumes_queue and sensor.queue:
            return self._stack.arn_of_queue(sensor.queue)
        return sensor.stream
