"""Moving a single stack to an engine and a project: what comes next, decided from what is there.

A move keeps no notes. Whatever it has done shows in the stacks, the registry and the states of sensors, so that the
command can be interrupted anywhere and run again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import DagsterRunStatus, InstigatorStatus
from treadle.model.moving import STORE_OUTPUTS, NewEngine, OldSensor, OldStack, Part
from treadle.model.run_queries import RunQuery
from treadle.model.sensors import SensorState
from treadle.ports.moving import MessageMover
from treadle.ports.runs import RunStore

UNDER_WAY = frozenset({DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING})
"""A run that is started has an execution; one that only waits is started on the job as the project has it."""

COUNTED = 100
"""So many runs of a job are counted at most."""

EARLIER_MS = 3_600_000
"""Events are sent again from so long before the sensors were stopped: what was evaluated is not evaluated again."""

TO_ENGINE = {
    "AlarmTopicArn": "AlarmTopicArn",
    "JoinedAccounts": "JoinedAccounts",
    "LogRetentionDays": "LogRetentionDays",
    "RunsPerHour": "RunsPerHour",
}
"""Parameters of the single template that are the engine's, and how they are called there."""

TO_PROJECT = {"FailureAlertEmailTo": "AlertEmail", "LogRetentionDays": "LogRetentionDays"}
"""The same for the project's."""

TAKEN_OVER = frozenset({"Namespace", "NewObjectsBucket", *STORE_OUTPUTS})
"""Parameters of the single template whose values are among the outputs, given or not."""


class Step(StrEnum):
    """What comes next of what the command does by itself. READY: the stack is off, and can be handed over."""

    STOP = "STOP"
    DRAIN = "DRAIN"
    READY = "READY"


@dataclass(frozen=True, slots=True)
class Values:
    """Values of parameters that a move carries over.

    Attributes:
        engine: for the engine.
        project: for the project.
        elsewhere: what was given to the single stack, and is written in a block or another template now.
    """

    engine: Mapping[str, str]
    project: Mapping[str, str]
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def values_of(old: OldStack) -> Values:
    """Choose what the new deployments are to be given.

    Args:
        old: the single stack.
    """
    engine = {"Namespace": old.namespace, "ExistingStores": old.stores}
    engine |= {new: old.values[name] for name, new in TO_ENGINE.items() if name in old.values}
    project = {"NewObjectsBucket": old.bucket}
    project |= {new: old.values[name] for name, new in TO_PROJECT.items() if name in old.values}
    known = {*TO_ENGINE, *TO_PROJECT, *TAKEN_OVER}
    elsewhere = {name: value for name, value in old.values.items() if name not in known}
    return Values(engine, project, elsewhere)


def check_left(old: OldStack, left: Collection[str]) -> None:
    """Refuse to leave behind what is not there.

    Args:
        old: the single stack.
        left: names of sensors and jobs that are not moved.

    Raises:
        CommandRefusedError: if there is no such sensor or job.
    """
    unknown = sorted(set(left) - old.sensors.keys() - old.jobs.keys())
    if unknown:
        msg = f"Stack {old.name} has no sensor or job {unknown[0]}, so it cannot be left behind. Correct --leave."
        raise CommandRefusedError(msg)


def missing_of(
    old: OldStack, sensors: Collection[str], jobs: Collection[str], left: Collection[str]
) -> list[str]:
    """List the sensors and jobs of the single stack that no project has registered, such as "sensor daily".

    Args:
        old: the single stack.
        sensors: the registered ones.
        jobs: the registered ones.
        left: names of sensors and jobs that are not moved.
    """
    return [
        *(f"sensor {name}" for name in sorted(old.sensors) if name not in {*sensors, *left}),
        *(f"job {name}" for name in sorted(old.jobs) if name not in {*jobs, *left}),
    ]


