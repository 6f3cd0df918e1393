"""The engine of `treadle dev`: its real components, over stores in memory and the system clock."""

import json
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from treadle.adapters.system import RandomTokens, SystemClock
from treadle.definitions.assets import AssetMaterialization
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.hours import Hours
from treadle.definitions.status import DefaultSensorStatus
from treadle.dev.functions import SensorFunction
from treadle.dev.jobs import JobDouble, LocalJobs
from treadle.dev.locking import Locked
from treadle.dev.messages import Failed, Response
from treadle.dev.pools import LocalPools
from treadle.dev.queue import LocalQueue, Message
from treadle.engine.assembly import Assembly, Stores
from treadle.engine.assets.asset_recorder import AssetReport
from treadle.engine.identity import timestamp
from treadle.engine.messages import (
    BackfillRequest,
    ChunkRequest,
    GrantRequest,
    LaunchRequest,
    dispatch_request,
)
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.publish.bus_events import envelope
from treadle.engine.record.recorder import StatusChange
from treadle.engine.tick.schedule import MINUTE_MS, minute
from treadle.engine.tick.scheduled_ticks import outside
from treadle.model.deployment import EVENT_KINDS
from treadle.model.registry import SensorEntry
from treadle.model.targets import Execution, JobSettings
from treadle.testing.bus import NAMESPACE, BusReader
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryDeadLetters

if TYPE_CHECKING:
    from treadle.ports.system import Queue

KIND = "local"
"""The target type of jobs."""

PASS_SECONDS = 0.2
"""Time after which the engine looks at what is due, if nothing has happened."""

RECONCILE_MS = 10_000
"""More often than on AWS, so that a retry does not wait for a minute."""

LAUNCH_SECONDS = 60.0
_WORKERS = 32
_AT_ONCE = 100
MAX_RECEIVES = 5
"""As on AWS: what fails that often is a dead letter."""

Report = Callable[[str, str, Outcome], object]
"""Takes the outcome of a step, with the step and the sensor or job."""


def locked(stores: InMemoryStores) -> Stores:
    """Return stores that several threads may use."""
    lock = stores.tables.lock
    names = {name: store for name, store in vars(stores).items() if name != "tables"}
    return cast("Stores", SimpleNamespace(**{name: Locked(store, lock) for name, store in names.items()}))


class LocalSensor:
    """A sensor's function, with what waits for it.

    Args:
        function: the function.
        queue: its queue.

    Attributes:
        is_busy: whether it is being invoked.
        ticks: schedules' events that wait.
    """

    def __init__(self, function: SensorFunction, queue: LocalQueue) -> None:
        self.function = function
        self.queue = queue
        self.is_busy = False
        self.ticks: list[Mapping[str, object]] = []

    @property
    def does_tick(self) -> bool:
        """Return whether a schedule ticks it."""
        loaded = self.function.loaded
        return loaded is not None and loaded.kind not in EVENT_KINDS


