"""Models of the items of the four tables. The tables themselves are in template.yaml."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self

from pynamodb.attributes import (
    Attribute,
    BinaryAttribute,
    BooleanAttribute,
    JSONAttribute,
    NumberAttribute,
    NumberSetAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.models import Model

from treadle.model.records import integer


class StoredModel(Model):
    """A model that encodes and decodes only what an item has; PynamoDB visits each attribute that the model declares.

    None of the models has defaults, discriminators or nested models.
    """

    def __init__(self, **values: Any) -> None:
        """Set attributes by their names in the model."""
        self.attribute_values = values

    def serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """Return the item in DynamoDB JSON.

        Raises:
            ValueError: if it lacks an attribute that each item of the model has.
        """
        attributes = self.get_attributes()
        item = {}
        for name, value in self.attribute_values.items():
            if value is not None:
                attribute = attributes[name]
                # NumberAttribute calls a JSON encoder, which takes long for what it makes of a whole number.
                is_whole = attribute.attr_type == "N" and type(value) is int
                item[attribute.attr_name] = {
                    attribute.attr_type: str(value) if is_whole else attribute.serialize(value)
                }
        missing = _required(type(self)).difference(item) if null_check else ()
        if missing:
            msg = f"An item of {type(self).__name__} has no {', '.join(sorted(missing))}."
            raise ValueError(msg)
        return item

    @classmethod
    def from_raw_data(cls, data: dict[str, dict[str, Any]]) -> Self:
        """Decode an item in DynamoDB JSON, without attributes that the model does not declare."""
        attributes = _by_stored_name(cls)
        values = {}
        for stored, value in data.items():
            if stored in attributes and value and "NULL" not in value:
                name, attribute = attributes[stored]
                values[name] = attribute.deserialize(attribute.get_value(value))
        return cls(**values)


@cache
def _by_stored_name(model: type[StoredModel]) -> dict[str, tuple[str, Attribute[Any]]]:
    """Return a model's attributes with their names in the model, by their names in items."""
    return {each.attr_name: (name, each) for name, each in model.get_attributes().items()}


@cache
def _required(model: type[StoredModel]) -> frozenset[str]:
    """Return the names of the stored attributes that each item of a model has."""
    return frozenset(each.attr_name for each in model.get_attributes().values() if not each.null)


class SensorModel(StoredModel):
    """A sensor's state; `<sensor>#cursor` has a long cursor, and `<sensor>#edits` the edits.

    While a lease is held, `prior_…` is the state before it, for a holder whose response was lost.
    """

    sensor = UnicodeAttribute(hash_key=True)
    status = UnicodeAttribute(null=True)
    epoch = NumberAttribute(null=True)
    lease_owner = UnicodeAttribute(null=True)
    lease_expires = NumberAttribute(null=True)
    prior_owner = UnicodeAttribute(null=True)
    prior_expires = NumberAttribute(null=True)
    prior_nominal = NumberAttribute(null=True)
    last_nominal = NumberAttribute(null=True)
    last_completion = NumberAttribute(null=True)
    started_at = NumberAttribute(null=True)
    failure_streak = NumberAttribute(null=True)
    skip_first_id = UnicodeAttribute(null=True)
    skip_first_at = NumberAttribute(null=True)
    skip_last_at = NumberAttribute(null=True)
    skip_count = NumberAttribute(null=True)
    skip_reason = UnicodeAttribute(null=True)
    cursor = UnicodeAttribute(null=True)
    cursor_apart = BooleanAttribute(null=True)
    last_run_key = UnicodeAttribute(null=True)
    resume_at = NumberAttribute(null=True)
    paused = UnicodeAttribute(null=True)
    interval = NumberAttribute(null=True)
    project = UnicodeAttribute(null=True)
    partitions_tick = UnicodeAttribute(null=True)
    edits = JSONAttribute(null=True)


