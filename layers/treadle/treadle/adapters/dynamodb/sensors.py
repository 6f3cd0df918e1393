"""Sensor state in DynamoDB: lease, commit, and cursor."""

import hashlib
from collections.abc import Collection
from dataclasses import asdict, replace
from uuid import uuid4

from pynamodb.expressions.update import Action

from treadle.adapters.dynamodb.database import ConditionFailed, Database, Item, Table, Write, changes
from treadle.adapters.dynamodb.models import SensorModel as Model
from treadle.adapters.dynamodb.models import TickModel, named, whole
from treadle.adapters.dynamodb.outcomes import Outcomes
from treadle.adapters.dynamodb.ticks import to_item
from treadle.definitions.clocks import MAX_SKEW_MS
from treadle.definitions.errors import LeaseLostError, StoreThrottledError, UnreadableRecordError
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.model.records import each_readable, integer, reader, text, text_or_none
from treadle.model.sensors import (
    KEPT_EDITS,
    Completion,
    Edit,
    Lease,
    LeaseRequest,
    RecordedEdit,
    Refused,
    SensorState,
    SkipStreak,
    recorded,
    unreadable_state,
)

INLINE_CURSOR_BYTES = 400
"""A longer cursor has its own item, so that acquiring and releasing the lease does not rewrite it.

With one of this length, a state still has less than 1 KB: one write unit. A read of the cursor costs a tenth of what
a second unit of both writes would.
"""

_NEVER = 0
"""The scheduled time before a sensor's first lease."""

_NO_PRIOR: tuple[tuple[object, None], ...] = (
    (Model.prior_owner, None),
    (Model.prior_expires, None),
    (Model.prior_nominal, None),
)

_TRIES = 20


