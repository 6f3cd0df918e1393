"""The messages that components send each other through queues: how they are built, parsed and checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from treadle.definitions.errors import UnknownEventError
from treadle.definitions.results import MAX_REQUESTS
from treadle.engine.message_hops import hops_of
from treadle.model.backfills import MAX_PARTITIONS
from treadle.model.backfills import NAME as BACKFILL_NAME
from treadle.model.runs import Run

MAX_ATTEMPT = 10**9
"""The limit of a launch id's digits."""

MAX_NAME = 512
"""The maximum length of sensor names, jobs, run ids and tick ids, in characters."""

MAX_POSITIONS = 500
"""The maximum number of partitions in a message; a batch of status events has fewer."""

MAX_EVENTS = 200
"""The maximum number of status events in a message; no run has reached more at once."""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A request to start an attempt of a run.

    Attributes:
        run_id: the run's id.
        attempt: the attempt's number.
        job: the run's job.
        hops: how often LAUNCH has sent the message on to itself.
    """

    run_id: str
    attempt: int
    job: str
    hops: int = field(default=0, compare=False)

    @classmethod
    def of(cls, run: Run, hops: int = 0) -> "LaunchRequest":
        """Return the request to start a run's current attempt."""
        return cls(run.run_id, run.attempt, run.job, hops)

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        hops = {"hops": self.hops} if self.hops else {}
        return {"treadle": "launch", "run_id": self.run_id, "attempt": self.attempt, "job": self.job, **hops}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "LaunchRequest":
        """Parse a message.

        Raises:
            UnknownEventError: if it is malformed.
        """
        run_id, attempt, job = body.get("run_id"), body.get("attempt"), body.get("job")
        # True is an int in Python.
        is_number = type(attempt) is int and 0 < attempt <= MAX_ATTEMPT
        is_launch = body.get("treadle") == "launch" and is_number
        if not (is_launch and _is_name(run_id) and _is_name(job)):
            msg = (
                "The launch queue accepts {treadle: launch, run_id, attempt, job}, but received "
                f"{_shown(body)}: run_id and job must be strings of 1 to {MAX_NAME} characters, and "
                "attempt a whole number from 1."
            )
            raise UnknownEventError(msg)
        return cls(str(run_id), int(str(attempt)), str(job), hops_of(body))


@dataclass(frozen=True, slots=True)
class TickRequest:
    """A request to dispatch a whole tick."""

    sensor: str
    tick_id: str

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        return {"treadle": "dispatch", "sensor": self.sensor, "tick_id": self.tick_id}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "TickRequest":
        """Parse a message into a request for one chunk of a tick, or for the whole tick if it names no chunk.

        Raises:
            UnknownEventError: if it is malformed.
        """
        names = [body.get("sensor"), body.get("tick_id")]
        numbers = [body[name] for name in ("slice", "of") if name in body]
        if (
            body.get("treadle") != "dispatch"
            or not all(map(_is_name, names))
            or not all(type(number) is int and 0 <= number <= MAX_REQUESTS for number in numbers)
            or len(numbers) == 1
        ):
            form = "{treadle: dispatch, sensor, tick_id}, with slice and of for one chunk of the tick"
            msg = f"The dispatch queue accepts {form}, but received {_shown(body)}."
            raise UnknownEventError(msg)
        sensor, tick_id = map(str, names)
        return ChunkRequest(sensor, tick_id, *map(int, numbers)) if numbers else TickRequest(sensor, tick_id)


@dataclass(frozen=True, slots=True)
class ChunkRequest(TickRequest):
    """A request to dispatch one chunk of a tick.

    Attributes:
        index: the chunk's number, from 0.
        of: the tick's number of chunks.
    """

    index: int
    of: int

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        return {**TickRequest.to_json(self), "slice": self.index, "of": self.of}


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """A request to advance a backfill.

    Attributes:
        name: the backfill's name.
        positions: the partitions whose runs have ended; None to look at all that are in progress.
    """

    name: str
    positions: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        positions = {} if self.positions is None else {"positions": list(self.positions)}
        return {"treadle": "backfill", "backfill": self.name, **positions}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "BackfillRequest":
        """Parse a message.

        Raises:
            UnknownEventError: if it is malformed.
        """
        name, positions = body.get("backfill"), body.get("positions")
        is_list = isinstance(positions, list) and 0 < len(positions) <= MAX_POSITIONS
        if (
            not isinstance(name, str)
            or BACKFILL_NAME.fullmatch(name) is None
            or not (is_list or "positions" not in body)
            or not all(type(each) is int and 0 <= each < MAX_PARTITIONS for each in positions or ())
        ):
            form = "{treadle: backfill, backfill, positions}"
            msg = f"The dispatch queue accepts {form} for a backfill, but received {_shown(body)}."
            raise UnknownEventError(msg)
        return cls(name, tuple(positions) if positions is not None else None)


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A request to grant the free slots of a pool to the runs that wait for them.

    Attributes:
        pool: the pool's key.
    """

    pool: str

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        return {"treadle": "grant", "pool": self.pool}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "GrantRequest":
        """Parse a message.

        Raises:
            UnknownEventError: if it is malformed.
        """
        if not _is_name(body.get("pool")):
            form = "{treadle: grant, pool}"
            msg = f"The dispatch queue accepts {form} for a pool, but received {_shown(body)}."
            raise UnknownEventError(msg)
        return cls(str(body["pool"]))


def dispatch_request(body: Mapping[str, Any]) -> TickRequest | BackfillRequest | GrantRequest:
    """Parse a message of the dispatch queue.

    Raises:
        UnknownEventError: if it is malformed.
    """
    if body.get("treadle") == "grant":
        return GrantRequest.from_json(body)
    return (BackfillRequest if body.get("treadle") == "backfill" else TickRequest).from_json(body)


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A request to publish statuses of a run again.

    Attributes:
        run_id: the run's id.
        event_ids: the ids of the status events; None for all.
    """

    run_id: str
    event_ids: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        events = {} if self.event_ids is None else {"events": list(self.event_ids)}
        return {"treadle": "publish", "run_id": self.run_id, **events}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "PublishRequest":
        """Parse a message.

        Raises:
            UnknownEventError: if it is malformed.
        """
        run_id, event_ids = body.get("run_id"), body.get("events")
        is_list = isinstance(event_ids, list) and 0 < len(event_ids) <= MAX_EVENTS
        if (
            body.get("treadle") != "publish"
            or not isinstance(run_id, str)
            or not (is_list or "events" not in body)
            or not all(isinstance(each, str) for each in event_ids or ())
        ):
            msg = (
                "The publish queue accepts {treadle: publish, run_id, events}, but received the keys "
                f"{sorted(body)}."
            )
            raise UnknownEventError(msg)
        return cls(run_id, tuple(event_ids) if event_ids is not None else None)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME


def _shown(body: Mapping[str, Any]) -> str:
    """Return the fields of a message that identify it, truncated."""
    return ", ".join(f"{name}={body[name]!r:.40}" for name in sorted(body))[:300] or "an empty object"
