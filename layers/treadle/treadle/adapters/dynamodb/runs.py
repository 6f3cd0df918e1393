"""Run records in DynamoDB; the conditional put of a record is the claim on its run key."""

import itertools
import logging
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any

from pynamodb.expressions.condition import Condition

from treadle.adapters.dynamodb.database import (
    ConditionFailed,
    Database,
    Item,
    Statement,
    Table,
    Write,
    replacement,
)
from treadle.adapters.dynamodb.fields import (
    Field,
    all_text,
    decoded,
    encoded,
    one,
    or_none,
    several,
    whole_or_zero,
)
from treadle.adapters.dynamodb.models import PollCheckpointModel, named, whole
from treadle.adapters.dynamodb.models import RunModel as Model
from treadle.definitions.errors import StoreError, UnreadableRecordError
from treadle.definitions.status import FINISHED_STATUSES, DagsterRunStatus
from treadle.model.pools import Overlap, PoolChanges, PoolWait, Slot, StartSlot
from treadle.model.records import each_readable, integer, or_error, reader, text, texts
from treadle.model.run_queries import (
    MOST_SCANNED,
    MOST_SEARCHED,
    RunPage,
    RunQuery,
    mentions,
    parse_place,
    place_of,
)
from treadle.model.runs import (
    Cancellation,
    Claim,
    Failure,
    KeyState,
    LaunchBackoff,
    OperatorEdit,
    PendingStart,
    PollCheckpoint,
    Reached,
    Reaction,
    RetryGrant,
    Run,
    Unanswered,
    pool_changes,
    unreadable_run,
)
from treadle.ports.pools import SlotTakenError
from treadle.ports.system import IdGenerator

logger = logging.getLogger(__name__)

SHARDS = 8
"""Number of partitions of the index of runs to check."""

CLAIM_ATTRIBUTES = ("run_id", "attempt", "attempts_allowed", "yields", "settled")
"""The attributes of a run that evaluators read, as in their roles' policies, which `treadle doctor` checks.
"""

_CHECKPOINT_PREFIX = "look#"
_AT_ONCE = 100
_KEYS_AT_ONCE = 1_000
_END_OF_TIME = 10**15