class DynamoSensorStore:
    """A `SensorStore` in two tables.

    Args:
        database: the client.
        table: the sensors table.
        ticks: the ticks table, which a commit writes too.
        outcomes: packs the requests of ticks.
    """

    def __init__(self, database: Database, table: Table, ticks: Table, outcomes: Outcomes) -> None:
        self._database = database
        self._table = table
        self._ticks = ticks
        self._outcomes = outcomes

    def get(self, sensor: str) -> SensorState:
        """Read a sensor's state strongly."""
        item = self._database.get(self._table, sensor)
        return SensorState(sensor) if item is None else _state(item)

    def get_many(self, sensors: Collection[str]) -> dict[str, SensorState]:
        """Read states by name, strongly."""
        items = self._database.batch_get(self._table, [(sensor,) for sensor in sensors], strongly=True)
        stored = {state.sensor: state for state in map(_listed, items)}
        return {sensor: stored.get(sensor, SensorState(sensor)) for sensor in sensors}

    def cursor(self, state: SensorState) -> str | None:
        """Return the cursor, with a strongly consistent read if it has its own item."""
        if not state.cursor_apart:
            return state.cursor
        item = self._database.get(self._table, _cursor_key(state.sensor))
        try:
            # Treating a lost cursor as none would make the sensor start over.
            return _read_cursor(item or {})
        except UnreadableRecordError as error:
            name = f"the cursor of sensor {state.sensor}"
            remedy = f"Set it again: treadle sensor cursor set {state.sensor} VALUE, or cursor clear."
            raise UnreadableRecordError(name, error.reason, remedy=remedy) from error

    def acquire(self, request: LeaseRequest) -> Lease | Refused:
        """Acquire the lease in one conditional write that returns the previous state."""
        running = Model.status == InstigatorStatus.RUNNING.value
        if request.default_status is DefaultSensorStatus.RUNNING:
            running |= Model.status.does_not_exist()
        step = 0 if request.at_once else max(request.interval, 1)
        due = Model.last_nominal.does_not_exist() | (Model.last_nominal <= request.scheduled_for - step)
        due |= Model.last_nominal > request.now + MAX_SKEW_MS
        # A request that arrives after its own tick has completed must not acquire the lease again.
        current = Model.last_completion.does_not_exist() | (Model.last_completion <= request.now)
        rested = Model.last_completion.does_not_exist() | (
            Model.last_completion <= request.now - request.interval // 2
        )
        rested |= Model.last_completion > request.now + MAX_SKEW_MS
        ready = Model.resume_at.does_not_exist() | (Model.resume_at <= request.now)
        free = Model.lease_owner.does_not_exist() | (Model.lease_expires < request.now)
        actions = [
            # Values before this update: DynamoDB evaluates all operands of an update first.
            Model.prior_owner.set(Model.lease_owner | ""),
            Model.prior_expires.set(Model.lease_expires | 0),
            Model.prior_nominal.set(Model.last_nominal | _NEVER),
            Model.lease_owner.set(request.owner),
            Model.lease_expires.set(request.expires_at),
            Model.epoch.add(1),
            Model.last_nominal.set(request.scheduled_for),
            Model.started_at.set(Model.started_at | request.now),
            Model.interval.set(request.interval),
        ]
        if request.project:
            running &= Model.project.does_not_exist() | (Model.project == request.project)
            actions.append(Model.project.set(request.project))
        answer = self._database.update(
            self._table,
            (request.sensor,),
            actions,
            running & free & due & (current if request.at_once else rested & ready),
            returning="ALL_OLD",
        )
        if isinstance(answer, ConditionFailed):
            return _refusal(request, answer)
        try:
            before = _state(answer) if answer else SensorState(request.sensor)
        except UnreadableRecordError:
            # The holder is alive: after a repair of the record, the next tick need not wait for this lease.
            self._give_back(request.sensor, request.owner)
            raise
        return Lease(request.sensor, request.owner, before.epoch + 1, request.scheduled_for, before)

    def claim(self, sensor: str, project: str) -> SensorState:
        """Take a state that belongs to no project, in one conditional write that answers with what stands then."""
        answer = self._database.update(
            self._table,
            (sensor,),
            [Model.project.set(project)],
            Model.project.does_not_exist(),
            returning="ALL_NEW",
        )
        current = answer.current if isinstance(answer, ConditionFailed) else answer
        return _state(current) if current else self.get(sensor)

    def commit(self, lease: Lease, completion: Completion) -> None:
        """Update the state and put cursor and tick records, in one write or one transaction."""
        ours = (Model.lease_owner == lease.owner) & (Model.epoch == lease.epoch)
        apart = completion.cursor_changed and _is_long(completion.cursor)
        update = Write(self._table, (lease.sensor,), actions=_actions(completion), condition=ours)
        puts = [self._tick_put(to_item(tick, self._outcomes)) for tick in completion.ticks]
        if apart:
            puts.append(self._cursor_put(lease.sensor, completion.cursor or ""))
        if puts:
            failed = self._database.transact([*puts, update], _token(lease, completion))
        else:
            answer = self._database.update(self._table, update.key, update.actions, ours)
            failed = answer if isinstance(answer, ConditionFailed) else None
            if failed and failed.current and _is_done(_state(failed.current), lease, completion):
                return
        if failed:
            msg = (
                f"The lease of sensor {lease.sensor} at epoch {lease.epoch} is no longer held: it "
                "expired, or an operator changed the sensor. Nothing of this tick was committed."
            )
            raise LeaseLostError(msg)

    def release(self, lease: Lease) -> None:
        """Release the lease, if it is still held."""
        self._give_back(lease.sensor, lease.owner)

    def _give_back(self, sensor: str, owner: str) -> None:
        actions = changes((Model.lease_owner, None), (Model.lease_expires, None), *_NO_PRIOR)
        self._database.update(self._table, (sensor,), actions, Model.lease_owner == owner)

    def edit(self, sensor: str, edit: Edit) -> SensorState:
        """Change the state, increment the epoch, and record the edit, in one transaction.

        Retried while ticks commit in between, so that the recorded previous state is exact.
        """
        for _ in range(_TRIES):
            state = self.get(sensor)
            if edit.if_epoch not in {None, state.epoch}:
                msg = f"Sensor {sensor} was changed meanwhile: its epoch is no longer {edit.if_epoch}."
                raise LeaseLostError(msg)
            if self._database.transact(self._edit_writes(edit, state), str(uuid4())) is None:
                return self.get(sensor)
        msg = f"Sensor {sensor} was not edited: other writes changed it {_TRIES} times meanwhile. Try again."
        raise StoreThrottledError(msg)

    def edits(self, sensor: str) -> list[RecordedEdit]:
        """Return the sensor's last edits, newest first."""
        item = self._database.get(self._table, _edits_key(sensor))
        found = each_readable(_read_edits, [item] if item else [])
        return list(each_readable(_read_edit, next(found, ())))

    def _edit_writes(self, edit: Edit, state: SensorState) -> list[Write]:
        """Return the writes of an edit: the state if unchanged, the edits, and a long cursor."""
        sensor, cursor = state.sensor, self._cursor_before(state) if edit.sets_cursor else None
        done = state.last_completion
        unmoved = Model.epoch == state.epoch if state.epoch else Model.epoch.does_not_exist()
        unmoved &= Model.last_completion.does_not_exist() if done is None else Model.last_completion == done
        edits = [recorded(edit, state, cursor), *self.edits(sensor)][:KEPT_EDITS]
        kept = Model(sensor=_edits_key(sensor), edits=[asdict(each) for each in edits])
        writes = [
            Write(self._table, (kept.sensor,), item=kept.serialize()),
            Write(self._table, (sensor,), actions=_edit_actions(edit), condition=unmoved),
        ]
        if edit.sets_cursor and _is_long(edit.cursor):
            writes.insert(0, self._cursor_put(sensor, edit.cursor or ""))
        return writes

    def _cursor_before(self, state: SensorState) -> str | None:
        try:
            return self.cursor(state)
        except UnreadableRecordError as error:
            return error.reason  # The edit repairs it.

    def _tick_put(self, item: Item) -> Write:
        key = (item["sensor"]["S"], item["tick_id"]["S"])
        return Write(self._ticks, key, item=item, condition=TickModel.tick_id.does_not_exist())

    def _cursor_put(self, sensor: str, cursor: str) -> Write:
        key = _cursor_key(sensor)
        return Write(self._table, (key,), item=Model(sensor=key, cursor=cursor).serialize())


