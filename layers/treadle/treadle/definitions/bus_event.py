"""An event of an EventBridge bus, from any source."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from treadle.definitions.runs import depth_of

OWN_SOURCE = "treadle"
"""The source of the events that an engine publishes."""


@dataclass(frozen=True, slots=True)
class EventBridgeEvent:
    """An event as EventBridge delivers it.

    Attributes:
        source: of the event, such as "aws.glue" or "shop.orders".
        detail_type: its detail-type, such as "Order Placed".
        detail: its content, as parsed JSON.
        id: given by EventBridge, the same in each delivery.
        time: when it happened, as its source or EventBridge states it.
        account: the account that it comes from.
        region: the Region that it comes from.
        resources: ARNs of what it is about.
    """

    source: str
    detail_type: str
    detail: Mapping[str, Any]
    id: str
    time: datetime
    account: str
    region: str
    resources: tuple[str, ...] = ()

    @property
    def run_key(self) -> str:
        """The default run key: what is the same in each delivery, and differs for each event."""
        return f"{self.account}/{self.region}/{self.source}/{self.id}"

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same in each delivery."""
        return ("event", self.account, self.region, self.source, self.id)

    @property
    def depth(self) -> int:
        """The number of runs that led to it, for an engine's event of a run or an asset; 0 for others."""
        if self.source != OWN_SOURCE:
            return 0
        depth, tags = self.detail.get("depth"), self.detail.get("tags")
        if isinstance(tags, Mapping):
            return depth_of({name: str(value) for name, value in tags.items()})
        return depth if isinstance(depth, int) and depth > 0 else 0

    @property
    def summary(self) -> str:
        """The event in one line, for operators; it ends with its id."""
        return f"{self.detail_type} of {self.source}: {self.id}"

    @property
    def envelope(self) -> dict[str, Any]:
        """The event as EventBridge's JSON, to which patterns apply."""
        return {
            "version": "0",
            "id": self.id,
            "detail-type": self.detail_type,
            "source": self.source,
            "account": self.account,
            "time": f"{self.time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "region": self.region,
            "resources": list(self.resources),
            "detail": dict(self.detail),
        }
