"""Concurrency pools: which runs hold their slots, which wait for one, and how a pool is limited."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

OF_JOB = "job:"
"""The prefix of the pool of one job, which no declared pool's name can have."""

MAX_LIMIT = 1_000
"""The maximum limit: each look for a free slot reads all slots of its pool."""

MAX_POOLS = 20
"""The maximum number of pools of a run: its slots are taken in one transaction."""

MAX_PRIORITY = 1_000_000

MAX_COUNTED = 1_000
"""The maximum number of runs in a queue that are counted: more only show that they are many."""

BEYOND = 0
"""The number of a slot that no limit counted: of a run that was under way before it was in the pool."""


class Overlap(StrEnum):
    """What becomes of a run of a job that already has as many runs in progress as its limit."""

    QUEUE = "QUEUE"
    """It waits until one of them has ended."""

    SKIP = "SKIP"
    """It ends as CANCELED."""

    LATEST = "LATEST"
    """It waits, and the run that waited before it ends as CANCELED."""

    CANCEL = "CANCEL"
    """It waits, the run that waited before it ends as CANCELED, and one that is in progress is canceled."""

    @property
    def keeps_latest(self) -> bool:
        """True if at most one run waits, the one that was requested last."""
        return self in {Overlap.LATEST, Overlap.CANCEL}


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of a pool that an attempt of a run holds.

    Attributes:
        pool: the pool's key.
        number: from 1 to the limit; `BEYOND` for a run that was under way before it was in the pool.
        attempt: the number of the attempt that holds it.
        granted_at: when it was granted; 0 if it was not, as it is beyond the limit.
    """

    pool: str
    number: int
    attempt: int
    granted_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class PoolWait:
    """The wait of a run's current attempt for a slot.

    Attributes:
        pool: the key of the pool in whose queue it is: the first one that was full.
        order: its place in that queue, as text that sorts in the order of starts.
        since: when it began to wait.
    """

    pool: str
    order: str
    since: int

    @property
    def age(self) -> str:
        """When it was requested, as text that sorts from the oldest request to the newest."""
        return _age_of(self.order)


@dataclass(frozen=True, slots=True)
class Waiter:
    """An entry in a pool's queue.

    Attributes:
        run_id: the run that waits.
        order: its place, which is unique.
    """

    run_id: str
    order: str

    @property
    def priority(self) -> int:
        """The run's priority; 0 if the place was written by hand."""
        found = _ORDER.match(self.order)
        return MAX_PRIORITY - int(found[1]) if found else 0

    @property
    def age(self) -> str:
        """When it was requested, as text that sorts from the oldest request to the newest, whatever their priorities."""
        return _age_of(self.order)

    @property
    def since(self) -> int | None:
        """When the run began to wait; None if the place was written by hand."""
        found = _ORDER.match(self.order)
        return int(found[2]) if found else None


_ORDER = re.compile(r"([0-9]{7})/([0-9]{15})/")


def order_of(priority: int, since: int, position: int, run_id: str) -> str:
    """Return a place in a queue: the highest priority first, then the longest wait, then the request's position."""
    return f"{MAX_PRIORITY - priority:07d}/{since:015d}/{position:06d}/{run_id}"


def _age_of(order: str) -> str:
    return order.partition("/")[2]


def run_of_age(age: str) -> str:
    """Return the id of the run in an age; "" if the age is ""."""
    return age.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Holder:
    """A slot that is held.

    Attributes:
        number: as in `Slot`.
        launch_id: the attempt that holds it.
    """

    number: int
    launch_id: str

    @property
    def run_id(self) -> str:
        """The run of the attempt."""
        return self.launch_id.rpartition("-")[0]

    @property
    def attempt(self) -> int:
        """The attempt's number; 0 if the item was written by hand."""
        number = self.launch_id.rpartition("-")[2]
        return int(number) if number.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class PoolState:
    """A declared pool as the engine applies it.

    Attributes:
        name: the pool's name, or `job:<name>` for the pool of one job.
        limit: how many runs may be in progress at a time, as declared.
        limits: the same by value of the pool's tag, for a pool that has a limit per value.
        override: an operator's limit, instead of the declared ones; None for none.
        override_by: the operator.
        override_at: when it was set.
        closed_until: no run starts before this time, because jobs have joined the pool; then RECONCILE enters their
            runs in progress, and opens it. None if it is open.
        overlap: of the pool of one job: what becomes of a run for which no slot is free.
    """

    name: str
    limit: int
    limits: Mapping[str, int] = field(default_factory=dict)
    override: int | None = None
    closed_until: int | None = None
    override_by: str | None = None
    override_at: int | None = None
    overlap: Overlap = Overlap.QUEUE

    def limit_of(self, key: str) -> int:
        """Return the limit of the pool with this key, which may be of one value."""
        if self.override is not None:
            return self.override
        return self.declared_limit_of(key)

    def declared_limit_of(self, key: str) -> int:
        """Return the same limit as declared."""
        value = pool_value(key)
        return self.limit if value is None else self.limits.get(value, self.limit)


@dataclass(frozen=True, slots=True)
class PoolChanges:
    """What a write of a run record changes in pools, in the same transaction.

    Attributes:
        taken: the slots that the run takes, each with the id of the attempt.
        freed: the slots that it returns.
        passed: the slots that it passes from one attempt to the next, each with the ids of both.
        parked: the queue that it joins.
        unparked: the queue that it leaves.
    """

    taken: tuple[tuple[Slot, str], ...] = ()
    freed: tuple[tuple[Slot, str], ...] = ()
    parked: PoolWait | None = None
    unparked: PoolWait | None = None
    passed: tuple[tuple[Slot, str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.taken or self.freed or self.passed or self.parked or self.unparked)


_MAX_VALUE = 256
"""The maximum number of bytes of a tag's value in a key; the hash key of an item has at most 2,048."""


def pool_of_job(job: str) -> str:
    """Return the key of the pool of one job."""
    return f"{OF_JOB}{job}"


def pool_key(name: str, value: str | None = None) -> str:
    """Return the key of a pool, or of the part of it for one value of its tag; a long value is hashed."""
    if value is None:
        return name
    raw = value.encode(errors="surrogatepass")
    return f"{name}={value if len(raw) <= _MAX_VALUE else hashlib.sha256(raw).hexdigest()}"


def pool_name(key: str) -> str:
    """Return the name of the pool that has a key."""
    return key.partition("=")[0]


def pool_value(key: str) -> str | None:
    """Return the value in a key, hashed if it is long; None for the key of a whole pool."""
    _, separator, value = key.partition("=")
    return value if separator else None
