"""A deployment of one stack, from before engines and projects, and the engine that it moves to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from treadle.definitions.status import DefaultSensorStatus

ENGINE_QUEUES = ("Dispatch", "Launch", "Record", "Publish")
"""The queues of an engine's functions: called so in both kinds of deployment, with Queue or QueueUrl behind."""


STORE_OUTPUTS = (
    "SensorsTableName",
    "TicksTableName",
    "TicksTableStreamArn",
    "RunsTableName",
    "RunsTableStreamArn",
    "EventsTableName",
    "OutcomesBucketName",
)
"""Outputs of a single stack, which are parameters of its template, too; in the order of the engine's ExistingStores."""


class Part(StrEnum):
    """A part of a stack that is disabled at a time.

    INTAKE requests runs: sensors, DISPATCH and RECONCILE. REST is what unfinished runs need: LAUNCH, RECORD and PUBLISH.
    """

    INTAKE = "INTAKE"
    REST = "REST"


@dataclass(frozen=True, slots=True)
class OldSensor:
    """A sensor of a single stack.

    Attributes:
        name: the sensor's.
        kind: such as "s3".
        default_status: its status unless an operator has started or stopped it.
        queue: the URL of its queue; "" if it has none.
        function: the name of its function.
    """

    name: str
    kind: str
    default_status: DefaultSensorStatus
    queue: str = ""
    function: str = ""


@dataclass(frozen=True, slots=True)
class OldStack:
    """A single stack, as it is found.

    Attributes:
        name: the stack's.
        namespace: of run ids.
        stores: its tables and bucket, as an engine takes them in ExistingStores.
        bucket: that of the sensor new_objects.
        bus: the name of its event bus.
        sensors: by name.
        jobs: by name, what each launches.
        own_jobs: those whose target is a resource of the stack, and deleted with it.
        queues: by the names in `ENGINE_QUEUES`, their URLs.
        dead_letters: the URL of its dead-letter queue.
        values: of its parameters that differ from the template's defaults.
        is_on: by part, whether anything of it is on.
        is_stable: whether everything that was switched is in its new state.
        stopped_at: since when its sensors are off, in milliseconds; 0 if they are not.
    """

    name: str
    namespace: str
    stores: str
    bucket: str
    bus: str
    sensors: Mapping[str, OldSensor]
    jobs: Mapping[str, str]
    own_jobs: frozenset[str]
    queues: Mapping[str, str]
    dead_letters: str
    values: Mapping[str, str] = field(default_factory=dict)
    is_on: Mapping[Part, bool] = field(default_factory=dict)
    is_stable: bool = True
    stopped_at: int = 0


@dataclass(frozen=True, slots=True)
class NewEngine:
    """The engine that takes a single stack's place.

    Attributes:
        stack: its stack.
        name: the engine's.
        namespace: of run ids.
        stores: its output ExistingStores.
        bus: the name of its event bus.
        queues: by the names in `ENGINE_QUEUES`, their URLs.
    """

    stack: str
    name: str
    namespace: str
    stores: str
    bus: str
    queues: Mapping[str, str]
