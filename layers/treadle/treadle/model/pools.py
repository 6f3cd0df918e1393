"""Concurrency pools: which runs hold their slots, which wait for one, and how a pool is limited."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

OF_JOB = "job:"
"""The prefix of the pool of one job, which no declared pool's name can have."""

OF_STARTS = "starts:"
"""The prefix of the key of a pool that limits starts per minute; the rest is the key of the pool, or of a job's."""

MINUTE_MS = 60_000
"""A slot of such a pool is free again this long after it was taken."""

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
class StartSlot:
    """A slot of a pool of starts per minute that a run's current attempt has taken.

    It is never returned: it is free again a minute later.

    Attributes:
        pool: the pool's key.
        number: from 1 to the limit.
        at: when it was taken, which is when the start was granted.
    """

    pool: str
    number: int
    at: int


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
    def turn(self) -> str:
        """The value's turn among the values of the pool's tag; those without one share the last turn."""
        found = _ORDER.match(self.order)
        return found["turn"] if found and found["turn"] else LAST_TURN

    @property
    def has_turn(self) -> bool:
        """True if it is granted in turn, not by its age alone."""
        return self.turn != LAST_TURN

    @property
    def priority(self) -> int:
        """The run's priority; 0 if the place was written by hand."""
        found = _ORDER.match(self.order)
        return MAX_PRIORITY - int(found["priority"]) if found else 0

    @property
    def age(self) -> str:
        """When it was requested, as text that sorts from the oldest request to the newest, whatever their priorities."""
        return _age_of(self.order)

    @property
    def since(self) -> int | None:
        """When the run began to wait; None if the place was written by hand."""
        found = _ORDER.match(self.order)
        return int(found["since"]) if found else None

    def after(self, turn: str) -> str:
        """Return the place after all of the same priority that have a turn."""
        return f"{self.order[:_PRIORITY]}{turn}0"

    def has_priority_of(self, other: "Waiter") -> bool:
        """Return whether both have the same priority."""
        return self.order[:_PRIORITY] == other.order[:_PRIORITY]


LAST_TURN = "~"
"""The turn of runs that wait at a place without one, from before their pool took turns."""

_PRIORITY = 8
"""The length of the part of a place that is the priority."""

_ORDER = re.compile(r"(?P<priority>[0-9]{7})/(?:(?P<turn>![0-9a-f]{11}|~)/)?(?P<since>[0-9]{15})/")


def turn_of(value: str) -> str:
    """Return the turn of a value: text that sorts before all places without a turn."""
    return f"!{hashlib.sha256(value.encode(errors='surrogatepass')).hexdigest()[:11]}"


def order_in_turn(order: str, turn: str) -> str:
    """Return the place in a queue that takes turns: the highest priority first, then by turn, then as before."""
    return f"{order[:_PRIORITY]}{turn}/{order[_PRIORITY:]}" if turn else order


def in_turn(waiters: Sequence[Waiter], last: str) -> list[Waiter]:
    """Return runs that wait for a pool in the order in which they are granted slots, if no other run comes.

    Args:
        waiters: the runs, in the order of their places.
        last: the turn that was granted last.
    """
    found: list[Waiter] = []
    for _, of_priority in groupby(waiters, key=lambda each: each.order[:_PRIORITY]):
        of_turn: dict[str, list[Waiter]] = {}
        for each in of_priority:
            of_turn.setdefault(each.turn, []).append(each)
        if set(of_turn) == {LAST_TURN}:
            found += of_turn[LAST_TURN]
            continue
        while of_turn:
            last = min((turn for turn in of_turn if turn > last), default=min(of_turn))
            found.append(of_turn[last].pop(0))
            if not of_turn[last]:
                del of_turn[last]
    return found


def order_of(priority: int, since: int, position: int, run_id: str) -> str:
    """Return a place in a queue: the highest priority first, then the longest wait, then the request's position."""
    return f"{MAX_PRIORITY - priority:07d}/{since:015d}/{position:06d}/{run_id}"


def _age_of(order: str) -> str:
    found = _ORDER.match(order)
    return order[found.start("since") :] if found else order.partition("/")[2]


def run_of_age(age: str) -> str:
    """Return the id of the run in an age; "" if the age is ""."""
    return age.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Holder:
    """A slot that is held.

    Attributes:
        number: as in `Slot`.
        launch_id: the attempt that holds it.
        taken_at: when it was taken, in a pool of starts per minute; None in others.
    """

    number: int
    launch_id: str
    taken_at: int | None = None

    def is_held(self, now: int) -> bool:
        """Return whether it is not free again: a slot of a pool of starts per minute is held for a minute."""
        return self.taken_at is None or self.taken_at > now - MINUTE_MS

    @property
    def run_id(self) -> str:
        """The run of the attempt."""
        return self.launch_id.rpartition("-")[0]

    @property
    def attempt(self) -> int:
        """The attempt's number; 0 if the item was written by hand."""
        number = self.launch_id.rpartition("-")[2]
        return int(number) if number.isdecimal() else 0


def start_times(holders: Collection[Holder], limit: int, now: int) -> list[int]:
    """Return when a pool of starts per minute allows the next starts that it does not allow yet, in order.

    Args:
        holders: its slots.
        limit: how many runs may start in any 60 seconds.
        now: the current time.
    """
    taken = sorted(each.taken_at for each in holders if each.taken_at is not None and each.is_held(now))
    # After a lowered limit, as many must be free as were taken beyond it.
    beyond = max(0, len(taken) - limit)
    return [at + MINUTE_MS for at in taken[beyond:]] if limit else []


@dataclass(frozen=True, slots=True)
class PoolState:
    """A declared pool as the engine applies it.

    Attributes:
        name: the pool's name, or `job:<name>` for the pool of one job; after `starts:` for their starts per minute.
        limit: how many runs may be in progress at a time, or start per minute, as declared.
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
        starts: the slots of pools of starts per minute that it takes, each with the id of the attempt.
        freed: the slots that it returns.
        passed: the slots that it passes from one attempt to the next, each with the ids of both.
        parked: the queue that it joins.
        unparked: the queue that it leaves.
        turn: the pool whose next turn follows that of this grant, and this turn; None in queues without turns.
    """

    taken: tuple[tuple[Slot, str], ...] = ()
    starts: tuple[tuple[StartSlot, str], ...] = ()
    freed: tuple[tuple[Slot, str], ...] = ()
    parked: PoolWait | None = None
    unparked: PoolWait | None = None
    turn: tuple[str, str] | None = None
    passed: tuple[tuple[Slot, str, str], ...] = ()

    def __bool__(self) -> bool:
        changed = self.taken or self.starts or self.freed or self.passed
        return bool(changed or self.parked or self.unparked)


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


def starts_key(key: str) -> str:
    """Return the key of the pool of starts per minute that belongs to a pool."""
    return f"{OF_STARTS}{key}"


def is_of_starts(key: str) -> bool:
    """Return whether a key, or a name, is that of a pool of starts per minute."""
    return key.startswith(OF_STARTS)


def declared_name(name: str) -> str:
    """Return the name under which a pool is declared: that of a pool of starts per minute, without its prefix."""
    return name.removeprefix(OF_STARTS)


def pool_name(key: str) -> str:
    """Return the name of the pool that has a key."""
    return key.partition("=")[0]


def pool_value(key: str) -> str | None:
    """Return the value in a key, hashed if it is long; None for the key of a whole pool."""
    _, separator, value = key.partition("=")
    return value if separator else None
