"""The requests of each step to DynamoDB, the items written, and the capacity units: counts, not durations.

`python -m benchmarks.idle_tick` runs the steps on DynamoDB Local and prints a table.
"""

import itertools
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, report_figures
from tests.support.dynamodb_meter import Meter, metered
from tests.support.engine import JOB, EngineHarness, sensor_of
from tests.support.objects import object_of
from tests.support.tables import create_tables
from tools.dynamodb_local import dynamodb_local
from tools.project import local_aws, run_tool
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.results import RunRequest, SensorResult, SkipReason
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.messages import LaunchRequest
from treadle.engine.publish.publisher import statuses_reached
from treadle.engine.tick.evaluation import Budget
from treadle.integrations.s3.definition import S3SensorDefinition
from treadle.integrations.s3.selection import S3Selection
from treadle.testing.bus import InMemoryBus

BUDGET = Budget(60)


@dataclass(slots=True)
class DynamoHarness(EngineHarness):
    """The engine on real tables; only queues and target are in memory.

    Attributes:
        stores: the stores on DynamoDB.
    """

    stores: DynamoStores = field(default_factory=lambda: DynamoStores(create_tables(), RandomTokens()))


@dataclass(frozen=True, slots=True)
class Row:
    """The cost of a step."""

    step: str
    reads: int
    read_units: float
    writes: int
    items: int
    write_units: float


@dataclass(slots=True)
class Ledger:
    """Collects the cost of each step.

    Attributes:
        meter: read and reset at the end of each step.
        rows: the costs so far.
    """

    meter: Meter
    rows: list[Row] = field(default_factory=list)

    def enter(self, step: str) -> Row:
        """Record the cost since the previous step."""
        meter = self.meter
        row = Row(
            step,
            len(meter.reads),
            meter.read_units,
            len(meter.writes),
            meter.written_items,
            meter.write_units,
        )
        self.rows.append(row)
        meter.reset()
        return row


def idle_sensor(cursor_bytes: int) -> SensorDefinition:
    """Return a sensor that sets a cursor once, and then skips with another reason each time."""
    looks = itertools.count()

    def idle(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        if context.cursor is None:
            return SensorResult(skip_reason="first", cursor="c" * cursor_bytes)
        return SkipReason(f"Nothing new after {next(looks)} looks.")

    return sensor_of(idle, name=f"idle_{cursor_bytes}")


def idle_ticks(harness: EngineHarness, ledger: Ledger) -> None:
    """Run ticks that skip."""
    for label, size in (("a cursor of 100 bytes", 100), ("a cursor of 100 KB", 100_000)):
        ticks = harness.leased(idle_sensor(size))
        for _ in range(2):
            harness.clock.advance(60)
            ledger.meter.reset()
            ticks.tick(harness.clock.now(), BUDGET)
        ledger.enter(f"idle tick, {label}")


def leased_tick_with_request(harness: EngineHarness, ledger: Ledger) -> None:
    """Run a tick that requests one run and sets its cursor."""
    definition = sensor_of(
        lambda context: SensorResult(run_requests=[RunRequest(run_key="k")], cursor="k"), name="watch"
    )
    harness.clock.advance(60)
    harness.leased(definition).tick(harness.clock.now(), BUDGET)
    ledger.enter("tick that requests a run")


def event_to_end(harness: DynamoHarness, ledger: Ledger) -> None:
    """Process one object, from its event to the end of its run, and a second delivery of the event."""

    def one_run() -> RunRequest:
        return RunRequest()

    definition = S3SensorDefinition(
        "watch", evaluation_fn=one_run, selection=S3Selection("watched"), job_name=JOB
    )
    stored = object_of("incoming/cities.csv")
    event = ObjectCreated(stored, datetime.fromtimestamp(harness.clock.now() / 1000, UTC), "01")
    events = harness.events(definition)

    outcome = events.evaluate(event, events.load_batch_state([event]), BUDGET)
    ledger.enter("event: evaluated")

    tick = harness.ticks.get("watch", outcome.subject)
    assert tick is not None
    ledger.meter.reset()
    harness.dispatcher().dispatch(tick)
    ledger.enter("run: dispatched")

    [message] = harness.launches.drain()
    harness.launcher().launch(LaunchRequest(str(message["run_id"]), 1, JOB), 60)
    ledger.enter("run: launched")

    run = harness.runs.get(str(message["run_id"]))
    assert run is not None
    ledger.meter.reset()
    # That it runs is not reported: LAUNCH has recorded it.
    harness.clock.advance(1)
    harness.recorder().record(harness.change(run, DagsterRunStatus.SUCCESS))
    ledger.enter("run: end recorded")

    ended = harness.runs.get(run.run_id)
    assert ended is not None
    ledger.meter.reset()
    publisher = harness.engine.publisher(InMemoryBus())
    publisher.publish(statuses_reached(ended))
    ledger.enter("run: status changes published")

    events.evaluate(event, events.load_batch_state([event]), BUDGET)
    ledger.enter("event: delivered again")


def measure(endpoint: str) -> list[Row]:
    """Measure the cost of each step.

    Args:
        endpoint: DynamoDB's URL.
    """
    environment = local_aws(endpoint)
    with patch.dict(os.environ, environment, clear=True), metered() as meter:
        harness, ledger = DynamoHarness(), Ledger(meter)
        idle_ticks(harness, ledger)
        leased_tick_with_request(harness, ledger)
        event_to_end(harness, ledger)
    rows = ledger.rows
    life = [row for row in rows if row.step.startswith("run: ") or row.step == "event: evaluated"]
    total = Row(
        "one object, from event to end",
        *(
            sum(getattr(row, name) for row in life)
            for name in ("reads", "read_units", "writes", "items", "write_units")
        ),
    )
    return [*rows, total]


def show(rows: list[Row]) -> None:
    """Print the table."""
    table = Table(title="Cost of each step at DynamoDB", title_justify="left")
    table.add_column("step", no_wrap=True)
    for column in ("read requests", "read units", "write requests", "items written", "write units"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = (row.reads, row.read_units, row.writes, row.items, row.write_units)
        table.add_row(row.step, *(f"{number:g}" for number in numbers))
    Console(width=110).print(table)


def figures(rows: list[Row]) -> list[Figure]:
    """Return the figures that have goals."""
    by_step = {row.step: row for row in rows}
    small, large = by_step["idle tick, a cursor of 100 bytes"], by_step["idle tick, a cursor of 100 KB"]
    to_start = [by_step["run: dispatched"], by_step["run: launched"]]
    # The two units of its tick, which is marked as dispatched, are not the run's.
    units = sum(row.write_units for row in to_start) - 2
    return [
        Figure("requests that write, of an idle tick", max(small.writes, large.writes), "", 2),
        Figure("requests that read, of an idle tick with a small cursor", small.reads, "", 0),
        Figure("requests that read, of an idle tick with a cursor of 100 KB", large.reads, "", 1),
        Figure("requests of a run to STARTED", sum(row.reads + row.writes for row in to_start), "", 4),
        Figure("write units of a run to STARTED, indexes included", units, "", 6),
    ]


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    with dynamodb_local() as endpoint:
        rows = measure(endpoint)
    show(rows)
    return report_figures("Requests", figures(rows))


if __name__ == "__main__":
    run_tool(main)
