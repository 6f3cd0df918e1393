"""A deployment in memory with records of every kind, made by the real engine; keys have awkward characters."""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.console import ANN, MemoryStack, console_of
from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    DeadlineSensorContext,
    JobDefinition,
    RetryPolicy,
    RunRequest,
    S3Object,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    asset_sensor,
    deadline_sensor,
    run_failure_sensor,
    s3_sensor,
    sensor,
)
from treadle.console.app import Console
from treadle.console.static_token import Role
from treadle.definitions.errors import StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.tick.evaluation import Budget
from treadle.model.runs import Failure, Run
from treadle.model.sensors import Edit, SensorState
from treadle.model.ticks import Tick
from treadle.testing.instance import TreadleInstance
from treadle.testing.stores import InMemorySensorStore

AWKWARD = "<img src=x onerror=\"window.awkward='yes'\"><b data-awkward>&amp;'{{7*7}}"
"""What an object's key, a reason or a log line may be; a page that takes it for markup shows an image, or worse."""

BUCKET = "landing"
DAILY = AssetKey(["orders", "daily"])


class FailingEdits(InMemorySensorStore):
    """Does not answer when one sensor is edited."""

    broken: tuple[str, str]

    def edit(self, sensor: str, edit: Edit) -> SensorState:
        if sensor == self.broken[0]:
            raise StoreError(self.broken[1])
        return super().edit(sensor, edit)


class World:
    """A deployment, and what a test does to it besides the page.

    Args:
        sensors: those that are deployed.
        plan: what the sensor "orders" does at its next evaluations: "request", "skip" or "fail"; skips when it is empty.
        age: how long ago its first tick is.
    """

    def __init__(self, sensors: Sequence[SensorDefinition], plan: deque[str], age: timedelta) -> None:
        settings = {each.name: {"TREADLE_S3_BUCKET": BUCKET} for each in sensors if each.name == "new_files"}
        self.instance = TreadleInstance(sensors, start=datetime.now(UTC) - age, settings=settings)
        self.stack = MemoryStack(self.instance)
        self.operator = ANN
        self._plan = plan

    @classmethod
    def lived_in(cls) -> "World":
        """Return five sensors, with their activity of the last half hour."""
        plan: deque[str] = deque()
        world = cls(_sensors(plan), plan, timedelta(minutes=30))
        for turn in ("request", "request", "request", "fail", "request", "skip", "skip", "skip", "request"):
            world.plan(turn)
            world.instance.tick("orders")
        world.instance.put_object(BUCKET, f"in/{AWKWARD}.csv", b"a,b")
        world.instance.finish_run(
            world._run_of("order-1-"),
            Status.FAILURE,
            Failure("States.TaskFailed", f"row 7 of {AWKWARD} is short"),
        )
        world.instance.finish_run(world._run_of("order-2-"))
        world.backfill()
        world.catch_up()
        return world

    @classmethod
    def crowded(cls, sensors: int, ticks: int) -> "World":
        """Return many sensors, of which the first has ticked often; all ticks requested a run."""

        def request_runs(context: SensorEvaluationContext) -> SensorResult:
            number = int(context.cursor or 0) + 1
            return SensorResult([RunRequest(f"run-{number}")], cursor=str(number))

        made = [
            SensorDefinition(
                f"sensor_{number:03d}",
                evaluation_fn=request_runs,
                job_name="load",
                minimum_interval_seconds=60,
            )
            for number in range(sensors)
        ]
        world = cls(made, deque(), timedelta(minutes=ticks + 5))
        for number in range(ticks):
            world._tick_unpublished("sensor_000")
            world._tick_unpublished(f"sensor_{number % sensors:03d}")
            world.instance.clock.advance(60)
        world.catch_up()
        return world

    def _tick_unpublished(self, sensor: str) -> None:
        """Tick as `TreadleInstance.tick_now` does, without events of the runs, which take long if there are many."""
        outcome = self.instance._parts[sensor].scheduled.tick(self.instance.clock.now(), Budget())
        self.instance._apply(sensor, outcome)

    def catch_up(self) -> None:
        """Set the deployment's clock to that of the browser."""
        self.instance.clock.time = max(self.instance.clock.time, int(datetime.now(UTC).timestamp() * 1000))

    def console(self, role: Role = Role.OPERATOR) -> Console:
        """Return its console for a user of a role."""
        return console_of(self.stack, role)

    def plan(self, *turns: str) -> None:
        """Set what the sensor "orders" does at its next evaluations."""
        self._plan.extend(turns)

    def request_runs(self, *, times: int = 1) -> None:
        """Let "orders" tick, and request runs."""
        for _ in range(times):
            self.plan("request")
            self.instance.tick("orders")

    def backfill(self) -> None:
        """Start a backfill of thirty partitions, two at a time; one run has succeeded, and one failed."""
        keys = [AWKWARD, *(f"2026-10-{day:02d}" for day in range(2, 31))]
        self.instance.backfill("load_orders", keys, name="october", run_config={"order": AWKWARD}, limit=2)
        for status, failure in ((Status.SUCCESS, None), (Status.FAILURE, Failure("Error", AWKWARD))):
            run = next(each for each in self.backfill_runs() if not each.status.is_finished)
            self.instance.finish_run(run, status, failure)

    def store_silently(self, key: str) -> None:
        """Store an object that no event reports."""
        self.instance.objects.put(BUCKET, key, b"a,b")

    def send_to_dlq(self) -> None:
        """Put two dead letters into the dead-letter queue: one that can be sent again, one that nobody can place."""
        self.stack.dead_letters.send('{"treadle": "launch", "run_id": "r"}', origin="launch", reason=AWKWARD)
        self.stack.dead_letters.send("{}", origin=AWKWARD, reason="nobody knows")

    def wait_for_retry(self) -> Run:
        """Let a run fail that its retry policy starts again in an hour, and return it."""
        run, policy = self.started_run, RetryPolicy(delay=3_600)
        self.instance._tables.runs[run.run_id] = replace(run, tags={**run.tags, **policy.tags})
        self.instance.finish_run(run, Status.FAILURE)
        return self.run(run.run_id)

    def break_edits_of(self, sensor: str, message: str) -> None:
        """Let the store not answer when a sensor is edited."""
        store = FailingEdits(self.instance._tables)
        store.broken = (sensor, message)
        self.instance._stores.sensors = store

    # ---- What there is

    def status(self, sensor: str) -> str:
        """Return the status that an operator left."""
        return self.instance.state(sensor).status.value

    def is_running(self, sensor: str) -> bool:
        """Return whether it evaluates."""
        return self.instance.state(sensor).is_running(DefaultSensorStatus.RUNNING)

    def run(self, run_id: str) -> Run:
        """Return a run's record."""
        return self.instance._tables.runs[run_id]

    def backfill_runs(self) -> list[Run]:
        """Return the runs of the backfill, in the order of its partitions."""
        found = [run for run in self.instance.runs() if run.tick_id.startswith("backfill/")]
        return sorted(found, key=lambda run: int(run.tick_id.rpartition("/")[2]))

    @property
    def failed_run(self) -> Run:
        """The run that failed at its target."""
        return self._run_of("order-1-")

    @property
    def started_run(self) -> Run:
        """A run that has not ended."""
        return self._run_of("order-3-")

    @property
    def failed_tick(self) -> Tick:
        """The tick whose function raised."""
        return next(tick for tick in self.instance.ticks("orders") if tick.status is TickStatus.FAILURE)

    def _run_of(self, key: str) -> Run:
        return next(run for run in self.instance.runs() if (run.run_key or "").startswith(key))