class DynamoRunStore:
    """A `RunStore` in a table.

    Args:
        database: the client.
        table: the runs table.
        events: the events table, which has the pools.
        tokens: generates the tokens of transactions.
    """

    def __init__(self, database: Database, table: Table, events: Table, tokens: IdGenerator) -> None:
        self._database = database
        self._table = table
        self._events = events
        self._tokens = tokens

    def read(self, item: Item) -> Run:
        """Parse an item of the table or of its stream."""
        return _run(item)

    def get(self, run_id: str) -> Run | None:
        """Read a record strongly."""
        item = self._database.get(self._table, run_id)
        return _run(item) if item and _is_run(item) else None

    def list_by_sensor(self, sensor: str, limit: int) -> list[Run]:
        """Return the newest runs first, by an eventually consistent index."""
        items = self._database.query(
            self._table, sensor, index_name="by_sensor", scan_index_forward=False, limit=limit
        )
        found = (self._database.get(self._table, item["run_id"]["S"]) for item in items)
        return list(each_readable(_run, (item for item in found if item)))

    def in_progress(self, limit: int, after: str | None = None) -> tuple[list[str], str | None]:
        """Return a page of the sparse index of runs to check, one shard after the other."""
        shard, at, last = _parse_page(after)
        start = None
        if last:
            start = {"watch": {"S": str(shard)}, "next_at": {"N": str(at)}, "run_id": {"S": last}}
        found: list[str] = []
        for each in range(shard, SHARDS):
            pages = self._database.pages(
                self._table, str(each), index_name="watched", limit=limit - len(found), start=start
            )
            for item in chain.from_iterable(pages):
                found.append(item["run_id"]["S"])
                if len(found) == limit:
                    return found, f"{each}/{int(float(item['next_at']['N']))}/{found[-1]}"
            start = None
        return found, None

    def due(self, now: int, limit: int) -> list[str]:
        """Return the ids of runs that are due, by the sparse index: one query per shard."""
        found: list[tuple[float, str]] = []
        for shard in range(SHARDS):
            passed = Model.next_at <= now
            items = self._database.query(
                self._table, str(shard), index_name="watched", range_key_condition=passed, limit=limit
            )
            found += [(float(item["next_at"]["N"]), item["run_id"]["S"]) for item in items]
        return [run_id for _, run_id in sorted(found)[:limit]]

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return the records that exist and can be read, with strongly consistent reads."""
        return {run.run_id: run for run in each_readable(_run, self._items(run_ids))}

    def _items(self, run_ids: Collection[str]) -> Iterator[Item]:
        keys = [(run_id,) for run_id in run_ids]
        return filter(_is_run, self._database.batch_get(self._table, keys, strongly=True))

    def find(self, query: RunQuery) -> list[Run]:
        """Return the matching records, by the index that fits best."""
        if query.run_ids is not None:
            found = self.get_many(query.run_ids).values()
            return query.ordered(run for run in found if query.matches(run))
        name, hash_key, bounds, is_ordered = _index_for(query)
        options: dict[str, Any] = (
            {} if bounds == (None, None) else {"range_key_condition": _between(name, bounds)}
        )
        found_in_order: list[Run] = []
        for items in self._database.pages(
            self._table, hash_key, index_name=name, scan_index_forward=not query.newest_first, **options
        ):
            names = [item["run_id"]["S"] for item in items]
            records = self.get_many(names)
            found_in_order += [records[n] for n in names if n in records and query.matches(records[n])]
            if is_ordered and len(found_in_order) >= query.limit:
                break
        return query.ordered(found_in_order)

    def page(
        self,
        *,
        sensor: str | None = None,
        job: str | None = None,
        statuses: Collection[DagsterRunStatus] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> RunPage:
        """Return a page of runs of a sensor or of a job, newest first, by the index with that order."""
        index, attribute, of = ("by_sensor", "sensor", sensor) if sensor else ("by_job", "job", job)
        first, newest = since or 0, _END_OF_TIME if until is None else until - 1
        start = _start(attribute, of, before)
        at = newest if start is None else int(start["created_at"]["N"])
        # DynamoDB refuses bounds without a time between them, and a start outside them.
        if first > min(at, newest):
            return RunPage((), None)
        pages = self._database.pages(
            self._table,
            of or "",
            index_name=index,
            scan_index_forward=False,
            limit=_AT_ONCE if statuses or text else min(_AT_ONCE, limit + 1),
            start=start if at <= newest else None,
            range_key_condition=Model.created_at.between(first, newest),
        )
        found: list[Run] = []
        scanned, last = 0, None
        for items in pages:
            names = [item["run_id"]["S"] for item in items]
            records = {item["run_id"]["S"]: item for item in self._items(names)}
            for run in (
                _listed(keys, records[name])
                for keys, name in zip(items, names, strict=True)
                if name in records
            ):
                if len(found) == limit or scanned == MOST_SCANNED:
                    return RunPage(tuple(found), last)
                scanned, last = scanned + 1, place_of(run)
                if (statuses is None or run.status in statuses) and (not text or mentions(run, text)):
                    found.append(run)
        return RunPage(tuple(found), None)

    def ids_beginning(self, text: str, job: str) -> list[str]:
        """Return ids of a job's runs; reads only keys from the index."""
        pages = self._database.pages(
            self._table, job, index_name="by_job", scan_index_forward=False, limit=_KEYS_AT_ONCE
        )
        keys = itertools.islice(itertools.chain.from_iterable(pages), MOST_SEARCHED)
        return [item["run_id"]["S"] for item in keys if item["run_id"]["S"].startswith(text)]

    def counts(self, sensor: str, since: int, limit: int) -> dict[DagsterRunStatus, int]:
        """Count a sensor's runs by status; reads keys from the index, and only the status of each record."""
        keys = self._database.query(
            self._table,
            sensor,
            index_name="by_sensor",
            scan_index_forward=False,
            range_key_condition=Model.created_at > since,
            limit=limit,
        )
        names = [(item["run_id"]["S"],) for item in keys]
        found = self._database.batch_get(self._table, names, ("run_id", "status"), strongly=False)
        return dict(Counter(map(_status, found)))

    def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
        """Return the state of the run keys whose run exists."""
        keys = [(run_id,) for run_id in requests]
        found = self._database.batch_get(self._table, keys, CLAIM_ATTRIBUTES, strongly=False)
        return dict(each_readable(reader(lambda item: _state(item, requests), _NAME), found))

    def create(self, run: Run) -> Run | None:
        """Put a record if it does not exist."""
        return self._put(run, run.revision, Model.run_id.does_not_exist(), pool_changes(None, run))

    def create_many(self, runs: Sequence[Run]) -> list[Run | Exception | None]:
        """Insert the records that are in no pool in batches, and decide by a read about those not certainly inserted."""
        items: dict[str, Item] = {}
        for run in runs:
            # One that cannot be encoded must not fail the others: `create` fails for it alone.
            with suppress(Exception):
                if run.run_id not in items and not pool_changes(None, run):
                    items[run.run_id] = _item(run, run.revision)
        inserted = set[str]()
        existing: dict[str, Item] = {}
        if len(items) > 1:
            written = self._database.insert_many(self._table, list(items.values()))
            inserted = {run_id for run_id, is_written in zip(items, written, strict=True) if is_written}
            undecided = [(run_id,) for run_id in items if run_id not in inserted]
            found = self._database.batch_get(self._table, undecided, strongly=True)
            existing = {item["run_id"]["S"]: item for item in found}
        return [self._created(run, inserted, existing) for run in runs]

    def _created(self, run: Run, inserted: set[str], existing: Mapping[str, Item]) -> Run | Exception | None:
        """Return the result of one record after the batch; one that no batch has written is written now."""
        if run.run_id in inserted:
            inserted.remove(run.run_id)  # If it is given again, it exists.
            return None
        return or_error(lambda: _run(existing[run.run_id]) if run.run_id in existing else self.create(run))

    def _put(self, run: Run, revision: int, condition: Condition, changed: PoolChanges) -> Run | None:
        """Put a record under a condition, with its changes of pools if there are any."""
        item = _item(run, revision)
        if not changed:
            return _current_run(run.run_id, self._database.put(self._table, (run.run_id,), item, condition))
        # Imported here, as most runs are in no pool.
        from treadle.adapters.dynamodb.pools import writes_of

        record = Write(self._table, (run.run_id,), item=item, condition=condition)
        writes = [record, *writes_of(self._events, changed, run.run_id)]
        taken = range(1, 1 + len(changed.taken) + len(changed.starts))
        while True:
            # A token of its own for each transaction: under a repeated one, DynamoDB would report a success and write
            # nothing (TransactWriteItems in its API reference, ClientRequestToken).
            failed = self._database.transact(writes, self._tokens.new())
            if failed is None or failed.position == 0:
                return _current_run(run.run_id, failed)
            if failed.position in taken:
                msg = f"A slot that run {run.run_id} was to take is held by another run."
                raise SlotTakenError(msg)
            # What has been written by hand must not keep the run's status from being recorded.
            logger.error("Slot %s is not held by run %s", writes.pop(failed.position).key, run.run_id)

    def claim(
        self, run_id: str, job: str, attempt: int, claim: Claim, pending_start: PendingStart
    ) -> Run | None:
        """Claim an attempt."""
        queued = (
            (Model.job == job)
            & (Model.attempt == attempt)
            & (Model.status == DagsterRunStatus.QUEUED.value)
            & Model.waiting.does_not_exist()
        )
        free = (
            Model.claim_token.does_not_exist()
            | (Model.claim_token == claim.token)
            | (Model.claim_expires < pending_start.at)
        )
        actions = [
            Model.claim_token.set(claim.token),
            Model.claim_expires.set(claim.expires_at),
            Model.tried_token.set(Model.tried_token | pending_start.token),
            Model.tried_at.set(Model.tried_at | pending_start.at),
            Model.tried_target.set(Model.tried_target | pending_start.target),
            Model.tried_kind.set(Model.tried_kind | pending_start.kind),
            Model.tried_options.set(Model.tried_options | dict(pending_start.options)),
            Model.tried_role.set(Model.tried_role | (pending_start.role or "")),
            Model.revision.add(1),
        ]
        answer = self._database.update(self._table, (run_id,), actions, queued & free, returning="ALL_NEW")
        if isinstance(answer, ConditionFailed):
            return _run(answer.current) if answer.current else None
        return _run(answer)

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        """Replace a record if its revision is unchanged."""
        changed = pool_changes(before, run)
        return self._put(run, run.revision + 1, Model.revision == run.revision, changed)

    def replace_many(self, changes: Sequence[tuple[Run, Run]]) -> list[Run | Exception | None]:
        """Update the records that change nothing in pools in batches, and decide by a read about those not certainly changed."""
        statements: dict[str, Statement] = {}
        for run, before in changes:
            with suppress(Exception):
                if not pool_changes(before, run):
                    fields = _differing(run, before)
                    items = _item(run, run.revision + 1, fields), _item(before, before.revision, fields)
                    statements[run.run_id] = replacement(self._table, *items, ("run_id", "revision"))
        written = set[str]()
        existing: dict[str, Run] = {}
        if len(statements) > 1:
            applied = self._database.execute_many(self._table, list(statements.values()))
            written = {run_id for run_id, is_applied in zip(statements, applied, strict=True) if is_applied}
            existing = self.get_many([run_id for run_id in statements if run_id not in written])
        return [self._replaced(run, before, written, existing.get(run.run_id)) for run, before in changes]

    def _replaced(
        self, run: Run, before: Run, written: Collection[str], current: Run | None
    ) -> Run | Exception | None:
        """Return the result of one change after the batch; one that was certainly not applied is applied now."""
        if run.run_id in written or current == replace(run, revision=run.revision + 1):
            return None
        if current is not None and current.revision != run.revision:
            return current
        return or_error(lambda: self.replace(run, before))

    def mark_unreadable(self, run_id: str, until: int, reason: str) -> bool:
        """Postpone a run whose record cannot be read, in one write that does not parse it."""
        actions = [Model.next_at.set(until), Model.unreadable.set(reason)]
        answer = self._database.update(
            self._table, (run_id,), actions, Model.next_at.exists(), returning="ALL_OLD"
        )
        return not isinstance(answer, ConditionFailed) and "unreadable" not in answer

    def poll_checkpoint(self, job: str) -> PollCheckpoint | None:
        """Read a job's poll checkpoint strongly."""
        item = self._database.get(self._table, f"{_CHECKPOINT_PREFIX}{job}")
        if item is None:
            return None
        return _read_checkpoint(item)

    def put_poll_checkpoint(self, job: str, checkpoint: PollCheckpoint) -> None:
        """Store a poll checkpoint, unless a later one exists."""
        key = f"{_CHECKPOINT_PREFIX}{job}"
        item = PollCheckpointModel(
            run_id=key,
            done_at=checkpoint.done_at,
            again_at=checkpoint.again_at,
            began_at=checkpoint.began_at,
            down_to=checkpoint.down_to,
        )
        newer = PollCheckpointModel.done_at.does_not_exist() | (
            PollCheckpointModel.done_at <= checkpoint.done_at
        )
        self._database.put(self._table, (key,), item.serialize(), newer)


