"""A sensor over a bucket in the engine in memory, and queries about why something did or did not run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.engine import JOB, RUN_IDS, EngineHarness, keyless
from treadle.definitions.errors import SensorEvaluationError
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.dispatch.dispatcher import Limits
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Outcome
from treadle.engine.tick.evaluation import Budget
from treadle.integrations.s3 import S3Selection, S3SensorDefinition, StartFrom
from treadle.integrations.s3.inspection import SelectedObjects
from treadle.model.deployment import DeployedSensor, Subscription
from treadle.model.ticks import Tick
from treadle.operate.explain import Explainer, Subject
from treadle.operate.explanation import Explanation
from treadle.operate.redrive import Redriver
from treadle.operate.redrive_routes import Destination
from treadle.operate.sensors import SensorOperations
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.health import InMemoryHealth
from treadle.testing.objects import InMemoryObjects
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue

BUCKET = "landing"
SENSOR = "watch"
INTERVAL = 300
"""Seconds between sweeps."""


@dataclass(slots=True)
class S3Engine:
    """A deployed sensor over a bucket.

    Attributes:
        harness: the engine.
        selection: the sensor's.
        function: the author's.
        jobs: those that the deployment lets it start.
        default_status: as deployed.
        kind: as deployed.
        settings: its function's environment.
        objects: the buckets.
        health: the subscriptions to events.
        dead_letters: the dead letters.
    """

    harness: EngineHarness
    selection: S3Selection = field(
        default_factory=lambda: S3Selection(BUCKET, "in/", ".csv", start_from=StartFrom.BEGINNING)
    )
    function: Callable[..., Any] = keyless
    jobs: tuple[str, ...] = (JOB,)
    default_status: DefaultSensorStatus = DefaultSensorStatus.RUNNING
    kind: str = "s3"
    settings: Mapping[str, str] = field(default_factory=dict)
    subscription: Subscription | None = None
    health: InMemoryHealth = field(default_factory=InMemoryHealth)
    dead_letters: InMemoryDeadLetters = field(default_factory=InMemoryDeadLetters)
    objects: InMemoryObjects = field(init=False)

    def __post_init__(self) -> None:
        self.objects = InMemoryObjects(self.harness.clock)

    @property
    def definition(self) -> S3SensorDefinition:
        """The sensor."""
        made = S3SensorDefinition(SENSOR, evaluation_fn=self.function, selection=self.selection, job_name=JOB)
        return made.with_lister(self.objects, self.harness.clock.now)

    def operations(self) -> SensorOperations:
        """Return the operator's commands on sensors."""
        return SensorOperations(self.harness.sensors, self.harness.clock)

    # ---- Events

    def put(self, key: str = "in/a.csv", body: bytes = b"1") -> ObjectCreated:
        """Store an object without sending its event."""
        return self.objects.put(BUCKET, key, body)

    def evaluate_event(self, event: ObjectCreated) -> Outcome | SensorEvaluationError:
        """Evaluate an event."""
        events = self.harness.events(self.definition, status=self.default_status)
        try:
            return events.evaluate(event, events.load_batch_state([event]), Budget())
        except SensorEvaluationError as error:
            return error

    def sweep(self, *, pause_after: int = 0) -> Outcome:
        """Run the next scheduled tick."""
        self.harness.clock.advance(INTERVAL)
        leased = self.harness.leased(
            self.definition, interval=INTERVAL, status=self.default_status, pause_after=pause_after
        )
        return leased.tick(self.harness.clock.now(), Budget())

    def dispatch(self, limits: Limits = Limits()) -> None:  # noqa: B008 - a frozen value
        """Dispatch the committed ticks."""
        for tick in self.harness.tick_records(SENSOR):
            if tick.is_to_be_dispatched:
                self.harness.dispatcher(limits=limits, **dict.fromkeys([SENSOR], self.jobs[0])).dispatch(tick)

    def launch(self) -> None:
        """Process the launch messages."""
        for body in self.harness.launches.drain():
            request = LaunchRequest.from_json(body)
            self.harness.launcher().launch(request, 30)

    def arrive(self, key: str = "in/a.csv", body: bytes = b"1") -> Tick:
        """Store an object, evaluate its event, and launch its run."""
        self.evaluate_event(self.put(key, body))
        self.dispatch()
        self.launch()
        return self.harness.tick_records(SENSOR)[-1]

    # ---- Queries

    def why(self, **subject: Any) -> Explanation:
        """Return the explanation of a subject."""
        harness = self.harness
        deployed = DeployedSensor(SENSOR, self.kind, "", self.jobs, self.default_status, INTERVAL)
        sensors = [replace(deployed, settings=self.settings, subscription=self.subscription)]
        destinations = [Destination(f"sensor {SENSOR}", "arn:queue", InMemoryQueue())]
        why = Explainer(
            InMemoryDeployment(sensors),
            harness.sensors,
            harness.ticks,
            harness.runs,
            RUN_IDS,
            SelectedObjects(lambda sensor: self.selection, self.objects),
            self.health,
            Redriver(self.dead_letters, lambda: destinations),
            harness.clock,
            batches=harness.stores.batches,
        )
        return why.explain(SENSOR, Subject(**subject))

    def why_object(self, key: str = "in/a.csv") -> Explanation:
        """Return the explanation of an object."""
        return self.why(object=f"s3://{BUCKET}/{key}")