def _sensors(plan: deque[str]) -> list[SensorDefinition]:
    """Return one of each kind that the tests need, and one that does nothing."""

    @sensor(job_name="load_orders", minimum_interval_seconds=60, description=f"Watches orders. {AWKWARD}")
    def orders(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        state: dict[str, Any] = json.loads(context.cursor or '{"__class__": "Cursor", "seen": 0}')
        context.log.info("listed from %s, at %s", state["seen"], AWKWARD)
        turn = plan.popleft() if plan else "skip"
        if turn == "fail":
            msg = f"no order {AWKWARD}"
            raise ValueError(msg)
        if turn == "skip":
            return SkipReason(f"nothing new {AWKWARD}")
        number = state["seen"] + 1
        keys = [f"order-{number}-{AWKWARD}", f"copy-{number}", "always"]
        requests = [RunRequest(key, {"order": AWKWARD}, tags={"who": AWKWARD}) for key in keys]
        made = AssetMaterialization(DAILY, AWKWARD, {"rows": number, "file": AWKWARD}, AWKWARD)
        cursor = {**state, "seen": number, "lost": 0, "note": "as text"}
        seen = AssetObservation("stock", AWKWARD, {"rows": number}, AWKWARD)
        return SensorResult(
            requests, cursor=json.dumps(cursor, separators=(",", ":")), asset_events=[made, seen]
        )

    @s3_sensor(BUCKET, prefix="in/", job_name="process_file", start_from="beginning")
    def new_files(context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
        context.log.info("found %s", stored.key)
        return RunRequest(run_config={"key": stored.key})

    @run_failure_sensor(name="tell_failures")
    def publish_failures(context: Any) -> SkipReason:
        del context
        return SkipReason("notified")

    @asset_sensor(DAILY, job_name="report")
    def after_orders(context: SensorEvaluationContext, event: Any) -> SkipReason:
        del context, event
        return SkipReason("not yet")

    @deadline_sensor(job=JobDefinition("load_orders"), within=timedelta(hours=12))
    def orders_are_late(context: DeadlineSensorContext) -> SkipReason:
        return SkipReason(context.reason)

    @sensor(job_name="load_orders", minimum_interval_seconds=300)
    def idle(context: SensorEvaluationContext) -> SkipReason:
        del context
        return SkipReason("never evaluated")

    return [orders, new_files, publish_failures, after_orders, orders_are_late, idle]
