"""`EventSources` on Lambda: the event source mapping from a queue to its sensor's function."""

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import client
from treadle.adapters.stack import DeployedStack
from treadle.definitions.errors import DeploymentError
from treadle.ports.deployment import Deployment


class QueueMappings:
    """Event source mappings of a deployment.

    Args:
        stack: the engine's stack.
        deployment: its sensors.
    """

    def __init__(self, stack: DeployedStack, deployment: Deployment) -> None:
        self._stack = stack
        self._deployment = deployment

    def switch(self, sensor: str, *, is_on: bool) -> None:
        """Enable or disable the mapping of a sensor that consumes a queue."""
        found = self._deployment.sensors().get(sensor)
        if found is None or not found.consumes_queue or not found.queue:
            return
        queue = self._stack.arn_of_queue(found.queue)
        try:
            lambdas = client("lambda")
            pages = lambdas.get_paginator("list_event_source_mappings").paginate(
                FunctionName=found.function, EventSourceArn=queue
            )
            for mapping in (each for page in pages for each in page["EventSourceMappings"]):
                lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=is_on)
        except (ClientError, BotoCoreError) as error:
            word, then = (
                ("enabled", "receives nothing")
                if is_on
                else ("disabled", "returns each message to the queue")
            )
            msg = (
                f"The event source mapping of queue {found.queue} was not {word}, so sensor {sensor} {then}: {error}. "
                "Grant yourself lambda:ListEventSourceMappings and lambda:UpdateEventSourceMapping, and try again."
            )
            raise DeploymentError(msg) from error