def _cursor_key(sensor: str) -> str:
    return f"{sensor}#cursor"


def _edits_key(sensor: str) -> str:
    """Return the key of the edits: no evaluator's role includes it, so that none can forge them."""
    return f"{sensor}#edits"


def _is_long(cursor: str | None) -> bool:
    return cursor is not None and len(cursor.encode()) > INLINE_CURSOR_BYTES


def _token(lease: Lease, completion: Completion) -> str:
    """Return the token of a commit; a lease may have three: keeping the lease, its tick, and its stand-in.

    A token that was used with other writes is rejected for ten minutes (TransactWriteItems,
    ClientRequestToken, in DynamoDB's API reference).
    """
    if completion.stands_in:
        return hashlib.sha256(f"{lease.owner}/stands-in".encode()).hexdigest()[:36]
    if completion.keeps_lease:
        return hashlib.sha256(lease.owner.encode()).hexdigest()[:36]
    return lease.owner


def _edit_actions(edit: Edit) -> list[Action]:
    values: list[tuple[object, object]] = []
    if edit.status is not None:
        declared = edit.status is InstigatorStatus.DECLARED_IN_CODE
        values.append((Model.status, None if declared else edit.status.value))
    if edit.status not in {None, InstigatorStatus.STOPPED}:
        values += [
            (Model.paused, None),
            (Model.resume_at, None),
            (Model.failure_streak, None),
            (Model.started_at, edit.at),
        ]
    if edit.sets_cursor:
        values += _cursor_values(edit.cursor)
    if edit.project is not None:
        values.append((Model.project, edit.project))
    if edit.starts_over:
        values += [
            (Model.last_run_key, None),
            (Model.paused, None),
            (Model.resume_at, None),
            (Model.failure_streak, None),
            (Model.started_at, edit.at),
        ]
    return [*changes(*values), Model.epoch.add(1)]


def _cursor_values(cursor: str | None) -> list[tuple[object, object]]:
    apart = _is_long(cursor)
    return [(Model.cursor, None if apart else cursor), (Model.cursor_apart, True if apart else None)]


