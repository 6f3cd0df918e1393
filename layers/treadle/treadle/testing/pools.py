"""Concurrency pools in memory: the same conditions, verified by the same contract tests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.runs import CONCURRENCY_KEY_TAG
from treadle.model.pools import BEYOND, OF_JOB, Holder, Overlap, PoolChanges, PoolState, Waiter, pool_of_job
from treadle.model.registry import PoolEntry, pools_of
from treadle.ports.pools import SlotTakenError
from treadle.testing.tables import InMemoryTables


@dataclass(frozen=True)
class Pool:
    """A concurrency pool of a `TreadleInstance`, as a project's registry entry declares it.

    Attributes:
        name: the pool's name; runs whose tag `dagster/concurrency_key` has it are in the pool. `job:<name>` is the pool
            of one job.
        limit: how many runs may be in progress at a time.
        jobs: the names of jobs whose runs are in it.
        all_jobs: True if the runs of all jobs are in it.
        tag: runs with this tag are in it; "" for none.
        value: only those with this value of the tag; None for any.
        per_value: True if each value of the tag has the limit by itself.
        limits: the limits of some values, instead of `limit`.
        overlap: of the pool of one job: what becomes of a run for which no slot is free, such as "LATEST".

    Raises:
        DagsterInvalidDefinitionError: if it has an overlap and is not the pool of one job.
    """

    name: str
    limit: int
    jobs: Sequence[str] = ()
    all_jobs: bool = False
    tag: str = ""
    value: str | None = None
    per_value: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    overlap: Overlap | str = Overlap.QUEUE

    def __post_init__(self) -> None:
        if self.overlap not in set(Overlap):
            msg = f"Pool {self.name} has the overlap {self.overlap!r}. Use one of: {', '.join(Overlap)}."
            raise DagsterInvalidDefinitionError(msg)
        if self.overlap != Overlap.QUEUE and not self.name.startswith(OF_JOB):
            msg = (
                f"Pool {self.name} has the overlap {self.overlap}, which only the pool of one job can have. Name it "
                f"{OF_JOB}<name of the job>."
            )
            raise DagsterInvalidDefinitionError(msg)

    @property
    def state(self) -> PoolState:
        """The pool as the engine applies it."""
        return PoolState(self.name, self.limit, self.limits, overlap=Overlap(self.overlap))


class DeclaredPools:
    """Decides which pools a run is in, without a registry.

    Args:
        pools: the pools, by name.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    @property
    def entries(self) -> dict[str, PoolEntry]:
        """Return the pools as registry entries."""
        return {name: _entry(each) for name, each in self._pools.items()}

    def of(self, job: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return the keys of the pools of a run with these tags, in order."""
        named = {each.name for each in self._pools.values() if job in each.jobs} | {pool_of_job(job)}
        if tags.get(CONCURRENCY_KEY_TAG, "").startswith(OF_JOB):
            tags = {**tags, CONCURRENCY_KEY_TAG: ""}  # The pool of one job has only the runs of that job.
        return pools_of(self.entries, named, tags)


def _entry(pool: Pool) -> PoolEntry:
    return PoolEntry(
        pool.name, "", pool.limit, pool.all_jobs, pool.tag, pool.value, pool.per_value, pool.limits
    )


class InMemoryPoolStore:
    """A `PoolStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def states(self) -> dict[str, PoolState]:
        """Return the declared pools."""
        return dict(self._tables.pools)

    def state(self, name: str) -> PoolState | None:
        """Return a declared pool."""
        return self._tables.pools.get(name)

    def declare(self, declared: Collection[PoolState], removed: Collection[str]) -> None:
        """Store and remove pools."""
        with self._tables.lock:
            for each in declared:
                known = self._tables.pools.get(each.name, each)
                closed = known.closed_until if each.closed_until is None else each.closed_until
                self._tables.pools[each.name] = replace(
                    known, limit=each.limit, limits=each.limits, closed_until=closed, overlap=each.overlap
                )
            for name in removed:
                self._tables.pools.pop(name, None)

    def set_override(self, name: str, limit: int | None, by: str, at: int) -> PoolState | None:
        """Set or remove an operator's limit."""
        operator, time = (by, at) if limit is not None else (None, None)
        with self._tables.lock:
            if name in self._tables.pools:
                self._tables.pools[name] = replace(
                    self._tables.pools[name], override=limit, override_by=operator, override_at=time
                )
            return self._tables.pools.get(name)

    def open(self, state: PoolState) -> bool:
        """Open a pool, if it is closed until exactly this time."""
        with self._tables.lock:
            current = self._tables.pools.get(state.name)
            if current is None or current.closed_until != state.closed_until:
                return False
            self._tables.pools[state.name] = replace(current, closed_until=None)
            return True

    def holders(self, key: str) -> list[Holder]:
        """Return the slots that are held."""
        with self._tables.lock:
            return sorted(self._tables.slots.get(key, ()), key=lambda each: (each.number, each.launch_id))

    def waiters(self, key: str, limit: int) -> list[Waiter]:
        """Return the first runs in the queue."""
        with self._tables.lock:
            waiting = sorted(self._tables.waiters.get(key, {}).items())[:limit]
        return [Waiter(run_id, order) for order, run_id in waiting]

    def latest(self, key: str) -> str:
        """Return the age of the newest run that was kept or started."""
        return self._tables.latest.get(key, "")

    def set_latest(self, key: str, age: str, before: str) -> bool:
        """Store it, if it is still the one from before."""
        with self._tables.lock:
            if self.latest(key) != before:
                return False
            self._tables.latest[key] = age
            return True

    def note_queue(self, key: str, token: str) -> None:
        """Note a queue."""
        self._tables.queues[key] = token

    def queues(self) -> Mapping[str, str]:
        """Return the noted queues."""
        return dict(self._tables.queues)

    def forget_queue(self, key: str, token: str) -> None:
        """Remove a note, if it has this token."""
        with self._tables.lock:
            if self._tables.queues.get(key) == token:
                del self._tables.queues[key]


def apply_pool_changes(tables: InMemoryTables, changed: PoolChanges, run_id: str) -> None:
    """Apply what a write of a run changes in pools, or raise and change nothing; `tables.lock` is held.

    Raises:
        SlotTakenError: if another run holds one of the slots.
    """
    for slot, _ in changed.taken:
        if slot.number != BEYOND and any(
            each.number == slot.number for each in tables.slots.get(slot.pool, ())
        ):
            msg = f"A slot that run {run_id} was to take is held by another run."
            raise SlotTakenError(msg)
    for slot, launch_id in changed.taken:
        tables.slots.setdefault(slot.pool, set()).add(Holder(slot.number, launch_id))
    for slot, launch_id in changed.freed:
        tables.slots.get(slot.pool, set()).discard(Holder(slot.number, launch_id))
    for slot, before, after in changed.passed:
        held = tables.slots.get(slot.pool, set())
        if Holder(slot.number, before) in held:
            held.remove(Holder(slot.number, before))
            held.add(Holder(slot.number, after))
    if wait := changed.unparked:
        tables.waiters.get(wait.pool, {}).pop(wait.order, None)
    if wait := changed.parked:
        tables.waiters.setdefault(wait.pool, {})[wait.order] = run_id
