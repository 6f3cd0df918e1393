"""Treadle in memory: the real engine over in-memory stores, a virtual clock, and controllable targets.

A test defines sensors, moves the clock, puts objects, ends runs, and inspects runs, ticks and cursors.
"""

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast, overload

from treadle.definitions.asset_sensor import AssetSensorDefinition
from treadle.definitions.assets import (
    AssetMaterialization,
    AssetMaterialized,
    AssetObservation,
    AssetObserved,
    RecordedAssetEvent,
    RecordedEvent,
    ReportedEvent,
    recorded_as,
)
from treadle.definitions.bounds import shown
from treadle.definitions.bus_event import EventBridgeEvent
from treadle.definitions.canonical import canonical_json
from treadle.definitions.clocks import check_time
from treadle.definitions.deadlines import DeadlineSensorDefinition
from treadle.definitions.errors import InvalidReportError, SensorEvaluationError, UnknownEventError
from treadle.definitions.event_sensor import EventSensorDefinition
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.queue_message import QueueMessage
from treadle.definitions.queue_sensor import QueueSensorDefinition
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.run_status import RunStatusSensorDefinition
from treadle.definitions.runs import from_millis
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus
from treadle.definitions.stream_record import StreamRecord
from treadle.definitions.stream_sensor import StreamSensorDefinition
from treadle.definitions.timed import DeadlineReached
from treadle.definitions.webhook_request import WebhookRequest
from treadle.definitions.webhook_sensor import WebhookSensorDefinition
from treadle.definitions.webhook_verification import HttpRequest
from treadle.engine.assembly import Assembly, SensorParts
from treadle.engine.assets.asset_events import asset_event as as_kept
from treadle.engine.assets.asset_events import recorded
from treadle.engine.identity import RunIds
from treadle.engine.instance.instance_reader import InstanceReader
from treadle.engine.instance.stored_partitions import StoredPartitions
from treadle.engine.instance.views import dagster_run
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.publish.bus_events import asset_recorded
from treadle.engine.record.recorder import StatusChange
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.preview import STORED, Preview
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.integrations.s3.definition import S3SensorDefinition
from treadle.model.backfills import Backfill, BackfillPartition
from treadle.model.partitions import ChangeTime
from treadle.model.registry import SensorEntry
from treadle.model.runs import Failure, Run
from treadle.model.sensors import SensorState
from treadle.model.targets import Execution, JobSettings
from treadle.model.ticks import Tick
from treadle.operate.backfills import BackfillOperations
from treadle.operate.loops import LoopReleases
from treadle.operate.open_batches import OpenBatch, OpenBatches
from treadle.operate.runs import RunOperations
from treadle.operate.sensors import SensorOperations
from treadle.testing.blobs import requested_config
from treadle.testing.bus import NAMESPACE, BusReader, BusRecord, RunResult
from treadle.testing.deliveries import InMemorySecrets
from treadle.testing.grants import FixedGrants
from treadle.testing.objects import InMemoryObjects
from treadle.testing.pools import DeclaredPools, Pool
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock
from treadle.testing.targets import InMemoryTarget

if TYPE_CHECKING:
    from treadle.engine.tick.webhook_receiver import WebhookReceiver

KIND = "in_memory"
_OPERATOR = "the test"
_SECRET = "the secret of the test"  # noqa: S105 - of tests


@dataclass(frozen=True, slots=True)
class TickResult:
    """The result of one tick, or of one event.

    Attributes:
        outcome: the decision, with its reason.
        tick: the record; None for a skip, which only extends the streak, and for a tick that was not due.
        runs: the runs that it requested, launched.
    """

    outcome: Outcome
    tick: Tick | None
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """The response to a request, and what became of it.

    Attributes:
        status: the HTTP status of the response.
        message: the message of the response.
        tick: the result of the request's tick; None if the request was refused.
    """

    status: int
    message: str
    tick: TickResult | None