class RegistryModel(StoredModel):
    """The engine's copy of the registry, under `#registry` in the sensors table, which cannot name a sensor."""

    sensor = UnicodeAttribute(hash_key=True)
    registry = BinaryAttribute(legacy_encoding=False)
    revision = NumberAttribute()


class EngineModel(StoredModel):
    """The engine that owns the tables, under `#engine` in the sensors table; no sensor can have that name."""

    sensor = UnicodeAttribute(hash_key=True)
    engine_id = UnicodeAttribute()
    seen_at = NumberAttribute()


class LateSensorsModel(StoredModel):
    """The sensors reported as late, under `#late` in the sensors table; no sensor can have that name."""

    sensor = UnicodeAttribute(hash_key=True)
    late = JSONAttribute()


class TickModel(StoredModel):
    """A tick record; `pending` exists until dispatch, and `expires_at` only after it.

    `<sensor>#fuse` has the number of runs that were `admitted`, for each hour. `<sensor>#loop` says since when the sensor
    is `held_at`, why it is `held`, and by whom it was released last.
    """

    sensor = UnicodeAttribute(hash_key=True)
    tick_id = UnicodeAttribute(range_key=True)
    kind = UnicodeAttribute()
    status = UnicodeAttribute()
    time = NumberAttribute()
    started_at = NumberAttribute()
    ended_at = NumberAttribute()
    reason = UnicodeAttribute(null=True)
    error_type = UnicodeAttribute(null=True)
    error_message = UnicodeAttribute(null=True)
    error_stack = UnicodeAttribute(null=True)
    requests = BinaryAttribute(null=True, legacy_encoding=False)
    outcome_key = UnicodeAttribute(null=True)
    outcome_digest = UnicodeAttribute(null=True)
    cursor = UnicodeAttribute(null=True)
    trigger = UnicodeAttribute(null=True)
    attempts = NumberAttribute()
    owner = UnicodeAttribute()
    skips = NumberAttribute(null=True)
    last_time = NumberAttribute(null=True)
    pending = UnicodeAttribute(null=True)
    pending_since = NumberAttribute(null=True)
    held = UnicodeAttribute(null=True)
    unreadable = UnicodeAttribute(null=True)
    held_requests = NumberAttribute(null=True)
    dropped = JSONAttribute(null=True)
    rejected = NumberAttribute(null=True, attr_name="set_aside")
    depth = NumberAttribute(null=True)
    admitted = NumberAttribute(null=True)
    held_at = NumberAttribute(null=True)
    released_at = NumberAttribute(null=True)
    released_by = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)
    dispatched = JSONAttribute(null=True)
    refusals = JSONAttribute(null=True)
    chunk_count = NumberAttribute(null=True, attr_name="slices_of")
    slices_done = NumberSetAttribute(null=True)
    slices_started = NumberAttribute(null=True)
    slices_existing = NumberAttribute(null=True)
    slices_refused = NumberAttribute(null=True)
    slices_refusals = UnicodeSetAttribute(null=True)
    log = JSONAttribute(null=True)
    acted_on = UnicodeAttribute(null=True)
    paused = UnicodeAttribute(null=True)


class DeliveryModel(StoredModel):
    """An identity of a request that a webhook sensor has accepted, under `<sensor>#requests` in the ticks table.

    `tick_id` is `key/<digest>` or `delivery/<digest>`; `request_key` is the digest of the request's key.
    """

    sensor = UnicodeAttribute(hash_key=True)
    tick_id = UnicodeAttribute(range_key=True)
    accepted_at = NumberAttribute()
    request_key = UnicodeAttribute()