def _parse_page(token: str | None) -> tuple[int, int, str]:
    """Return the shard, time and run id after which a page of runs in progress begins."""
    if token is None:
        return 0, 0, ""
    shard, at, run_id = token.split("/")
    return int(shard), int(at), run_id


_Bounds = tuple[int | None, int | None]


def _index_for(query: RunQuery) -> tuple[str, str, _Bounds, bool]:
    """Return an index's name, hash key and range key bounds, and whether it has the requested order."""
    ended = query.statuses is not None and query.statuses <= FINISHED_STATUSES
    if query.job is not None and ended and (query.by_update or query.updated != (None, None)):
        return "by_job_end", query.job, query.updated, query.by_update
    if query.job is not None:
        return "by_job", query.job, query.created, not query.by_update
    if query.sensor is not None:
        return "by_sensor", query.sensor, query.created, not query.by_update
    msg = "A query of runs needs a job, a sensor or run ids: the table is never scanned."
    raise StoreError(msg)


def _start(attribute: str, of: str | None, before: str | None) -> Item | None:
    """Return the index key after which a page begins."""
    if not of:
        msg = "A page of runs needs a sensor or a job: the table is never scanned."
        raise StoreError(msg)
    if before is None:
        return None
    place = parse_place(before)
    if place is None:
        msg = f"{before[:80]!r} is not a page token of runs: use the `next` of the previous page."
        raise StoreError(msg)
    return {attribute: {"S": of}, "created_at": {"N": str(place[0])}, "run_id": {"S": place[1]}}