def next_step(old: OldStack, engine: NewEngine | None) -> Step:
    """Decide what comes next.

    Args:
        old: the single stack.
        engine: the engine; None if it is not deployed.

    Raises:
        CommandRefusedError: if the engine does not use the stack's namespace and stores.
    """
    if engine is not None:
        _check(old, engine)
    if old.is_on[Part.INTAKE]:
        return Step.STOP
    return Step.DRAIN if old.is_on[Part.REST] or not old.is_stable else Step.READY


def _check(old: OldStack, engine: NewEngine) -> None:
    for what, own, others in (
        ("Namespace", old.namespace, engine.namespace),
        ("ExistingStores", old.stores, engine.stores),
    ):
        if own != others:
            msg = (
                f"Engine stack {engine.stack} cannot take over stack {old.name}: its {what} is {others}, and must be "
                f"{own}. Deploy another engine with this value, and give its stack as --engine."
            )
            raise CommandRefusedError(msg)


def under_way(old: OldStack, runs: RunStore) -> dict[str, int]:
    """Count by job the runs under way on what is deleted with the stack; `COUNTED` at most.

    Args:
        old: the single stack.
        runs: keeps its runs.

    Raises:
        StoreError: if the store did not answer.
    """
    counts = {
        job: len(runs.find(RunQuery(job=job, statuses=UNDER_WAY, limit=COUNTED)))
        for job in sorted(old.own_jobs)
    }
    return {job: count for job, count in counts.items() if count}


def is_stopped_by_default(sensor: OldSensor, state: SensorState) -> bool:
    """Return whether a sensor is stopped by its default alone: the project's default may be another one.

    Args:
        sensor: as the single stack has it.
        state: as it is stored.
    """
    return state.status is InstigatorStatus.DECLARED_IN_CODE and not state.is_running(sensor.default_status)


def replayed_from(old: OldStack, state: SensorState) -> int:
    """Choose the time from which on a sensor is sent again what has become of runs and assets, in milliseconds.

    While there was an engine and no project, what the engine published reached no sensor.

    Args:
        old: the single stack, stopped.
        state: the sensor's.
    """
    begin = old.stopped_at - EARLIER_MS
    return begin if state.started_at is None else max(begin, min(state.started_at, old.stopped_at))


@dataclass(frozen=True, slots=True)
class QueuePair:
    """A queue of the single stack, and the one that takes its messages.

    Attributes:
        taker: what takes them, such as "launch" or "sensor daily", as dead letters name it.
        source: the URL of the single stack's.
        target: that of the new one.
    """

    taker: str
    source: str
    target: str


def pairs_of(old: OldStack, engine: NewEngine, queues: Mapping[str, str]) -> list[QueuePair]:
    """Match the queues: which takes the messages of which; those of sensors that have no queue any more are dropped.

    Args:
        old: the single stack.
        engine: the engine.
        queues: by registered sensor, the URL of its queue, if it has one.
    """
    own = [QueuePair(name.lower(), url, engine.queues[name]) for name, url in sorted(old.queues.items())]
    return [
        *own,
        *(
            QueuePair(f"sensor {name}", sensor.queue, queues[name])
            for name, sensor in sorted(old.sensors.items())
            if sensor.queue and queues.get(name)
        ),
    ]


def awaited(old: OldStack, runs: RunStore, messages: MessageMover) -> list[str]:
    """List what the rest of a stopped stack still has to do; nothing if it can be switched off.

    A launch message may be for a job that is deleted with the stack, so it is launched there. All other messages are
    taken over.

    Args:
        old: the single stack.
        runs: keeps its runs.
        messages: counts them.

    Raises:
        StoreError: if a store or a queue did not answer.
    """
    waiting = [
        f"runs of {job}, which is deleted with the stack ({count})"
        for job, count in under_way(old, runs).items()
    ]
    launches = messages.count(old.queues["Launch"])
    return [*waiting, f"messages in the launch queue ({launches})"] if launches else waiting
