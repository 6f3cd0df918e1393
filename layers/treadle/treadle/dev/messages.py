"""The messages between `treadle dev` and a worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.definitions.webhook_verification import WebhookVerification

STORES = ("sensors", "ticks", "runs", "events", "partitions", "deliveries", "blobs", "batches")
"""The stores that an evaluator uses, by their names in `Stores`."""


@dataclass(frozen=True, slots=True)
class Load:
    """The first message to a worker: which function it is.

    Attributes:
        folder: with its app.py.
        shared: the folder of the modules that the project's functions share.
        environment: its environment.
        deployed_at: when `treadle dev` began, in milliseconds.
        secret: the secret that it shares with its sender, if it is a webhook sensor's.
    """

    folder: Path
    shared: Path
    environment: Mapping[str, str]
    deployed_at: int
    secret: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A function that has loaded.

    Attributes:
        name: its sensor.
        kind: the sensor's kind.
        description: the sensor's description.
        jobs: the jobs that the sensor may start.
        status: its default status.
        interval: the seconds between its ticks; None if it has none.
        takes_messages: whether events of the bus or of a bucket reach it.
        buckets: the buckets that it watches.
        hours: in which its schedule evaluates it; "" for at all times.
        verification: how it authenticates the sender of a request; None if it has no endpoint.
    """

    name: str
    kind: str
    description: str
    jobs: tuple[str, ...]
    status: str
    interval: int | None
    takes_messages: bool
    buckets: tuple[str, ...] = ()
    hours: str = ""
    verification: WebhookVerification | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A function that did not load, or an invocation that raised.

    Attributes:
        reason: the type and the message of the error.
        frames: the traceback, from the first frame of the author's code.
    """

    reason: str
    frames: str = ""

    def __str__(self) -> str:
        return f"{self.reason}\n{self.frames}".rstrip()


@dataclass(frozen=True, slots=True)
class Invoke:
    """A message to a worker that has loaded.

    Attributes:
        event: the event, as Lambda passes it.
        seconds: the function's timeout.
    """

    event: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Response:
    """What an invocation returned."""

    value: Any