class TreadleInstance(InstanceReader):
    """An in-memory deployment of sensors, which may also be the `instance` of a context.

    Args:
        sensors: the deployed sensors; each is running, and may start its own jobs.
        jobs: the jobs that make the assets that the sensors select.
        resources: the sensors' resources, by key.
        settings: by sensor, its environment, such as `TREADLE_S3_BUCKET`; deployments set it in
            `template.yaml`.
        start: the initial time of the virtual clock, with a time zone; the sensors are deployed then.
        default_status: the status of sensors without a `start_sensor` or `stop_sensor` call.
        pause_after: consecutive failures after which a sensor is paused; 0 for never.
        pools: the concurrency pools that limit how many runs are in progress at a time, or start per minute; `finish_run`
            starts the next, and so does `reconcile` once the clock was advanced.

    Attributes:
        namespace: the engine's.
    """

    def __init__(
        self,
        sensors: Sequence[SensorDefinition],
        *,
        jobs: Sequence[JobDefinition] | None = None,
        resources: Mapping[str, Any] | None = None,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        start: datetime | None = None,
        default_status: DefaultSensorStatus = DefaultSensorStatus.RUNNING,
        pause_after: int = 0,
        pools: Sequence[Pool] = (),
    ) -> None:
        if start is not None:
            start = check_time("start", start)
        self.clock = VirtualClock() if start is None else VirtualClock(int(start.timestamp() * 1000))
        self.namespace = NAMESPACE
        self._deployed_at = self.clock.now()
        self._stores = InMemoryStores()
        self._tables = self._stores.tables
        self._tokens = SequentialIds()
        self._default = default_status
        declared = {each.name: each for each in pools}
        self._declared_pools = DeclaredPools(declared)
        self._stores.pools.declare(self._declared_pools.states, ())
        engine = Assembly(self._stores, self.clock, self._tokens, NAMESPACE, self._declared_pools)
        partitions = StoredPartitions(self._stores.partitions, self._change_time)
        super().__init__(self._stores.runs, NAMESPACE, self._stores.events, lambda: partitions)
        self._bus = BusReader(self._tables, engine)
        self.objects = InMemoryObjects(self.clock)
        self.target = InMemoryTarget(self.clock)
        self.undelivered: list[SensorEvent] = []
        self._sequence = itertools.count(1)
        self._launches = InMemoryQueue()
        self._operations = SensorOperations(self._stores.sensors, self.clock)
        self._loops = LoopReleases(self._stores.ticks, self._stores.sensors, self.clock)
        sensors = [each.with_deployed_jobs(jobs) for each in sensors]
        names = {job for each in sensors for job in each.job_names}
        settings_of_jobs = {name: JobSettings(name, KIND, f"memory:{name}", "-") for name in names}
        grants = FixedGrants(
            {each.name: frozenset(each.job_names) for each in sensors},
            {
                each.name: SensorEntry(each.name, "", each.name, each.kind, default_status=default_status)
                for each in sensors
            },
        )
        targets = {KIND: self.target}
        self._dispatcher = engine.dispatcher(self._launches, grants, self._bus.bus)
        self._backfiller = engine.backfiller(self._launches, settings_of_jobs)
        # Apart from the launches that have to wait, which the next call tries again.
        self._grants = InMemoryQueue()
        self._granter = engine.granter(self._grants)
        self._backfills = _backfill_operations(self._stores, settings_of_jobs, self._launches, self.clock)
        self._launcher = engine.launcher(self._launches, settings_of_jobs, targets)
        self._recorder = engine.recorder(settings_of_jobs, targets)
        self._reconciler = engine.reconciler(
            self._dispatcher,
            self._launches,
            settings_of_jobs,
            targets,
            batches=engine.due_batches(grants, _Closing(self._close)),
        )
        self._parts: dict[str, SensorParts] = {}
        self._receivers: dict[str, WebhookReceiver] = {}
        for each in sensors:
            definition = self._configured(each, (settings or {}).get(each.name))
            interval = (definition.minimum_interval_seconds or 0) * 1000
            pauses = 0 if definition.takes_events else pause_after
            ticking = TickSettings(interval, default_status, pauses)
            self._parts[each.name] = engine.sensor(definition, ticking, resources=resources)
            if definition.verification is not None:
                secrets = InMemorySecrets({_SECRET: (_SECRET,)})
                receiver = engine.webhook_receiver(each.name, definition.verification, secrets, _SECRET)
                self._receivers[each.name] = receiver

    def _configured(
        self, definition: SensorDefinition, settings: Mapping[str, str] | None
    ) -> SensorDefinition:
        if isinstance(definition, S3SensorDefinition):
            definition = definition.with_lister(self.objects, self.clock.now, lambda: self._deployed_at)
        if settings is not None or isinstance(definition, RunStatusSensorDefinition):
            definition = definition.configured({"TREADLE_NAMESPACE": NAMESPACE, **(settings or {})})
        return definition

    def tick(self, sensor: str) -> TickResult:
        """Evaluate a sensor when it is next due, and launch the runs that it requests.

        The clock advances to that time, by at most one interval.

        Args:
            sensor: the sensor's name.
        """
        parts = self._parts[sensor]
        state, interval = self._stores.sensors.get(sensor), parts.settings.interval or 60_000
        if state.last_scheduled_for is not None:
            rested = (state.last_completion or 0) + interval // 2
            self.clock.time = max(self.clock.time, state.last_scheduled_for + interval, rested)
        return self.tick_now(sensor)

    def tick_now(self, sensor: str) -> TickResult:
        """Deliver a tick at the current time, whether or not one is due.

        Args:
            sensor: the sensor's name.
        """
        outcome = self._parts[sensor].scheduled.tick(self.clock.now(), Budget())
        result = self._applied(sensor, outcome)
        self._close_full(self._parts[sensor])
        return result

    def send(self, event: SensorEvent) -> dict[str, TickResult]:
        """Deliver an event to every sensor that takes such events; return the results by sensor.

        An event that is too early, as its object is not settled yet, is DELAYED, and waits in `undelivered`
        for another delivery.

        Args:
            event: such as the result of `objects.put`, for a late or duplicate delivery.

        Raises:
            SensorEvaluationError: if a sensor's function failed; its tick records that.
        """
        check_time("The event's time", event.time)
        results = {}
        for name, parts in self._parts.items():
            definition = parts.definition
            if definition.takes_events and _takes(definition, event):
                outcome = self._evaluated(parts, event)
                if outcome.wait_seconds:
                    self.undelivered.append(event)
                results[name] = self._applied(name, outcome)
        return results

    def _evaluated(self, parts: SensorParts, event: SensorEvent) -> Outcome:
        outcome = parts.events.evaluate(event, parts.events.load_batch_state([event]), Budget())
        if parts.acceptor is not None:
            parts.acceptor.settle(closes=parts.definition.verification is None)
            self._close_full(parts)
        return outcome

    def _close_full(self, parts: SensorParts) -> None:
        """Close the batches that may be full."""
        if parts.acceptor is not None:
            self._close(parts.definition.name, parts.acceptor.take_full())

    def _close(self, sensor: str, keys: Sequence[str]) -> None:
        closer = self._parts[sensor].closer
        for key in keys if closer else ():
            for outcome in closer.close(key, Budget()) if closer else ():
                self._apply(sensor, outcome)

    def _deliver_events(self) -> None:
        """Deliver the events of runs and assets to sensors, until there are no more."""
        while events := self._bus.fresh():
            for event in events:
                self._deliver(event)

    def _deliver(self, event: BusRecord) -> None:
        """Let an event of the bus trigger a tick of sensors, or be evaluated by them.

        A function that fails leaves a FAILURE tick, as it does when deployed, and its event waits in
        `undelivered` for another delivery by `send`.
        """
        for name, parts in self._parts.items():
            definition = parts.definition
            if definition.is_woken_by(event):
                self.clock.advance(0.001)  # Two ticks are never due at the same time.
                self._apply(name, parts.scheduled.tick(self.clock.now(), Budget()))
            if not (isinstance(definition, _OF_THE_BUS) and definition.monitors(event)):
                continue
            try:
                outcome = self._evaluated(parts, event)
            except SensorEvaluationError:
                self.undelivered.append(event)
            else:
                self._apply(name, outcome)

    def run_status_events(self) -> list[RunStatusEvent]:
        """Return all status changes of runs, in order: what `evaluate_tick` of a run status sensor reads."""
        return self._bus.run_status_events()

    @overload
    def report_runless_asset_event(
        self, asset_event: AssetMaterialization, *, run_id: str | None = None, event_id: str | None = None
    ) -> AssetMaterialized: ...

    @overload
    def report_runless_asset_event(
        self, asset_event: AssetObservation, *, run_id: str | None = None, event_id: str | None = None
    ) -> AssetObserved: ...

    def report_runless_asset_event(
        self, asset_event: ReportedEvent, *, run_id: str | None = None, event_id: str | None = None
    ) -> RecordedEvent:
        """Report an event of an asset; asset sensors react to a materialization immediately.

        Args:
            asset_event: a materialization or an observation.
            run_id: the run that made it.
            event_id: an id that was reported before changes nothing, and is published again.

        Returns:
            The event of a materialization that sensors receive, which `send` delivers again; or that of an
            observation, which no sensor receives.

        Raises:
            InvalidReportError: if it is neither, as nothing else is recorded.
        """
        given: object = asset_event
        if not isinstance(given, AssetMaterialization | AssetObservation):
            msg = (
                f"Only materializations and observations are recorded, not {shown(given)}. Report an "
                "AssetMaterialization or an AssetObservation."
            )
            raise InvalidReportError(msg)
        time, name = from_millis(self.clock.now()), event_id or f"reported-{self._tokens.new()}"
        reported = recorded_as(given)(given, name, 0, time, run_id, location=NAMESPACE)
        [kept] = self._stores.events.append([as_kept(reported)])
        reported = recorded(kept)
        self._bus.bus.publish([asset_recorded(reported, NAMESPACE)])
        self._deliver_events()
        return reported

    def reach_deadline(self, at: datetime) -> dict[str, TickResult]:
        """Reach a deadline; deadline sensors check whether it was met.

        Args:
            at: the deadline, with a time zone.
        """
        return self.send(DeadlineReached(check_time("The deadline", at)))

    def put_object(self, bucket: str, key: str, body: bytes = b"") -> dict[str, TickResult]:
        """Store an object and deliver its event to every sensor that takes such events.

        Args:
            bucket: the bucket's name.
            key: the object's key.
            body: its content.
        """
        return self.send(self.objects.put(bucket, key, body))

    def put_event(
        self,
        source: str,
        detail_type: str,
        detail: Mapping[str, Any] | None = None,
        *,
        event_id: str | None = None,
        account: str | None = None,
        region: str | None = None,
        resources: Sequence[str] = (),
    ) -> dict[str, TickResult]:
        """Put an event on a bus, as PutEvents does; event sensors whose pattern it matches evaluate it immediately.

        Args:
            source: of the event, such as "shop.orders".
            detail_type: its detail-type.
            detail: its content, which must be JSON.
            event_id: its id, to deliver one event several times; each event has its own by default.
            account: the account that it comes from; this deployment's by default.
            region: the Region that it comes from; this deployment's by default.
            resources: ARNs of what it is about.

        Raises:
            UnknownEventError: if the detail is not JSON.
            SensorEvaluationError: if a sensor's function failed; its tick records that.
        """
        sent = _as_json(detail or {}, "The detail of an event")
        own_account, own_region, _ = NAMESPACE.split("/")
        time = from_millis(self.clock.now()).replace(microsecond=0)
        event = EventBridgeEvent(
            source,
            detail_type,
            sent,
            event_id or f"event-{self._tokens.new()}",
            time,
            account or own_account,
            region or own_region,
            tuple(resources),
        )
        return self.send(event)

    def send_message(
        self,
        queue: str,
        body: str | Mapping[str, Any] | Sequence[Any],
        *,
        message_id: str | None = None,
        group: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> dict[str, TickResult]:
        """Send a message to a queue; the queue's sensor evaluates it immediately.

        A message that cannot be evaluated stays in the queue: `undelivered` has it for another delivery by `send`.

        Args:
            queue: the queue's name.
            body: its text, or what is sent as JSON.
            message_id: its id, to deliver one message several times; each message has its own by default.
            group: its message group, on a FIFO queue.
            attributes: its message attributes.

        Raises:
            UnknownEventError: if the body is neither text nor JSON.
            SensorEvaluationError: if the sensor's function failed; its tick records that.
        """
        message = QueueMessage(
            message_id or f"message-{self._tokens.new()}",
            body if isinstance(body, str) else json.dumps(_as_json(body, "The body of a message")),
            queue,
            from_millis(self.clock.now()),
            attributes=attributes or {},
            group=group,
        )
        return self._send_or_keep(message)

    def put_record(
        self,
        stream: str,
        data: bytes | str | Mapping[str, Any] | Sequence[Any] = b"",
        *,
        key: str = "key",
        sequence_number: str | None = None,
    ) -> dict[str, TickResult]:
        """Put a record into a Kinesis stream; the stream's sensors evaluate it immediately.

        A record that cannot be evaluated stays in the stream: `undelivered` has it for another delivery by `send`.

        Args:
            stream: the stream's name.
            data: its bytes, their text, or what is put as JSON.
            key: its partition key.
            sequence_number: its place in the shard, to deliver one record several times; each record has its own by
                default.

        Raises:
            UnknownEventError: if the data is neither bytes, text nor JSON.
            SensorEvaluationError: if a sensor's function failed; its tick records that.
        """
        if not isinstance(data, bytes):
            text = data if isinstance(data, str) else json.dumps(_as_json(data, "The data of a record"))
            data = text.encode()
        account, region, _ = NAMESPACE.split("/")
        number = sequence_number or f"{next(self._sequence):056}"
        record = StreamRecord(
            f"shardId-000000000000:{number}",
            f"arn:aws:kinesis:{region}:{account}:stream/{stream}",
            key,
            number,
            from_millis(self.clock.now()),
            data,
        )
        return self._send_or_keep(record)

    def put_change(
        self,
        table: str,
        keys: Mapping[str, Any],
        *,
        new: Mapping[str, Any] | None = None,
        old: Mapping[str, Any] | None = None,
        sequence_number: str | None = None,
    ) -> dict[str, TickResult]:
        """Put a change of an item into the stream of a table; the stream's sensors evaluate it immediately.

        It is an INSERT without `old`, a REMOVE without `new`, and a MODIFY with both. A record that cannot be evaluated
        stays in the stream: `undelivered` has it for another delivery by `send`.

        Args:
            table: the table's name.
            keys: the item's key attributes.
            new: the item after the change, as plain values.
            old: the item before the change, as plain values.
            sequence_number: its place in the stream, to deliver one change several times; each change has its own by
                default.

        Raises:
            UnknownEventError: if the keys are not JSON.
            SensorEvaluationError: if a sensor's function failed; its tick records that.
        """
        account, region, _ = NAMESPACE.split("/")
        number = sequence_number or f"{next(self._sequence):021}"
        record = StreamRecord(
            f"change-{number}",
            f"arn:aws:dynamodb:{region}:{account}:table/{table}/stream/2026-01-01T00:00:00.000",
            json.dumps(_as_json(keys, "The keys of an item"), sort_keys=True, separators=(",", ":")),
            number,
            from_millis(self.clock.now()),
            change="INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
            keys=keys,
            new=new,
            old=old,
        )
        return self._send_or_keep(record)

    def _send_or_keep(self, event: QueueMessage | StreamRecord) -> dict[str, TickResult]:
        """Deliver an event that stays where it is until it is evaluated."""
        try:
            results = self.send(event)
        except SensorEvaluationError:
            self.undelivered.append(event)
            raise
        if any(each.outcome.decision is Decision.STOPPED for each in results.values()):
            self.undelivered.append(event)
        return results

    def call_webhook(
        self,
        sensor: str,
        body: bytes | str | Mapping[str, Any] | Sequence[Any] = b"",
        *,
        delivery_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        signed_at: datetime | None = None,
    ) -> WebhookResult:
        """Send a request to a sensor's endpoint, signed as its sender signs; the sensor evaluates it immediately.

        Args:
            sensor: the sensor's name.
            body: the bytes, their text, or what is sent as JSON.
            delivery_id: the delivery's id, to deliver one request several times; each has its own by default.
            headers: further headers; they replace those of the signature, to send one that is not valid.
            query: its query parameters.
            signed_at: the time of the signature, with a time zone, where the sender signs one; now by default.

        Raises:
            UnknownEventError: if the body is neither bytes, text nor JSON.
            SensorEvaluationError: if the sensor's function failed, for which the sender gets a response of status 503;
                its tick records that.
        """
        parts = self._parts[sensor]
        if isinstance(body, bytes):
            sent = body
        else:
            text = body if isinstance(body, str) else json.dumps(_as_json(body, "The body of a request"))
            sent = text.encode()
        request_id = f"request-{self._tokens.new()}"
        at = (
            self.clock.now()
            if signed_at is None
            else int(check_time("signed_at", signed_at).timestamp() * 1000)
        )
        verification = parts.definition.verification
        if verification is None:
            msg = f"Sensor {sensor} has no endpoint. Send the request to a webhook sensor."
            raise UnknownEventError(msg)
        signed = verification.signed(sent, _SECRET, at, delivery_id or request_id)
        all_headers = {name.lower(): value for name, value in {**signed, **(headers or {})}.items()}
        request = HttpRequest(request_id, sent, all_headers, query or {})
        response = self._receivers[sensor].receive(request, functools.partial(self._evaluated, parts))
        outcome = response.outcome
        result = None if outcome is None else self._applied(sensor, outcome)
        return WebhookResult(response.status, response.message, result)

    def _applied(self, sensor: str, outcome: Outcome) -> TickResult:
        self._apply(sensor, outcome)
        self._deliver_events()
        tick = self._stores.ticks.get(sensor, outcome.subject)
        requested = (self._tables.runs.get(each.run_id) for each in tick.requests) if tick else ()
        started = tuple(run for run in requested if run and tick and run.tick_id == tick.tick_id)
        return TickResult(outcome, tick, started)

    def _apply(self, sensor: str, outcome: Outcome) -> None:
        tick = self._stores.ticks.get(sensor, outcome.subject)
        if tick is not None and tick.dispatched is None:
            self._dispatcher.dispatch(tick)
            if tick.dynamic_partitions_request_results:
                self.clock.advance(0.001)  # Changes of the same time are ordered by their sensors' names.
            self._launch()

    def _launch(self) -> None:
        """Launch each run that is queued, once, and then those that are granted slots of pools."""
        messages = self._launches.drain()
        while True:
            for body in messages:
                self._launcher.launch(LaunchRequest.from_json(body), 60.0)
            queues = {key: dict(waiting) for key, waiting in self._tables.waiters.items() if waiting}
            for key in queues:
                self._stores.pools.note_queue(key, self._tokens.new())
                self._granter.grant(key, self.clock.now() + 60_000)
            messages = self._grants.drain()
            # A run may have moved to another queue.
            if not messages and queues == {key: of for key, of in self._tables.waiters.items() if of}:
                return

    def _change_time(self) -> ChangeTime:
        """Return the time of a change that the test makes, which no other change has."""
        self.clock.advance(0.001)
        time = ChangeTime(self.clock.now(), _OPERATOR)
        self.clock.advance(0.001)
        return time

    def backfill(
        self,
        job: str,
        partition_keys: Sequence[str],
        *,
        name: str | None = None,
        run_config: Mapping[str, Any] | None = None,
        limit: int = 0,
    ) -> Backfill:
        """Start a backfill, as `treadle backfill start` does, and launch its runs as far as its limit allows.

        Args:
            job: a job of one of the sensors.
            partition_keys: the partitions, which are not checked.
            name: the backfill's name; None to derive it from what it runs.
            run_config: of each run.
            limit: how many runs may be in progress at a time; `finish_run` starts the next. 0 for no limit.

        Raises:
            CommandRefusedError: if no sensor has the job, or the name is taken by a backfill of other content.
        """
        partitions = [BackfillPartition(key) for key in partition_keys]
        config = canonical_json(run_config or {})
        change = self._backfills.start(job, partitions, _OPERATOR, name=name, run_config=config, limit=limit)
        self._advance_backfills()
        return self._tables.backfills[change.backfill.name]

    def _advance_backfills(self) -> None:
        for name in self._stores.backfills.unfinished(len(self._tables.backfills)):
            self._backfiller.advance(name, self.clock.now() + 60_000)
        self._launch()

    def finish_run(
        self,
        run: Run,
        status: DagsterRunStatus = DagsterRunStatus.SUCCESS,
        failure: Failure | None = None,
    ) -> RunResult:
        """End a run as its target would; run status sensors react to it immediately.

        Args:
            run: a launched run.
            status: SUCCESS, FAILURE or CANCELED.
            failure: why it failed.

        Returns:
            The run, with what `build_run_status_sensor_context` requires.
        """
        self._record_end(run, self.target.finish(run.external_id or "", status, failure))
        self._launch()
        self._deliver_events()
        self._advance_backfills()
        record = self._tables.runs[run.run_id]
        return RunResult(record, dagster_run(record, NAMESPACE))

    def _record_end(self, run: Run, ended: Execution) -> None:
        ended_at = ended.ended_at or self.clock.now()
        change = StatusChange(
            KIND, run.launch_id, ended.external_id, ended.target, ended.status, ended_at, ended.started_at
        )
        self._recorder.record(change)

    def reconcile(self) -> None:
        """Let the engine check runs at the current time, as it does each minute when it is deployed.

        It closes batches that are due, starts retries whose delay has passed, and cancels runs that exceed their maximum
        runtime or that a later one replaces.
        """
        self._reconciler.reconcile(60.0)
        self._launch()
        for run in self.runs(lambda run: run.status is DagsterRunStatus.CANCELING):
            self._record_end(run, self.target.describe(run.external_id or ""))
        self._launch()
        self._deliver_events()

    def preview(self, sensor: str, *, cursor: object = STORED, event: "SensorEvent | None" = None) -> Preview:
        """Evaluate without committing anything.

        Args:
            sensor: the sensor's name.
            cursor: a string or None to evaluate with; the stored cursor by default.
            event: an event to evaluate instead of a leased tick.
        """
        return self._parts[sensor].previewer.preview(Budget(), cursor=cursor, event=event)

    def runs(self, where: Callable[[Run], bool] | None = None) -> tuple[Run, ...]:
        """Return the runs in the order of their creation.

        Args:
            where: selects some of them.
        """
        return tuple(run for run in self._tables.runs.values() if where is None or where(run))

    def payload(self, run: Run) -> str:
        """Return the payload that a launched run's target received, as JSON."""
        return self.target.payloads[run.external_id or ""]

    def run_config(self, run: Run) -> Any:
        """Return a run's config as its job has it after `read_payload`, also if it was too large to be sent."""
        return requested_config(self._stores.blobs, json.loads(run.run_config))

    def ticks(self, sensor: str) -> list[Tick]:
        """Return a sensor's tick records, newest first; skips since the last of them are in `state`."""
        return self._stores.ticks.latest(sensor, 10_000)

    def open_batches(self, sensor: str) -> tuple[OpenBatch, ...]:
        """Return a sensor's open batches: how many items wait for each, since when, and when it is closed."""
        return OpenBatches(self._stores.batches, self.clock).of(sensor).batches

    def state(self, sensor: str) -> SensorState:
        """Return a sensor's stored state: status, cursor, skip and failure streaks."""
        return self._stores.sensors.get(sensor)

    def cursor(self, sensor: str) -> str | None:
        """Return a sensor's cursor."""
        return self._stores.sensors.cursor(self.state(sensor))

    def start_sensor(self, sensor: str) -> SensorState:
        """Start a sensor, as an operator does."""
        return self._operations.start(sensor, self._default, _OPERATOR)

    def stop_sensor(self, sensor: str) -> SensorState:
        """Stop a sensor, as an operator does."""
        return self._operations.stop(sensor, _OPERATOR)

    def release_sensor(self, sensor: str) -> None:
        """Release a sensor that is held as a loop, as an operator does; the engine starts what it requested.

        Args:
            sensor: the sensor's name.

        Raises:
            CommandRefusedError: if the sensor is not held as a loop.
        """
        self._loops.release(sensor, _OPERATOR)
        self.reconcile()

    def reset_sensor(self, sensor: str) -> SensorState:
        """Return a sensor to its default status, as an operator does."""
        return self._operations.reset(sensor, _OPERATOR)

    def set_cursor(self, sensor: str, cursor: str | None) -> SensorState:
        """Set a sensor's cursor, as an operator does."""
        return self._operations.set_cursor(sensor, cursor, _OPERATOR)


class _Closing:
    """Closes batches instead of invoking a function for that.

    Args:
        close: closes those of a sensor, by their keys.
    """

    def __init__(self, close: Callable[[str, Sequence[str]], None]) -> None:
        self._close = close

    def invoke(self, function: str, event: Mapping[str, object]) -> None:
        """Close the batches that a message names."""
        self._close(function, cast("Sequence[str]", event["batches"]))


def _backfill_operations(
    stores: InMemoryStores, jobs: Mapping[str, JobSettings], launches: InMemoryQueue, clock: VirtualClock
) -> BackfillOperations:
    run_ids = RunIds.of(NAMESPACE)
    runs = RunOperations(stores.runs, stores.sensors, launches, jobs, {}, run_ids, clock)
    return BackfillOperations(stores.backfills, InMemoryQueue(), jobs, runs, run_ids, clock)


@contextmanager
def instance_for_test() -> Iterator[TreadleInstance]:
    """Yield an in-memory deployment without sensors, for a ported test; `TreadleInstance` takes sensors."""
    yield TreadleInstance([])


_OF_THE_BUS = (RunStatusSensorDefinition, AssetSensorDefinition)
"""Sensors that subscribe to events of runs and assets."""

_OF_OTHER_SOURCES = (
    DeadlineSensorDefinition,
    EventSensorDefinition,
    QueueSensorDefinition,
    StreamSensorDefinition,
    WebhookSensorDefinition,
)
"""Sensors that take neither objects nor these."""


def _as_json(value: Any, what: str) -> Any:
    """Return a value as it is after it was sent as JSON."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        msg = f"{what} must be JSON: {error}."
        raise UnknownEventError(msg) from error


def _takes(definition: SensorDefinition, event: SensorEvent) -> bool:
    """Return whether a sensor's rule or schedule would deliver such an event."""
    if isinstance(event, RunStatusEvent):
        return isinstance(definition, RunStatusSensorDefinition)
    if isinstance(event, RecordedAssetEvent):
        return isinstance(definition, AssetSensorDefinition) and definition.monitors(event)
    if isinstance(event, DeadlineReached):
        return isinstance(definition, DeadlineSensorDefinition)
    if isinstance(event, EventBridgeEvent):
        return isinstance(definition, EventSensorDefinition) and definition.monitors(event)
    if isinstance(event, QueueMessage):
        return isinstance(definition, QueueSensorDefinition) and definition.monitors(event)
    if isinstance(event, StreamRecord):
        return isinstance(definition, StreamSensorDefinition) and definition.monitors(event)
    if isinstance(event, WebhookRequest):
        return isinstance(definition, WebhookSensorDefinition) and definition.monitors(event)
    return not isinstance(definition, (*_OF_THE_BUS, *_OF_OTHER_SOURCES))


def receives(definition: SensorDefinition, event: SensorEvent) -> bool:
    """Return whether a deployed sensor's rule or queue sends it an event."""
    if isinstance(event, ObjectCreated):
        return isinstance(definition, S3SensorDefinition) and definition.selection.selects(event.object)
    if isinstance(event, EventBridgeEvent | QueueMessage | StreamRecord | WebhookRequest):
        return _takes(definition, event)
    if definition.is_woken:
        return definition.is_woken_by(event)
    return isinstance(definition, _OF_THE_BUS) and definition.monitors(event)