def _between(index: str, bounds: _Bounds) -> Condition:
    attribute = Model.updated_at if index == "by_job_end" else Model.created_at
    after, before = bounds
    if after is None or before is None:
        return attribute < before if after is None else attribute > after
    return attribute.between(after, before)


def _is_run(item: Item) -> bool:
    return "#" not in item["run_id"]["S"]  # Poll checkpoints and backfills have one.


def _current_run(run_id: str, failed: ConditionFailed | None) -> Run | None:
    if failed is None:
        return None
    if failed.current is None:
        msg = f"Run {run_id} existed and is gone: a run record must never be deleted."
        raise StoreError(msg)
    return _run(failed.current)


def _state(item: Item, requests: Mapping[str, str | None]) -> tuple[str, KeyState]:
    run_id = item["run_id"]["S"]
    if "settled" in item:
        return run_id, KeyState.SETTLED
    if int(item["attempt"]["N"]) < int(item["attempts_allowed"]["N"]):
        return run_id, KeyState.OPEN
    is_taken = "yields" not in item or item["yields"]["S"] == requests[run_id]
    return run_id, KeyState.TAKEN if is_taken else KeyState.OPEN


def _status(item: Item) -> DagsterRunStatus:
    """Return a run's status; FAILURE if the record cannot be read, as in lists."""
    try:
        return DagsterRunStatus(item["status"]["S"])
    except (KeyError, ValueError):
        return DagsterRunStatus.FAILURE


