"""Operators' start, stop and reset of a queue or stream sensor switch the delivery to it."""

from dataclasses import dataclass, field, replace

import pytest
from botocore.stub import Stubber

from tests.unit.test_stack_health import stack
from treadle.adapters import clients
from treadle.adapters.event_sources import EventSourceMappings
from treadle.definitions.errors import DeploymentError
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.model.deployment import DeployedSensor
from treadle.operate.sensors import SensorOperations
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.stores import InMemorySensorStore
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

MAPPING = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
STOPPED, RUNNING = DefaultSensorStatus.STOPPED, DefaultSensorStatus.RUNNING
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"
ARN = "arn:aws:sqs:us-east-1:123456789012:orders"
SENSOR = DeployedSensor("queued", "queue", "", (), STOPPED, function="shop-Queued", queue=QUEUE)


@dataclass
class Switched:
    """Records what was switched."""

    calls: list[tuple[str, bool]] = field(default_factory=list)

    def switch(self, sensor: str, *, is_on: bool) -> None:
        """Record it."""
        self.calls.append((sensor, is_on))


def test_start_stop_and_reset_switch_and_do_so_again_when_the_status_is_right_already() -> None:
    switched = Switched()
    operations = SensorOperations(InMemorySensorStore(InMemoryTables()), VirtualClock(), switched)

    for _ in range(2):
        operations.start("queued", STOPPED, "ann")
    for _ in range(2):
        operations.stop("queued", "ann")
    operations.reset("queued", "ann", RUNNING)
    operations.reset("queued", "ann", STOPPED)

    assert [is_on for _, is_on in switched.calls] == [True, True, False, False, True, False]


def test_status_is_set_before_the_mapping_is_switched() -> None:
    """What is delivered meanwhile returns to its queue."""

    class Failing:
        def switch(self, sensor: str, *, is_on: bool) -> None:
            raise DeploymentError(f"{sensor} {is_on}")

    store = InMemorySensorStore(InMemoryTables())
    operations = SensorOperations(store, VirtualClock(), Failing())

    with pytest.raises(DeploymentError):
        operations.stop("queued", "ann")

    assert store.get("queued").status is InstigatorStatus.STOPPED


def mappings(sensor: DeployedSensor = SENSOR) -> EventSourceMappings:
    return EventSourceMappings(stack(), InMemoryDeployment([sensor]))


@pytest.mark.parametrize("is_on", [True, False])
def test_mapping_of_the_queue_is_switched(is_on: bool) -> None:
    clients.forget()
    with Stubber(clients.client("lambda")) as lambdas:
        lambdas.add_response(
            "list_event_source_mappings",
            {"EventSourceMappings": [{"UUID": MAPPING}]},
            {"FunctionName": "shop-Queued", "EventSourceArn": ARN},
        )
        lambdas.add_response("update_event_source_mapping", {}, {"UUID": MAPPING, "Enabled": is_on})

        mappings().switch("queued", is_on=is_on)

        lambdas.assert_no_pending_responses()


STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"


def test_mapping_of_the_stream_is_switched() -> None:
    streamed = replace(SENSOR, kind="stream", queue=None, settings={"TREADLE_STREAM_ARN": STREAM})
    clients.forget()
    with Stubber(clients.client("lambda")) as lambdas:
        lambdas.add_response(
            "list_event_source_mappings",
            {"EventSourceMappings": [{"UUID": MAPPING}]},
            {"FunctionName": "shop-Queued", "EventSourceArn": STREAM},
        )
        lambdas.add_client_error("update_event_source_mapping", "AccessDeniedException")

        with pytest.raises(DeploymentError, match=r"so sensor queued leaves each record in the stream"):
            mappings(streamed).switch("queued", is_on=False)

        lambdas.assert_no_pending_responses()


def test_other_sensors_are_left_alone() -> None:
    clients.forget()
    with Stubber(clients.client("lambda")):
        mappings(replace(SENSOR, kind="s3")).switch("queued", is_on=False)
        mappings().switch("unknown", is_on=False)


def test_mapping_that_cannot_be_switched_is_an_error_that_says_what_then_happens() -> None:
    clients.forget()
    with Stubber(clients.client("lambda")) as lambdas:
        lambdas.add_client_error("list_event_source_mappings", "AccessDeniedException")

        with pytest.raises(DeploymentError, match=r"was not disabled, so sensor queued returns each message"):
            mappings().switch("queued", is_on=False)
