"""Counts the DynamoDB requests of a piece of code, and the capacity that DynamoDB reports."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.hooks import hooked

_WRITES = {
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
    "BatchExecuteStatement",
}
_READS = {"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"}


@dataclass(frozen=True, slots=True)
class Call:
    """One completed request.

    Attributes:
        operation: such as "PutItem".
        writes: items that it wrote, 0 for a read.
        units: capacity units, indexes included.
    """

    operation: str
    writes: int
    units: float


@dataclass(slots=True)
class Meter:
    """The requests since the meter was reset.

    Attributes:
        calls: in order.
    """

    calls: list[Call] = field(default_factory=list)

    def reset(self) -> None:
        """Reset the counts."""
        self.calls.clear()

    @property
    def writes(self) -> list[Call]:
        """The requests that write."""
        return [call for call in self.calls if call.operation in _WRITES]

    @property
    def reads(self) -> list[Call]:
        """The requests that read."""
        return [call for call in self.calls if call.operation in _READS]

    @property
    def written_items(self) -> int:
        """Items written: the number of requests, except for transactions and batches."""
        return sum(call.writes for call in self.writes)

    @property
    def write_units(self) -> float:
        """One for each begun KB of an item, two in a transaction; the same again for each index it is in."""
        return sum(call.units for call in self.writes)

    @property
    def read_units(self) -> float:
        """One for each begun 4 KB, half of that for eventually consistent reads."""
        return sum(call.units for call in self.reads)

    def _on_request(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        if model.name in _WRITES | _READS:
            params["ReturnConsumedCapacity"] = "TOTAL"
            together = params.get("TransactItems") or params.get("Statements") or ()
            items = len(together) or sum(map(len, params.get("RequestItems", {}).values()))
            context["metered_items"] = (items or 1) if model.name in _WRITES else 0

    def _count(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        if "metered_items" in context:
            consumed = parsed.get("ConsumedCapacity", [])
            each = [consumed] if isinstance(consumed, dict) else consumed
            units = sum(table["CapacityUnits"] for table in each)
            if model.name == "TransactWriteItems":
                # DynamoDB Local counts several items of one table as one; AWS takes two units for each.
                units = max(units, 2.0 * context["metered_items"])
            self.calls.append(Call(model.name, context["metered_items"], units))


@contextlib.contextmanager
def metered() -> Iterator[Meter]:
    """Meter every DynamoDB client that is made meanwhile, whichever code makes it.

    A request whose condition fails is counted, but DynamoDB does not report its capacity.
    """
    meter = Meter()
    requesting, counting = "provide-client-params.dynamodb.*", "after-call.dynamodb.*"
    with hooked((requesting, meter._on_request), (counting, meter._count)):
        yield meter