def _item(run: Run, revision: int, fields: Sequence[Field] | None = None) -> Item:
    """Return the item of a run, or only these fields of it and those attributes that are derived from several."""
    model = Model(
        **encoded(_FIELDS if fields is None else fields, run),
        granted=run.granted,
        attempts_allowed=run.attempts_allowed,
        replaceable_request_digest=run.replaceable_request_digest,
        settled=run.is_final or None,
        watch=None if run.next_at is None else str(zlib.crc32(run.run_id.encode()) % SHARDS),
        job_ended=run.job if run.status.is_finished else None,
        revision=revision,
    )
    if run.claim:
        model.claim_token, model.claim_expires = run.claim.token, run.claim.expires_at
    if start := run.pending_start:
        model.tried_token, model.tried_at, model.tried_kind = start.token or None, start.at, start.kind
        model.tried_target = None if _is_at(start, run.target) else start.target
        model.tried_options, model.tried_role = dict(start.options) or None, start.role
    return model.serialize(null_check=fields is None)


def _differing(run: Run, before: Run) -> tuple[Field, ...]:
    """Return the fields in which a run differs from what it was, and its key."""
    return tuple(
        field
        for field in _FIELDS
        if field.name == "run_id" or getattr(run, field.name) != getattr(before, field.name)
    )


def _is_at(start: PendingStart, target: str | None) -> bool:
    """Return whether the address of a start is not stored a second time: the run's own is the same."""
    return not start.token and start.target == (target or "")


def _failure_fields(failure: Failure | None) -> list[object] | None:
    if failure is None:
        return None
    steps = [[step.step_key, step.error, step.cause] for step in failure.steps]
    return [failure.error, failure.cause, failure.assumed, *([steps] if steps else [])]


def _stored_failure(stored: Sequence[Any] | None) -> Failure | None:
    return None if stored is None else _failure(*stored)


def _failure(error: str, cause: str, assumed: bool, steps: Sequence[Sequence[str]] = ()) -> Failure:
    # Imported here, as evaluators rarely encounter a failure.
    from treadle.definitions.runs import StepFailure

    failed = tuple(StepFailure(*map(text, step)) for step in steps)
    return Failure(text(error), text(cause), bool(assumed), failed)