class BatchModel(StoredModel):
    """Batches, in the ticks table.

    Under `<sensor>#batch`: `state/<key>`, the state of the batches with a value of `Batch.by`, which is due as long as
    it has `pending`; and `manifest/<tick id>`, what a committed batch contains. Under `<sensor>#batch/items/<digit>`: an
    accepted item by the digest of its identity. Under `<sensor>#batch/waiting/<key>/<digit>`: an item that waits, by time
    and digest.
    """

    sensor = UnicodeAttribute(hash_key=True)
    tick_id = UnicodeAttribute(range_key=True)
    identity = UnicodeAttribute(null=True)
    batch_by = UnicodeAttribute(null=True)
    accepted_at = NumberAttribute(null=True)
    size = NumberAttribute(null=True)
    content = BinaryAttribute(null=True, legacy_encoding=False)
    batch_tick = UnicodeAttribute(null=True)
    set_aside = BooleanAttribute(null=True)
    members = BinaryAttribute(null=True, legacy_encoding=False)
    epoch = NumberAttribute(null=True)
    owner = UnicodeAttribute(null=True)
    lease_expires = NumberAttribute(null=True)
    pending = UnicodeAttribute(null=True)
    pending_since = NumberAttribute(null=True)
    first_at = NumberAttribute(null=True)
    last_at = NumberAttribute(null=True)
    closing = NumberAttribute(null=True)
    unmarked = UnicodeAttribute(null=True)
    failures = JSONAttribute(null=True)


class RunModel(StoredModel):
    """A run record. `watch` and `next_at` exist until it has ended, and `job_ended` after that.

    `attempts_allowed`, `yields` and `settled` are derived from the rest: evaluators may read only these.
    """

    run_id = UnicodeAttribute(hash_key=True)
    job = UnicodeAttribute()
    sensor = UnicodeAttribute(null=True)
    run_key = UnicodeAttribute(null=True)
    tick_id = UnicodeAttribute()
    run_config = UnicodeAttribute()
    tags = JSONAttribute()
    partition_key = UnicodeAttribute(null=True)
    status = UnicodeAttribute()
    attempt = NumberAttribute()
    attempts_allowed = NumberAttribute()
    replaceable_request_digest = UnicodeAttribute(null=True, attr_name="yields")
    settled = BooleanAttribute(null=True)
    granted = NumberAttribute(null=True)
    retries = NumberAttribute(null=True)
    policy_retries = NumberAttribute(null=True)
    retry_at = NumberAttribute(null=True)
    allowances = JSONAttribute(null=True)
    edits = JSONAttribute(null=True)
    reached = JSONAttribute()
    claim_token = UnicodeAttribute(null=True)
    claim_expires = NumberAttribute(null=True)
    tried_token = UnicodeAttribute(null=True)
    tried_at = NumberAttribute(null=True)
    tried_target = UnicodeAttribute(null=True)
    tried_kind = UnicodeAttribute(null=True)
    tried_options = JSONAttribute(null=True)
    tried_role = UnicodeAttribute(null=True)
    unseen_at = NumberAttribute(null=True)
    denied_at = NumberAttribute(null=True)
    delayed = JSONAttribute(null=True)
    unanswered = JSONAttribute(null=True)
    cancellations = JSONAttribute(null=True)
    external_id = UnicodeAttribute(null=True)
    target = UnicodeAttribute(null=True)
    created_at = NumberAttribute()
    started_at = NumberAttribute(null=True)
    ended_at = NumberAttribute(null=True)
    failure = JSONAttribute(null=True)
    updated_at = NumberAttribute(null=True)
    reactions = JSONAttribute(null=True)
    earlier_ticks = JSONAttribute(null=True)
    pools = JSONAttribute(null=True)
    starts = JSONAttribute(null=True)
    turns = JSONAttribute(null=True)
    waiting = JSONAttribute(null=True)
    slots = JSONAttribute(null=True)
    overlap = UnicodeAttribute(null=True)
    watch = UnicodeAttribute(null=True)
    next_at = NumberAttribute(null=True)
    unreadable = UnicodeAttribute(null=True)
    job_ended = UnicodeAttribute(null=True)
    revision = NumberAttribute()


class PollCheckpointModel(StoredModel):
    """The poll checkpoint of an observed job's target, under `look#<job>` in the runs table, in no index."""

    run_id = UnicodeAttribute(hash_key=True)
    done_at = NumberAttribute()
    again_at = NumberAttribute()
    began_at = NumberAttribute(null=True)
    down_to = NumberAttribute(null=True)


