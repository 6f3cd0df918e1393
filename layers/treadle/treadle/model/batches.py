"""Batches: the items that wait for one, what a committed one contains, and the state of an open one."""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from treadle.definitions.bounds import MAX_REASON, byte_size, fit, unicode_text
from treadle.definitions.errors import ItemTooLargeError
from treadle.definitions.runs import from_millis
from treadle.model.ticks import Tick

MOVED_MS = 5_000
"""With `quiet`, arrivals move the time at which a batch is due this often at most."""

SHARDS = "0123456789abcdef"
"""Items are spread over as many partitions, by the first digit of their keys."""

MAX_CONTENT = 300_000
"""The most bytes of an item's content, compressed, and of its identity; an item of the table has 400 KB."""

_TIME_DIGITS = 15


def digest_of(text: str) -> str:
    """Return the SHA-256 digest of a text in storable form, in hexadecimal."""
    return hashlib.sha256(unicode_text(text).encode()).hexdigest()


def by_key(by: str) -> str:
    """Return the key of the items with a value of `Batch.by`."""
    return digest_of(by)[:32]


@dataclass(frozen=True)
class BatchItem:
    """An item that is accepted.

    Attributes:
        identity: what identifies it.
        by: only items with the same value are in one batch.
        accepted_at: when it was accepted.
        size: what it adds to a batch's size.
        content: the item, as JSON.
    """

    identity: str
    by: str
    accepted_at: int
    size: int
    content: str

    @cached_property
    def key(self) -> str:
        """The digest of its identity."""
        return digest_of(self.identity)

    @property
    def member(self) -> "Member":
        """What a manifest names it by."""
        return Member(self.accepted_at, self.key)

    def compressed(self, sensor: str) -> bytes:
        """Return its content, compressed.

        Raises:
            ItemTooLargeError: if it is too large to wait for a batch of the sensor.
        """
        content = zlib.compress(self.content.encode())
        if len(content) + byte_size(unicode_text(self.identity)) > MAX_CONTENT:
            msg = (
                f"An item of sensor {sensor} cannot wait for a batch: it has {len(content):,} bytes, compressed, and the "
                f"most are {MAX_CONTENT:,}. Send a reference to its content instead."
            )
            raise ItemTooLargeError(msg)
        return content


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """An item as a manifest names it; members are ordered by the time of acceptance.

    Attributes:
        accepted_at: when it was accepted.
        key: the digest of its identity.
    """

    accepted_at: int
    key: str

    @property
    def order(self) -> str:
        """The member as text that sorts by time."""
        return f"{self.accepted_at:0{_TIME_DIGITS}d}-{self.key}"

    @classmethod
    def of(cls, order: str) -> "Member":
        """Parse the text.

        Raises:
            ValueError: if it is not such a text.
        """
        at, _, key = order.partition("-")
        return cls(int(at), key)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What is known of an item that was accepted at any time.

    Attributes:
        key: the digest of its identity.
        by: the value of `Batch.by` at its first acceptance, which stays.
        accepted_at: when it was accepted first.
        tick_id: the tick of its batch, once it is marked; None while it waits, or its batch is not marked yet.
        set_aside: True if it was set aside by that tick.
    """

    key: str
    by: str
    accepted_at: int
    tick_id: str | None = None
    set_aside: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a committed batch contains.

    Attributes:
        sensor: the sensor's name.
        by: the value of `Batch.by`.
        tick_id: the tick that evaluated it.
        members: its items, in the order of their acceptance.
        set_aside: True if it is one item, which was set aside.
    """

    sensor: str
    by: str
    tick_id: str
    members: tuple[Member, ...]
    set_aside: bool = False


def batch_run_key(members: Iterable[Member]) -> str:
    """Return the default run key of a batch: the digest of what its manifest names."""
    return f"batch-{digest_of(' '.join(each.key for each in sorted(members)))}"


@dataclass(frozen=True, slots=True)
class BatchFailures:
    """The failures of an open batch, and what they lead to.

    Attributes:
        count: how often the function has failed for it in a row.
        retry_at: it is not evaluated before.
        take: how many items are evaluated at once, once it is halved; 0 before that.
        last: the last item of the batch that failed, once it is halved.
        may_set_aside: True if an item that fails alone is set aside: nothing was since the function succeeded last, or
            since the batch was halved.
        reason: why the function failed last.
    """

    count: int = 0
    retry_at: int = 0
    take: int = 0
    last: Member | None = None
    may_set_aside: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", fit(self.reason, MAX_REASON))


