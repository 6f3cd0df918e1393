"""The queues to which operators may send: those of sensors that have their own."""

from tests.unit.test_stack_health import stack
from treadle.adapters.sensor_queues import SensorQueues
from treadle.model.registry import Registry, SensorEntry


def entry(name: str, kind: str, queue: str = "https://host/123456789012/q") -> SensorEntry:
    return SensorEntry(name, "shop", "function", kind, queue=queue)


def test_to_a_queue_that_belongs_to_somebody_else_nothing_is_sent() -> None:
    """Neither a replayed event nor a dead letter."""
    entries = [entry("b", "s3"), entry("a", "event"), entry("c", "queue"), entry("d", "schedule", "")]

    queues = SensorQueues(lambda: Registry({each.name: each for each in entries}), stack())

    assert list(queues) == ["a", "b"]
    assert [each.origin for each in queues.destinations()] == ["sensor a", "sensor b"]
    assert "c" not in queues