class BackfillModel(StoredModel):
    """A backfill, under `backfill#<name>` in the runs table; `watch` and `next_at` exist until it is finished.

    `progress` has the state of each partition, and then the number of the attempt that it is about.
    """

    run_id = UnicodeAttribute(hash_key=True)
    sensor = UnicodeAttribute()
    backfill_job = UnicodeAttribute()
    digest = UnicodeAttribute()
    run_config = UnicodeAttribute()
    tags = JSONAttribute()
    max_in_progress = NumberAttribute(null=True)
    created_at = NumberAttribute()
    status = UnicodeAttribute()
    progress = BinaryAttribute(legacy_encoding=False)
    problem = UnicodeAttribute(null=True)
    edits = JSONAttribute(null=True)
    watch = UnicodeAttribute(null=True)
    next_at = NumberAttribute(null=True)
    unreadable = UnicodeAttribute(null=True)
    revision = NumberAttribute()


class BackfillPageModel(StoredModel):
    """A hundred partitions of a backfill, under `backfill#<name>#<digest>#<number>` in the runs table."""

    run_id = UnicodeAttribute(hash_key=True)
    partitions = BinaryAttribute(legacy_encoding=False)


class AssetEventModel(StoredModel):
    """Three kinds of item per key: its counter, its events by number, and their ids; `#assets` has all keys.

    An asset's counter is `listed` once its key is among those.
    """

    asset_key = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True)
    storage_id = NumberAttribute()
    event_id = UnicodeAttribute(null=True)
    kind = UnicodeAttribute(null=True)
    time = NumberAttribute(null=True)
    body = UnicodeAttribute(null=True)
    listed = BooleanAttribute(null=True)


class PartitionModel(StoredModel):
    """A key of a set of dynamic partitions, under `#partitions/<set>` in the events table.

    It is `added` as long as the key exists; `expires_at` exists otherwise.
    """

    asset_key = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True)
    changed = UnicodeAttribute()
    added = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)


class PoolModel(StoredModel):
    """Concurrency pools, in the events table.

    Under `#pools`: a declared pool by name. Under `#pools/queues`: a pool's key, if runs wait there. Under
    `#pool/<key>`: `slot/<number>`, or `slot/0000/<launch id>` for a run beyond the limit, `wait/<place>`, `latest`, and
    `turn`, the turn that was granted last. Only slots of pools of starts per minute have the time at which they were
    taken, and expire.
    """

    asset_key = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True)
    slots_limit = NumberAttribute(null=True)
    value_limits = JSONAttribute(null=True)
    operator_limit = NumberAttribute(null=True)
    operator_by = UnicodeAttribute(null=True)
    operator_at = NumberAttribute(null=True)
    closed_until = NumberAttribute(null=True)
    overlap = UnicodeAttribute(null=True)
    latest = UnicodeAttribute(null=True)
    launch_id = UnicodeAttribute(null=True)
    taken_at = NumberAttribute(null=True)
    turn = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)
    run_id = UnicodeAttribute(null=True)
    token = UnicodeAttribute(null=True)


def whole(value: float | None) -> int | None:
    """Validate a number: all stored numbers are integers, not negative, and not beyond the latest date.

    Raises:
        TypeError, ValueError: if it is not valid.
    """
    return None if value is None else integer(value)


def named(record: str, *attributes: str) -> Callable[[dict[str, Any]], str]:
    """Return a function that names an item's record by its keys, whatever else the item contains.

    Args:
        record: the kind of record.
        attributes: the keys' names.
    """

    def name(item: dict[str, Any]) -> str:
        keys = (item.get(attribute) or {} for attribute in attributes)
        return " ".join([record, *(str(key.get("S", "?")) for key in keys)])

    return name


def read_number(item: Mapping[str, Any], attribute: str) -> int:
    """Return a number of an item that is read without its model.

    Raises:
        KeyError, TypeError, ValueError: if it is missing or not a number.
    """
    return integer(float(item[attribute]["N"]))
