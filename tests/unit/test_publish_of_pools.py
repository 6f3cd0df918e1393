"""PUBLISH lets DISPATCH grant slots before it publishes anything, as runs wait for that."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.engine import NAMESPACE
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.assembly import Assembly
from treadle.entrypoints.publisher import PublisherParts, publish_stream
from treadle.model.messages import BusEvent
from treadle.model.pools import Slot
from treadle.model.runs import Run
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue, SequentialIds, VirtualClock

NOW = 1_795_370_400_000
STARTED = Run(
    "r1", "load", "watch", "k", "t", "{}", {}, NOW, status=Status.STARTED, pools=("warehouse",),
    slots=(Slot("warehouse", 1, 1),), reached={"1/0": {"QUEUED": NOW, "STARTED": NOW + 1}},
)  # fmt: skip
ENDED = replace(
    STARTED, status=Status.SUCCESS, slots=(), reached={"1/0": {**STARTED.reached["1/0"], "SUCCESS": NOW + 2}}
)
IMAGES: Mapping[str, Run] = {"before": STARTED, "after": ENDED}


@dataclass
class BusThatLooks:
    """A bus that notes what was in DISPATCH's queue when something was published.

    Attributes:
        dispatches: DISPATCH's queue.
        seen: the messages, for each call.
    """

    dispatches: InMemoryQueue
    seen: list[list[Mapping[str, Any]]] = field(default_factory=list)

    def publish(self, events: Sequence[BusEvent]) -> None:
        """Look."""
        assert events
        self.seen.append([message.body for message in self.dispatches.messages])


def image(name: str) -> dict[str, Any]:
    run = IMAGES[name]
    found = {"name": {"S": name}, "reached": {"S": json.dumps(run.reached)}}
    return {**found, "slots": {"S": "-"}} if run.slots else found


def test_returned_slot_is_reported_before_the_end_is_published() -> None:
    dispatches, stores = InMemoryQueue(), InMemoryStores()
    bus = BusThatLooks(dispatches)
    parts = PublisherParts(
        Assembly(stores, VirtualClock(), SequentialIds(), NAMESPACE).publisher(bus),
        lambda found: IMAGES[found["name"]["S"]],
        Inbox("publish", InMemoryQueue(), InMemoryDeadLetters()),
        dispatches,
        stores.pools,
        SequentialIds(),
    )
    change = {"Keys": {}, "NewImage": image("after"), "OldImage": image("before")}

    answer = publish_stream(parts, [{"eventID": "1", "dynamodb": change}])

    assert answer == {"batchItemFailures": []}
    assert bus.seen == [[{"treadle": "grant", "pool": "warehouse"}]]