def _reached(value: Mapping[str, Mapping[str, int]]) -> Reached:
    """Parse a run's status times, in the form that report handling and publishing rely on."""
    for place, times in value.items():
        attempt, retry = place.split("/")
        integer(int(attempt), 1)
        integer(int(retry))
        for name, time in times.items():
            DagsterRunStatus(name.removesuffix("?"))
            integer(time)
    return value


def _listed(keys: Item, item: Item) -> Run:
    """Return a record of a list, or a placeholder if it cannot be read."""
    try:
        return _run(item)
    except UnreadableRecordError as error:
        job, sensor = (keys.get(name, item.get(name, {})).get("S", "") for name in ("job", "sensor"))
        made_at = int(float(keys["created_at"]["N"]))
        return unreadable_run(item["run_id"]["S"], job, sensor, made_at, error.reason)


def _checkpoint(item: Item) -> PollCheckpoint:
    model = PollCheckpointModel.from_raw_data(item)
    return PollCheckpoint(
        integer(model.done_at), integer(model.again_at), whole(model.began_at), whole(model.down_to)
    )


def _run_of(item: Item) -> Run:
    model = Model.from_raw_data(item)
    claim = pending_start = None
    if model.claim_token is not None:
        claim = Claim(model.claim_token, whole(model.claim_expires) or 0)
    if not {"tried_token", "tried_at"}.isdisjoint(model.attribute_values):
        pending_start = PendingStart(
            model.tried_token or "",
            whole(model.tried_at) or 0,
            model.tried_target or ("" if model.tried_token else model.target) or "",
            model.tried_kind or "",
            texts(model.tried_options or {}),
            model.tried_role,
        )
    return Run(
        **decoded(_FIELDS, model),
        granted=integer(model.granted or model.attempts_allowed),
        claim=claim,
        pending_start=pending_start,
        revision=integer(model.revision),
    )


_FIELDS = (
    Field("run_id"),
    Field("job", text),
    Field("sensor", lambda stored: stored or "", or_none),  # An index key must not be empty.
    Field("run_key"),
    Field("tick_id", text),
    Field("run_config", text),
    Field("tags", texts, dict),
    Field("created_at", integer),
    Field("partition_key"),
    Field("status", DagsterRunStatus, attrgetter("value")),
    Field("attempt", partial(integer, least=1)),
    Field("retries", whole_or_zero, or_none),
    Field("policy_retries", whole_or_zero, or_none),
    Field("retry_at", whole),
    several("allowances", RetryGrant, attempts=integer, by=text, at=integer),
    several("edits", OperatorEdit, at=integer, by=text, action=text),
    Field("reached", _reached, lambda reached: {place: dict(times) for place, times in reached.items()}),
    Field("unseen_at", whole),
    Field("denied_at", whole),
    one("delayed", LaunchBackoff, reason=text, at=integer, until=integer),
    one("unanswered", Unanswered, reason=text, since=integer, at=integer),
    several(
        "cancellations",
        Cancellation,
        attempt=integer,
        retry=integer,
        error=text,
        cause=text,
        at=integer,
        refused=text,
    ),
    Field("external_id"),
    Field("target"),
    Field("started_at", whole),
    Field("ended_at", whole),
    Field("failure", _stored_failure, _failure_fields),
    Field("updated_at", whole_or_zero),
    several("reactions", Reaction, sensor=text, event_id=text, tick_id=text, at=integer),
    Field("earlier_ticks", all_text, or_none),
    Field("pools", all_text, lambda pools: list(pools) or None),
    one("waiting", PoolWait, pool=text, order=text, since=integer),
    several("slots", Slot, pool=text, number=integer, attempt=integer, granted_at=integer),
    several("starts", StartSlot, pool=text, number=integer, at=integer),
    Field("turns", lambda stored: texts(stored or {}), lambda turns: dict(turns) or None),
    Field("overlap", lambda stored: None if stored is None else Overlap(stored)),
    Field("next_at", whole),
)
_NAME = named("run", "run_id")
_run = reader(_run_of, _NAME)
_read_checkpoint = reader(_checkpoint, named("the poll checkpoint", "run_id"))