def _actions(completion: Completion) -> list[Action]:
    if completion.keeps_lease:
        return changes((Model.failure_streak, completion.failure_streak or None))
    skips = completion.skips
    values: list[tuple[object, object]] = [
        (Model.lease_owner, None),
        (Model.lease_expires, None),
        *_NO_PRIOR,
        (Model.last_completion, completion.at),
        (Model.failure_streak, completion.failure_streak or None),
        (Model.last_run_key, completion.last_run_key),
        (Model.partitions_tick, completion.partitions_tick),
        (Model.skip_first_id, skips.first_tick_id if skips else None),
        (Model.skip_first_at, skips.first_at if skips else None),
        (Model.skip_last_at, skips.last_at if skips else None),
        (Model.skip_count, skips.count if skips else None),
        (Model.skip_reason, skips.reason if skips else None),
    ]
    values += [(Model.resume_at, completion.resume_at), (Model.paused, completion.paused)]
    if completion.paused:
        values.append((Model.status, InstigatorStatus.STOPPED.value))
    if completion.cursor_changed:
        values += _cursor_values(completion.cursor)
    return changes(*values)


def _is_done(state: SensorState, lease: Lease, completion: Completion) -> bool:
    """Return whether the current state is this same commit, whose response was lost."""
    return (
        state.epoch == lease.epoch
        and state.lease_owner is None
        and state.last_completion == completion.at
        and state.skips == completion.skips
    )


def _refusal(request: LeaseRequest, failed: ConditionFailed) -> Lease | Refused:
    if failed.current is None:
        return Refused(None)
    state = _state(failed.current)
    if state.lease_owner != request.owner:
        return Refused(state)
    # Our own write, whose response was lost: the previous state is the same except for what the write
    # changed.
    before = _before_lease(state, failed.current)
    return Lease(request.sensor, request.owner, state.epoch, request.scheduled_for, before)


def _before_lease(state: SensorState, item: Item) -> SensorState:
    owner, expires, scheduled_for = _read_prior(item)
    return replace(
        state,
        lease_owner=owner or None,
        lease_expires=expires or 0,
        last_scheduled_for=None if scheduled_for == _NEVER else scheduled_for,
        epoch=state.epoch - 1,
    )


def _prior(item: Item) -> tuple[str | None, int | None, int | None]:
    model = Model.from_raw_data(item)
    return model.prior_owner, whole(model.prior_expires), whole(model.prior_nominal)


def _edit(edit: object) -> RecordedEdit:
    kept = RecordedEdit(**edit)  # type: ignore[arg-type] # whatever it is: `reader` says if it is none
    for number in (kept.at, kept.epoch):
        integer(number)
    for each in (kept.by, kept.action):
        text(each)
    for optional in (kept.before, kept.after):
        text_or_none(optional)
    return kept


def _listed(item: Item) -> SensorState:
    """Return a state of a list, or a placeholder if it cannot be read."""
    try:
        return _state(item)
    except UnreadableRecordError as error:
        return unreadable_state(item["sensor"]["S"], error.reason)


def _state_of(item: Item) -> SensorState:
    model = Model.from_raw_data(item)
    skips = None
    if model.skip_first_id is not None:
        skips = SkipStreak(
            model.skip_first_id,
            whole(model.skip_first_at) or 0,
            whole(model.skip_last_at) or 0,
            whole(model.skip_count) or 0,
            model.skip_reason or "",
        )
    return SensorState(
        sensor=model.sensor,
        status=InstigatorStatus(model.status or InstigatorStatus.DECLARED_IN_CODE),
        epoch=whole(model.epoch) or 0,
        lease_owner=model.lease_owner,
        lease_expires=whole(model.lease_expires) or 0,
        last_scheduled_for=whole(model.last_nominal),
        last_completion=whole(model.last_completion),
        started_at=whole(model.started_at),
        failure_streak=whole(model.failure_streak) or 0,
        skips=skips,
        cursor=model.cursor,
        cursor_apart=bool(model.cursor_apart),
        last_run_key=model.last_run_key,
        resume_at=whole(model.resume_at),
        paused=model.paused,
        interval=whole(model.interval),
        project=text_or_none(model.project),
        partitions_tick=text_or_none(model.partitions_tick),
    )


_NAME = named("the state of sensor", "sensor")
_state = reader(_state_of, _NAME)
_read_prior = reader(_prior, _NAME)
_read_cursor = reader(
    lambda item: text(Model.from_raw_data(item).cursor), named("the cursor of sensor", "sensor")
)
_read_edits = reader(
    lambda item: list(Model.from_raw_data(item).edits or ()), named("the audit log of sensor", "sensor")
)
_read_edit = reader(_edit, lambda _: "an audit log entry of a sensor")
