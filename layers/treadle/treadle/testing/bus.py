"""The event bus of an in-memory deployment."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from treadle.adapters.events import parse_sensor_event
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.run_events import DagsterEvent, RunStatusEvent, run_event
from treadle.definitions.runs import DagsterRun
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.assembly import Assembly
from treadle.engine.publish.bus_events import ASSET_MATERIALIZED, RUN_STATUS_CHANGED, envelope
from treadle.engine.publish.publisher import changed_pools, statuses_reached
from treadle.model.messages import BusEvent
from treadle.model.runs import Run
from treadle.testing.tables import InMemoryTables

NAMESPACE = "000000000000/memory/treadle"


@dataclass(slots=True)
class InMemoryBus:
    """A `Bus` that collects events.

    Attributes:
        events: all events, in order.
    """

    events: list[BusEvent] = field(default_factory=list)

    def publish(self, events: Sequence[BusEvent]) -> None:
        """Append events."""
        self.events += events


BusRecord = RunStatusEvent | AssetMaterialized


class BusReader:
    """Publishes run status changes like PUBLISH, on request, and returns all events of the bus.

    Args:
        tables: contain the runs.
        engine: builds the publisher.

    Attributes:
        published: each run as it was when its statuses were last published, by its id.
        bus: the bus.
    """

    def __init__(self, tables: InMemoryTables, engine: Assembly) -> None:
        self._tables = tables
        self.published: dict[str, Run] = {}
        self.bus = InMemoryBus()
        self._delivered = 0
        self._publisher = engine.publisher(self.bus)

    def fresh(self) -> list[BusRecord]:
        """Return the events of runs and assets since the last call, as sensors receive them."""
        self.publish()
        events, self._delivered = self.bus.events[self._delivered :], len(self.bus.events)
        return [
            bus_record(event) for event in events if event.kind in {RUN_STATUS_CHANGED, ASSET_MATERIALIZED}
        ]

    def run_status_events(self) -> list[RunStatusEvent]:
        """Return all status changes of runs, in order; those not yet delivered are delivered by `fresh`."""
        self.publish()
        records = [bus_record(event) for event in self.bus.events if event.kind == RUN_STATUS_CHANGED]
        return [each for each in records if isinstance(each, RunStatusEvent)]

    def publish(self) -> list[str]:
        """Publish the statuses that runs have reached since the last call; return the pools that these runs have changed."""
        changed: dict[str, None] = {}
        for run in list(self._tables.runs.values()):
            before = self.published.get(run.run_id)
            if before is not run:  # Records are immutable: the same object has no new status.
                self.published[run.run_id] = run
                self._publisher.publish(statuses_reached(run, before.reached if before else None))
                freed, joined = changed_pools(before, run)
                changed.update(dict.fromkeys((*freed, *joined)))
        return list(changed)


def bus_record(event: BusEvent) -> BusRecord:
    """Return a bus event as a sensor receives it, after JSON serialization."""
    parsed = parse_sensor_event(json.loads(json.dumps(envelope(event, NAMESPACE))))
    assert isinstance(parsed, BusRecord)
    return parsed


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that has ended, with what `build_run_status_sensor_context` requires.

    Attributes:
        run: its record.
        dagster_run: the run as sensors see it.
    """

    run: Run
    dagster_run: DagsterRun

    def get_job_success_event(self) -> DagsterEvent:
        """Return the event of its success.

        Raises:
            ValueError: if it did not succeed.
        """
        return self._event(DagsterRunStatus.SUCCESS)

    def get_run_success_event(self) -> DagsterEvent:
        """Return the event of its success, under Dagster's newer name."""
        return self.get_job_success_event()

    def get_run_failure_event(self) -> DagsterEvent:
        """Return the event of its failure, under Dagster's newer name."""
        return self.get_job_failure_event()

    def get_job_failure_event(self) -> DagsterEvent:
        """Return the event of its failure, with the reason.

        Raises:
            ValueError: if it did not fail.
        """
        return self._event(DagsterRunStatus.FAILURE)

    def _event(self, status: DagsterRunStatus) -> DagsterEvent:
        if self.run.status is not status:
            msg = f"Run {self.run.run_id} is at {self.run.status}, and has no event of {status}."
            raise ValueError(msg)
        return run_event(self.dagster_run, status, (self.run.ended_at or 0) / 1000)