NO_FAILURES = BatchFailures()


@dataclass(frozen=True, slots=True)
class BatchState:
    """The state of the batches of a sensor with one value of `Batch.by`.

    Attributes:
        sensor: the sensor's name.
        by: the value.
        epoch: how often a closer has taken the lease.
        owner: the token of the closer that has the lease; None if nobody has it.
        expires_at: when the lease expires.
        due: when somebody must look whether a batch is to be closed; None if no item waits.
        first_at: when the first item was accepted that may still wait.
        last_at: when the last item was accepted, to a few seconds.
        closing: the epoch of the lease since which nobody has accepted an item; None if somebody has.
        unmarked: the tick of the last batch, as long as its items are not marked.
        failures: the failures of the function since it succeeded last.
    """

    sensor: str
    by: str
    epoch: int = 0
    owner: str | None = None
    expires_at: int = 0
    due: int | None = None
    first_at: int = 0
    last_at: int = 0
    closing: int | None = None
    unmarked: str | None = None
    failures: BatchFailures = NO_FAILURES

    @property
    def closes_at(self) -> int | None:
        """When somebody looks whether a batch is to be closed, unless it is full before; None if no item waits."""
        return None if self.due is None else max(self.due, self.failures.retry_at)

    @property
    def has_died(self) -> bool:
        """True if the closer that had the lease ended while it evaluated a batch, and has recorded nothing."""
        return self.owner is not None and self.unmarked is None

    def is_held(self, now: int) -> bool:
        """Return whether a closer has the lease."""
        return self.owner is not None and self.expires_at >= now


@dataclass(frozen=True, slots=True)
class WaitingItems:
    """How many items wait for a batch.

    Attributes:
        items: how many were counted.
        bytes: their size.
        oldest_at: when the oldest of them was accepted; None if none waits.
        is_more: True if more wait than were counted.
    """

    items: int
    bytes: int
    oldest_at: int | None
    is_more: bool


@dataclass(frozen=True, slots=True)
class DueTimes:
    """When an open batch is due, and what that follows from; see `BatchState`."""

    due: int
    first_at: int
    last_at: int


def opened(
    state: BatchState | None, now: int, within: int, quiet: int | None, *, at_once: bool
) -> DueTimes | None:
    """Return what to write because an item was accepted; None if somebody will look in time without that.

    A closer removes the due time only as long as its epoch is in `closing`, so that is removed by whoever has accepted
    an item since.

    Args:
        state: the state, read strongly after the item was accepted; None if there is none.
        now: the current time.
        within: the longest time that an item waits, in milliseconds.
        quiet: the time without arrivals that closes a batch, in milliseconds.
        at_once: True if the batch may be full, so that somebody is to look now.
    """
    wait = 0 if at_once else min(within, quiet or within)
    if state is None or state.due is None:
        return DueTimes(now + wait, now, now)
    if state.closing is not None:
        return DueTimes(min(state.due, now + wait), now, now)
    if at_once and state.due > now:
        return DueTimes(now, state.first_at, now)
    if quiet is not None and state.failures == NO_FAILURES and now - state.last_at >= MOVED_MS:
        return DueTimes(min(state.first_at + within, now + quiet), state.first_at, now)
    return None


@dataclass(frozen=True, slots=True)
class BatchLease:
    """A closer's lease on the batches of a sensor with one value of `Batch.by`.

    Attributes:
        sensor: the sensor's name.
        by: the value.
        owner: the closer's token.
        epoch: the lease's epoch.
        before: the state before it.
    """

    sensor: str
    by: str
    owner: str
    epoch: int
    before: BatchState

    @property
    def key(self) -> str:
        """The key of the value of `Batch.by`."""
        return by_key(self.by)


@dataclass(frozen=True, slots=True)
class BatchCommit:
    """What a closer commits in one transaction.

    Attributes:
        tick: the tick.
        failures: the failures of the function since it succeeded last.
        manifest: what it contains; None for a failure, after which the items still wait.
    """

    tick: Tick
    failures: BatchFailures
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class DueBatch:
    """An open batch that is due.

    Attributes:
        sensor: the sensor's name.
        key: the key of its value of `Batch.by`.
        due: since when.
    """

    sensor: str
    key: str
    due: int


def waiting_since(entry: LedgerEntry) -> str:
    """Return since when an item waits, for operators."""
    return from_millis(entry.accepted_at).isoformat(timespec="seconds")
