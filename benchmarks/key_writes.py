"""The writes of one event and its run, by table and index, counted on the items that the engine writes.

An index takes one write for each entry that is added or removed, two if its key changes, and none otherwise, because it
projects only keys.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.support.engine import JOB, EngineHarness, keyless
from tests.support.objects import BUCKET, object_of
from treadle.adapters.dynamodb.database import Item, Table
from treadle.adapters.dynamodb.outcomes import Outcomes
from treadle.adapters.dynamodb.runs import _item
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.dynamodb.ticks import to_item
from treadle.adapters.system import RandomTokens
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.messages import LaunchRequest
from treadle.engine.tick.evaluation import Budget
from treadle.integrations.s3 import S3SensorDefinition
from treadle.integrations.s3.selection import S3Selection
from treadle.model.runs import Claim, PendingStart, Run
from treadle.model.ticks import DispatchCounts, Tick
from treadle.testing.stores import InMemoryRunStore, InMemoryStores, InMemoryTickStore


@dataclass(slots=True)
class Ledger:
    """The writes so far, by `table` and `table/index`."""

    writes: Counter[str] = field(default_factory=Counter)
    stored: dict[tuple[str, str], Item] = field(default_factory=dict)

    def note(self, table: Table, key: str, item: Item) -> None:
        """Count a write of an item."""
        before = self.stored.get((table.name, key), {})
        self.writes[table.name] += 1
        for index, *names in table.indexes:
            old, new = (_key(each, names) for each in (before, item))
            if old != new:
                self.writes[f"{table.name}/{index}"] += (old is not None) + (new is not None)
        self.stored[table.name, key] = item


def _key(item: Item, names: Collection[str]) -> tuple[str, ...] | None:
    found = [str(item.get(name)) for name in names if name in item]
    return tuple(found) if len(found) == len(names) else None


class _Runs(InMemoryRunStore):
    def __init__(self, harness: "CountingHarness") -> None:
        super().__init__(harness.tables)
        self._harness = harness

    def _note(self, run: Run) -> None:
        self._harness.ledger.note(self._harness.run_table, run.run_id, _item(run, run.revision))

    def create(self, run: Run) -> Run | None:
        current = super().create(run)
        self._note(run)
        return current

    def claim(
        self, run_id: str, job: str, attempt: int, claim: Claim, pending_start: PendingStart
    ) -> Run | None:
        claimed = super().claim(run_id, job, attempt, claim, pending_start)
        if claimed is not None:
            self._note(claimed)
        return claimed

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        current = super().replace(run, before)
        self._note(run)
        return current


class _Ticks(InMemoryTickStore):
    def __init__(self, harness: "CountingHarness") -> None:
        super().__init__(harness.tables)
        self._harness = harness

    def _note(self, tick: Tick) -> None:
        item = to_item(self._tables.ticks[tick.sensor, tick.tick_id], Outcomes(None))
        self._harness.ledger.note(self._harness.tick_table, tick.tick_id, item)

    def put(self, tick: Tick) -> bool:
        is_new = super().put(tick)
        self._note(tick)
        return is_new

    def mark_dispatched(self, tick: Tick, counts: DispatchCounts, refusals: Collection[str]) -> None:
        super().mark_dispatched(tick, counts, refusals)
        self._note(tick)


@dataclass(slots=True)
class CountingHarness(EngineHarness):
    """A deployment in memory, with the writes that DynamoDB would have."""

    ledger: Ledger = field(default_factory=Ledger)
    run_table: Table = field(init=False)
    tick_table: Table = field(init=False)

    def __post_init__(self) -> None:
        EngineHarness.__post_init__(self)
        stores = DynamoStores(TableNames("sensors", "ticks", "runs", "events"), RandomTokens())
        self.run_table, self.tick_table = stores.runs._table, stores.ticks._table

    @property
    def stores(self) -> InMemoryStores:
        """The stores, which count their writes."""
        stores = InMemoryStores(self.tables)
        stores.runs, stores.ticks = _Runs(self), _Ticks(self)
        return stores


def run_of_an_event() -> Counter[str]:
    """Return the writes for one object, from its event to the recorded end of its run."""
    harness = CountingHarness()
    definition = S3SensorDefinition(
        "watch", evaluation_fn=keyless, selection=S3Selection(BUCKET), job_name=JOB
    )
    now = datetime.fromtimestamp(harness.clock.now() / 1000, UTC)
    event = ObjectCreated(object_of("incoming/a.csv"), now, "1")
    events = harness.events(definition)
    events.evaluate(event, events.load_batch_state([event]), Budget())
    harness.dispatcher().dispatch(harness.tick_records()[0])
    [message] = harness.launches.drain()
    harness.launcher().launch(LaunchRequest(str(message["run_id"]), 1, JOB), 60)
    for status in (DagsterRunStatus.STARTED, DagsterRunStatus.SUCCESS):
        harness.clock.advance(1)
        harness.recorder().record(harness.change(harness.only_run(), status))
    return harness.ledger.writes