class LocalEngine:
    """Runs the engine's steps for a project.

    Args:
        stores: the stores.
        doubles: returns how each job ends, by name, as of now.
        folder: the project's.
        report: takes the outcomes of its steps.
        saved: the snapshot of an earlier engine, which this one continues.

    Attributes:
        sensors: the sensors, by the names of their folders.
        jobs: the settings of each job.
        queues: the queue of each sensor, by its name.
        pools: the concurrency pools.
    """

    def __init__(
        self,
        stores: InMemoryStores,
        doubles: Callable[[], Mapping[str, JobDouble]],
        folder: Path,
        report: Report,
        saved: bytes | None = None,
    ) -> None:
        self.clock = SystemClock()
        self.stores = locked(stores)
        self._dead_letters = InMemoryDeadLetters()
        self.dead_letters = cast("InMemoryDeadLetters", Locked(self._dead_letters, stores.tables.lock))
        self.sensors: dict[str, LocalSensor] = {}
        self.jobs: dict[str, JobSettings] = {}
        self.queues: dict[str, Queue] = {}
        self.targets = {KIND: LocalJobs(self.clock, doubles, folder, self._changed, self.stores.blobs)}
        self._report = report
        self._tables = stores.tables
        self._lock = stores.tables.lock
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._executions: list[Execution] = []
        self._granted: dict[str, frozenset[str]] = {}
        self._entries: dict[str, SensorEntry] = {}
        state: dict[str, Any] = pickle.loads(saved) if saved else {}  # noqa: S301 - the developer's own file
        self._saved: Mapping[str, Sequence[Message]] = state.get("queues", {})
        self.launches, self.dispatches = self.queue("#launch"), self.queue("#dispatch")
        self.pools = LocalPools(self.stores.pools)
        engine = Assembly(self.stores, self.clock, RandomTokens(), NAMESPACE, self.pools)
        self._bus = BusReader(stores.tables, engine)
        grants = FixedGrants(self._granted)
        self._dispatcher = engine.dispatcher(self.launches, grants, self._bus.bus, chunks=self.dispatches)
        self._backfiller = engine.backfiller(self.launches, self.jobs)
        self._granter = engine.granter(self.launches)
        self._launcher = engine.launcher(self.launches, self.jobs, self.targets)
        # All jobs are observed, so that a run that nobody requested has a record, too.
        self._recorder = engine.recorder(self.jobs, self.targets, self.jobs)
        self._assets = engine.asset_recorder(self._bus.bus)
        self._reconciler = engine.reconciler(
            self._dispatcher,
            self.launches,
            self.jobs,
            self.targets,
            dead_letters=self.dead_letters,
            dispatches=self.dispatches,
            batches=engine.due_batches(FixedGrants({}, self._entries), _Invocations(self._let_close)),
        )
        self._next_minute = minute(self.clock.now()) + MINUTE_MS
        self._next_check = self.clock.now() + RECONCILE_MS
        self._pool = ThreadPoolExecutor(_WORKERS)
        if state:
            self._restore(state)

    def queue(self, name: str) -> LocalQueue:
        """Return a queue, with the messages that were saved under its name; its messages wake the engine."""
        return LocalQueue(self.clock, self._wake.set, self._saved.get(name, ()))

    def snapshot(self) -> bytes:
        """Return everything that another engine needs to continue."""
        sensors = {name: local.queue for name, local in list(self.sensors.items())}
        queues = {**sensors, "#launch": self.launches, "#dispatch": self.dispatches}
        with self._lock:
            names = [each.name for each in fields(self._tables) if each.name != "lock"]
            return pickle.dumps(
                {
                    "tables": {name: getattr(self._tables, name) for name in names},
                    "published": self._bus.published,
                    "events": self._bus.bus.events,
                    "jobs": self.targets[KIND].snapshot(),
                    "queues": {name: queue.messages() for name, queue in queues.items()},
                    "dead_letters": list(self._dead_letters.messages.values()),
                }
            )

    def _restore(self, state: Mapping[str, Any]) -> None:
        for name, value in state["tables"].items():
            setattr(self._tables, name, value)
        for sensor in self._tables.sensors:
            self._expire_lease(sensor)
        for run in self._tables.runs.values():
            self.add_job(run.job)
        self._bus.published.update(state["published"])
        self._bus.bus.events += state["events"]
        self.targets[KIND].restore(state["jobs"])
        for each in state["dead_letters"]:
            self.dead_letters.add(each.body, each.attributes, each.source)

    def add_job(self, name: str) -> None:
        """Register a job."""
        self.jobs.setdefault(name, JobSettings(name, KIND, f"local:{name}", "dev.toml"))

    def declare(self, entries: Mapping[str, str]) -> Mapping[str, str]:
        """Declare the pools of a template; return why entries are invalid, by their paths.

        Pools that runs may have joined are opened by RECONCILE, after it has entered those in progress.

        Args:
            entries: the registry entries of jobs and pools, by their paths.
        """
        with self._lock:
            return self.pools.declare(entries, self.clock.now() if self._tables.runs else None)

    def loaded(self, local: LocalSensor) -> None:
        """Take a sensor whose function has loaded: evaluate it now, if it is within its hours, and what failed before again."""
        loaded = local.function.loaded
        if loaded is None:
            return
        for job in loaded.jobs:
            self.add_job(job)
        self._granted[loaded.name] = frozenset(loaded.jobs)
        status = DefaultSensorStatus(loaded.status)
        self._entries[loaded.name] = SensorEntry(
            loaded.name, "", loaded.name, loaded.kind, default_status=status
        )
        self.queues[loaded.name] = local.queue
        hours, now = Hours.parse(loaded.hours) if loaded.hours else None, self.clock.now()
        if hours is not None and not hours.covers(now):
            self._report("invoke", loaded.name, Outcome(Decision.DELAYED, outside(hours, now), loaded.name))
        elif local.does_tick:
            with self._lock:
                local.ticks = [{"treadle": "tick", "at_once": True}]
        local.queue.redeliver()

    def _let_close(self, sensor: str, event: Mapping[str, object]) -> None:
        """Let a sensor's function close batches, as soon as it is free."""
        for local in list(self.sensors.values()):
            loaded = local.function.loaded
            if loaded is not None and loaded.name == sensor:
                with self._lock:
                    local.ticks.append(event)
        self._wake.set()

    def send(self, event: Mapping[str, object]) -> None:
        """Send an event to the queues of the sensors; a worker discards what its rule would not send."""
        for local in list(self.sensors.values()):
            loaded = local.function.loaded
            # It is not known yet what a sensor takes that has never loaded.
            if loaded is None or loaded.takes_messages:
                local.queue.send([event])

    def start_job(self, name: str, double: JobDouble) -> None:
        """Start a job as somebody else than a sensor does; its run is recorded as an external one.

        Args:
            name: the job.
            double: how it ends.

        Raises:
            CommandRefusedError: if there is no such job.
        """
        settings = self.jobs.get(name)
        if settings is None:
            msg = f"There is no job {name!r}. Choose one of the list."
            raise CommandRefusedError(msg)
        self._changed(self.targets[KIND].begin(settings, double))

    def report_asset(self, made: AssetMaterialization, at: datetime) -> None:
        """Report a materialization that no run made.

        Raises:
            InvalidReportError: if it cannot be stored.
        """
        with self._lock:
            self._assets.record(AssetReport(made, f"test-{RandomTokens().new()}", at))
        self._wake.set()

    def run(self) -> None:
        """Run the steps until `stop` is called."""
        while not self._stopped.is_set():
            self._wake.wait(PASS_SECONDS)
            self._wake.clear()
            for step in (
                self._send_ticks,
                self._invoke,
                self._dispatch,
                self._launch,
                self._record,
                self._publish,
                self._reconcile,
            ):
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - one step must not stop the others
                    self._report(step.__name__.strip("_"), "", _failed(error))
        self._pool.shutdown(cancel_futures=True, wait=False)

    def stop(self) -> None:
        """Let `run` return, and end the jobs' processes."""
        self._stopped.set()
        self.targets[KIND].close()
        self._wake.set()

    def _send_ticks(self) -> None:
        """Send what EventBridge Scheduler sends each minute."""
        now = self.clock.now()
        if now < self._next_minute:
            return
        event = {"treadle": "tick", "nominal_time": timestamp(minute(now))}
        self._next_minute = minute(now) + MINUTE_MS
        for local in list(self.sensors.values()):
            if local.does_tick:
                with self._lock:
                    # A sensor that is still busy gets one tick, not one for each minute.
                    local.ticks = [*(each for each in local.ticks if "at_once" in each), event]

    def _invoke(self) -> None:
        """Invoke the functions for which something waits, each once at a time."""
        for local in list(self.sensors.values()):
            if local.is_busy or not local.function.is_ready:
                continue
            with self._lock:
                tick = local.ticks.pop(0) if local.ticks else None
            messages = [] if tick else local.queue.receive()
            if tick or messages:
                local.is_busy = True
                self._pool.submit(self._invoked, local, tick, messages)

    def invoke(self, local: LocalSensor, event: Mapping[str, object]) -> Response | Failed:
        """Invoke a sensor's function.

        After a failure nothing holds the sensor's lease any more: it expires now, and the next tick records what died.
        """
        found = local.function.invoke(event)
        if isinstance(found, Failed):
            self._expire_lease(local.function.name)
        self._wake.set()
        return found

    def _expire_lease(self, sensor: str) -> None:
        with self._lock:
            state = self._tables.sensors.get(sensor)
            if state is not None and state.lease_owner is not None:
                self._tables.sensors[sensor] = replace(state, lease_expires=0)

    def _invoked(
        self, local: LocalSensor, tick: Mapping[str, object] | None, messages: list[Message]
    ) -> None:
        try:
            event = tick or {"Records": [each.record() for each in messages]}
            found = self.invoke(local, event)
            if isinstance(found, Failed):
                failed = {each.message_id for each in messages}
                self._report("invoke", local.function.name, Outcome(Decision.FAILURE, str(found), ""))
            else:
                answer = found.value if messages and isinstance(found.value, Mapping) else {}
                failed = {each["itemIdentifier"] for each in answer.get("batchItemFailures", ())}
            for each in messages:
                if each.message_id in failed:
                    local.queue.give_back(each)
                else:
                    local.queue.delete(each)
        except Exception as error:  # noqa: BLE001 - nobody waits for the result of an invocation
            self._report("invoke", local.function.name, _failed(error))
        finally:
            local.is_busy = False
            self._wake.set()

    def _dispatch(self) -> None:
        for sensor, tick_id in self.stores.ticks.pending(self.clock.now() + 1, _AT_ONCE):
            try:
                outcome = self._dispatcher.dispatch(self._dispatcher.committed(sensor, tick_id))
            except Exception as error:  # noqa: BLE001 - one tick must not stop the others
                outcome = _failed(error)
                self.stores.ticks.postpone(sensor, tick_id, self.clock.now() + MINUTE_MS, outcome.reason)
            if outcome.held or outcome.refused or outcome.decision is Decision.FAILURE:
                self._report("dispatch", sensor, outcome)
        self._handle(self.dispatches, "dispatch", self._dispatch_message)

    def _dispatch_message(self, body: Mapping[str, Any]) -> None:
        request = dispatch_request(body)
        if isinstance(request, BackfillRequest):
            self._advance(request.name)
        elif isinstance(request, GrantRequest):
            self._granter.grant(request.pool, self.clock.now() + int(LAUNCH_SECONDS * 1000))
        elif isinstance(request, ChunkRequest):
            self._dispatcher.dispatch_chunk(request)
        else:
            self._dispatcher.dispatch(self._dispatcher.committed(request.sensor, request.tick_id))

    def _launch(self) -> None:
        while self._handle(self.launches, "launch", self._launch_message):
            pass

    def _launch_message(self, body: Mapping[str, Any]) -> None:
        request = LaunchRequest.from_json(body)
        self._report("launch", request.job, self._launcher.launch(request, LAUNCH_SECONDS))

    def _handle(self, queue: LocalQueue, origin: str, handle: Callable[[Mapping[str, Any]], object]) -> int:
        """Handle the messages of a component of the engine; return how many there were."""
        messages = queue.receive()
        for message in messages:
            try:
                handle(json.loads(message.body))
            except Exception as error:  # noqa: BLE001 - it concerns this message alone
                failed = _failed(error)
                self._report(origin, "", failed)
                if message.receives < MAX_RECEIVES:
                    queue.give_back(message)
                    continue
                self.dead_letters.send(message.body, origin=origin, reason=failed.reason)
            queue.delete(message)
        return len(messages)

    def _changed(self, execution: Execution) -> None:
        with self._lock:
            self._executions.append(execution)
        self._wake.set()

    def _record(self) -> None:
        with self._lock:
            changed, self._executions = self._executions, []
        for each in changed:
            change = StatusChange(
                *(KIND, each.launch_id, each.external_id, each.target, each.status),
                *(each.ended_at or each.started_at, each.started_at),
                failure=each.failure,
            )
            self._report("record", each.target.rpartition(":")[2], self._recorder.record(change))

    def _publish(self) -> None:
        """Publish the statuses that runs have reached, deliver the events, and start what waited for them."""
        with self._lock:
            changed = self._bus.publish()
            events, self._bus.bus.events = self._bus.bus.events, []
            # Within the lock, so that a snapshot has an event either on the bus or in the queues.
            for event in events:
                self.send(envelope(event, NAMESPACE))
        for key in changed:
            self.stores.pools.note_queue(key, RandomTokens().new())
        self.dispatches.send([GrantRequest(key).to_json() for key in changed])
        if events:
            for name in self.stores.backfills.unfinished(_AT_ONCE):
                self._advance(name)

    def _advance(self, name: str) -> None:
        self._backfiller.advance(name, self.clock.now() + int(LAUNCH_SECONDS * 1000))

    def _reconcile(self) -> None:
        if self.clock.now() >= self._next_check:
            self._next_check = self.clock.now() + RECONCILE_MS
            self._reconciler.reconcile(LAUNCH_SECONDS)


class _Invocations:
    """The functions of the project.

    Args:
        invoke: invokes one, by the name of its sensor.
    """

    def __init__(self, invoke: Callable[[str, Mapping[str, object]], None]) -> None:
        self._invoke = invoke

    def invoke(self, function: str, event: Mapping[str, object]) -> None:
        """Invoke a function, and do not wait for it."""
        self._invoke(function, event)


def _failed(error: Exception) -> Outcome:
    return Outcome(Decision.FAILURE, f"{type(error).__name__}: {error}", "")
