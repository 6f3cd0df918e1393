"""Planning: from an evaluation's requests to what its tick commits, with ids, limits and claimed keys."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from treadle.definitions.bounds import (
    MAX_PARTITION_KEY,
    MAX_REJECTED_BYTES,
    MAX_RUN_KEY,
    SHORT,
    byte_size,
    counted,
    fit,
    fit_some,
)
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import (
    DagsterInvalidInvocationError,
    DagsterUnknownPartitionError,
    InvalidResultError,
)
from treadle.definitions.evaluation import EMPTY_RESULT
from treadle.definitions.jobs import tags_problem
from treadle.definitions.results import RunRequest, SensorExecutionData
from treadle.definitions.run_config_schema import config_problem
from treadle.definitions.runs import ASSET_SELECTION_TAG, PAYLOAD_NAME
from treadle.definitions.sensors import DEFAULT_CAP, FAIL, SensorDefinition
from treadle.definitions.values import json_text, tag_texts
from treadle.engine.dispatch.run_tags import run_tags
from treadle.engine.identity import RunIds
from treadle.engine.tick.run_key_cache import RunKeyCache
from treadle.model.ticks import PlannedRun, RejectedRequest

if TYPE_CHECKING:
    from treadle.definitions.assets import ReportedEvent
    from treadle.definitions.jobs import JobDefinition
    from treadle.ports.runs import RunStore
    from treadle.ports.system import BlobStore

MAX_REQUEST_BYTES = 200_000
"""The maximum size of run config and tags, as they are sent to the job's target; a larger run config is referred to."""

MAX_PAYLOADS, MAX_PAYLOADS_BYTES = 2_500, 30_000_000
"""The maximum number and size of a tick's run configs that are referred to: they are stored within seconds.

A sweep stays below both, as it evaluates objects until their requests have 10 MB, and a run config of less than
`LEAST_INLINE_BYTES` is always sent.
"""

_REFERENCE_BYTES = 400
"""More than a reference has; a run config below that is not what makes a request large."""

MAX_RECORD_BYTES = 250_000
"""The maximum size of what a request adds to its run's record, as stored or as sent, whichever is longer.

So it fits into an item of DynamoDB (400 KB: "Quotas" in its developer guide) with all that the run collects
later, and into the input of each target that takes one document: 262,144 bytes of UTF-8 for Step Functions
("Quotas" in its developer guide), no less for the others. Targets with a lower limit reject it themselves,
and the run fails.
"""

_OWN_BYTES = 40_000
"""An upper bound for a request's keys and Treadle's own tags as JSON; the author's may triple in size."""

MAX_OUTCOME_BYTES = 15_000_000
"""The maximum size of all of a tick's requests: DISPATCH holds several copies of them in memory."""


MAX_ASSET_EVENTS = 500
"""The maximum number in one tick: DISPATCH records all of them at once."""

SHOWN_JOBS = 5

OVERHEAD_BYTES = 200
"""The approximate size of a request's ids, key and names."""

MAX_REJECTED_ENTRIES = 10_000
SHOWN_INVALID = 20
"""How many invalid requests the error of a sensor with `on_invalid="fail"` names; all are counted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tick will commit.

    Attributes:
        runs: requests whose run may start.
        existing_keys: requested keys that were taken already.
        rejected: rejected requests.
        reason: why no run will start; None if one will.
        last_run_key: the last requested key, taken or not.
        payloads: the run configs to which runs refer, by key; to be stored before the commit.
    """

    runs: tuple[PlannedRun, ...]
    existing_keys: tuple[str, ...]
    rejected: tuple[RejectedRequest, ...]
    reason: str | None
    last_run_key: str | None
    payloads: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ValidatedRequests:
    """An evaluation's valid requests.

    Attributes:
        data: the evaluation's result.
        runs: each run once.
        rejected: rejected requests.
        contradicting: by run id, requests that differ from an earlier one with the same run key; they are
            reported only if that key was not taken before.
        payloads: by run id, the run configs that are too large to be sent.
    """

    data: SensorExecutionData
    runs: tuple[PlannedRun, ...]
    rejected: tuple[RejectedRequest, ...]
    contradicting: tuple[tuple[str, RejectedRequest], ...] = ()
    payloads: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans for one sensor.

    Args:
        definition: the sensor.
        run_ids: generates run ids.
        runs: queried for claimed keys to save work; DISPATCH has the final say.
        blobs: stores run configs that are too large to be sent; only asked for addresses.
        cap: the maximum number of requests per tick.
        granted: the jobs that the deployment lets the sensor start; None where that is not known here, and
            DISPATCH holds what is not granted.
    """

    definition: SensorDefinition
    run_ids: RunIds
    runs: "RunStore"
    blobs: "BlobStore"
    cap: int = DEFAULT_CAP
    granted: frozenset[str] | None = None
    known: RunKeyCache = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", RunKeyCache(self.runs))

    def validate_requests(
        self, data: SensorExecutionData, tick_id: str, *, is_sweep: bool = False
    ) -> ValidatedRequests:
        """Validate requests, and reject those that can never become a run.

        Args:
            data: the evaluation's result.
            tick_id: the tick's id, from which the run ids of keyless requests derive.
            is_sweep: True if what is rejected is found again by a later tick.

        Raises:
            InvalidResultError: if there are more runs than the cap, more bytes than can be stored, or a job
                that the deployment does not grant, because the cursor must not move past requests that would
                not run; if a request was changed to something invalid after it was created; if one can never
                run and the sensor's `on_invalid` is "fail".
            DagsterUnknownPartitionError: if a set of dynamic partitions does not have a requested key: it may be
                added soon, and a rejected request would be lost.
            DagsterInvalidDefinitionError: if a job's schema is not a valid JSON Schema.
        """
        if len(data.run_requests) > self.cap:
            msg = (
                f"Sensor {self.definition.name} requested {len(data.run_requests)} runs in one "
                f"tick; the limit is {self.cap}. Return fewer and continue from the cursor at the "
                "next tick."
            )
            raise InvalidResultError(msg)
        if len(data.asset_events) > MAX_ASSET_EVENTS:
            msg = (
                f"Sensor {self.definition.name} returned {len(data.asset_events)} asset events in "
                f"one tick; the limit is {MAX_ASSET_EVENTS}. Return fewer and continue from the "
                "cursor at the next tick."
            )
            raise InvalidResultError(msg)
        self._check_granted(data.run_requests)
        planned: dict[str, PlannedRun] = {}
        invalid: list[RejectedRequest] = []
        contradicting: list[tuple[str, RejectedRequest]] = []
        payloads: dict[str, bytes] = {}
        repeated = 0
        unknown = self._unknown_partitions(data.run_requests, is_sweep=is_sweep)
        total = sum(_event_size(_checked_again(each)) for each in data.asset_events)
        for index, request in enumerate(data.run_requests):
            run = self._planned(request, tick_id, index)
            size = _size(run)
            payload = self._payload(run, size, tick_id, data.depth)
            if payload is not None:
                run = self._referring(run, payload)
                size = _size(run)
            known = planned.get(run.run_id)
            partition_problem = unknown.get((run.job, run.partition_key))
            unfit = self._unfit(request, run, size, tick_id, data.depth, partition_problem)
            if unfit is not None:
                invalid.append(RejectedRequest(run.run_key, unfit))
            elif known is not None and known != run:
                contradicting.append((run.run_id, RejectedRequest(run.run_key, _contradiction(known, run))))
            elif known is None:
                planned[run.run_id] = run
                if payload is not None:
                    payloads[run.run_id] = payload
                total += size + byte_size(run.run_key or "") + OVERHEAD_BYTES
            else:
                repeated += 1
        if repeated:
            logger = logging.getLogger(f"treadle.sensor.{self.definition.name}")
            logger.info(
                "%d requests repeat earlier ones of this tick; each run is started only once", repeated
            )
        differing = [each for _, each in contradicting]
        self._check_valid([*invalid, *differing])
        rejected = _bounded([*(RejectedRequest(*each) for each in data.rejected), *invalid])
        beside = (*rejected, *_bounded(differing))
        total += sum(byte_size(each.run_key or "") + byte_size(each.reason) for each in beside)
        self._check_size(total)
        self._check_payloads(payloads)
        return ValidatedRequests(data, tuple(planned.values()), rejected, tuple(contradicting), payloads)

    def expect(self, vetted: ValidatedRequests) -> None:
        """Note requests that will be planned: what is known of their keys is read with that of others."""
        self.known.expect(_keyed(vetted))

    def plan(self, vetted: ValidatedRequests) -> Plan:
        """Return the plan for valid requests; those whose key is taken are left out.

        Raises:
            StoreError: if the store did not answer.
        """
        taken = self.known.claimed(_keyed(vetted))
        existing = tuple(run.run_key for run in vetted.runs if run.run_id in taken if run.run_key)
        runs = tuple(run for run in vetted.runs if run.run_id not in taken)
        differing = [each for run_id, each in vetted.contradicting if run_id not in taken]
        rejected = _bounded([*vetted.rejected, *differing]) if differing else vetted.rejected
        keys = [request.run_key for request in vetted.data.run_requests if request.run_key]
        reason = None if runs else _reason(vetted.data, existing, rejected)
        last = fit_some(keys[-1] if keys else None, MAX_RUN_KEY)
        plan = Plan(runs, existing, rejected, reason, last)
        return self._with_payloads(plan, vetted.payloads) if vetted.payloads else plan

    def claimed_keys(self, run_keys: Mapping[str, str]) -> set[str]:
        """Return the run keys that can start no run any more.

        Args:
            run_keys: by run id.
        """
        return {run_keys[run_id] for run_id in self.known.claimed(dict.fromkeys(run_keys))}

    def _check_granted(self, requests: Sequence[RunRequest]) -> None:
        if self.granted is None:
            return
        ungranted = [request for request in requests if (request.job_name or "") not in self.granted]
        if not ungranted:
            return
        jobs = sorted({str(request.job_name) for request in ungranted})
        shown = ", ".join(map(repr, jobs[:SHOWN_JOBS])) + (", …" if len(jobs) > SHOWN_JOBS else "")
        it, job = ("it", "job") if len(jobs) == 1 else ("them", "jobs")
        msg = (
            f"Sensor {self.definition.name} requested {len(ungranted)} runs of {job} {shown} (the "
            f"first with run key {ungranted[0].run_key!r}), but has no grant to start {it}: its "
            f"granted jobs are {', '.join(sorted(self.granted)) or 'none'}. Nothing was committed. "
            f"Add {it} to TREADLE_GRANTED_JOBS and to the jobs of its registry entry in "
            "template.yaml, and deploy."
        )
        raise InvalidResultError(msg)

    def _check_valid(self, invalid: list[RejectedRequest]) -> None:
        if not invalid or self.definition.on_invalid != FAIL:
            return
        shown = (f"run key {each.run_key!r}: {fit(each.reason, SHORT)}" for each in invalid[:SHOWN_INVALID])
        more = f"; and {len(invalid) - SHOWN_INVALID} more" if len(invalid) > SHOWN_INVALID else ""
        msg = (
            f"Sensor {self.definition.name} returned {len(invalid)} invalid requests, and its "
            f'on_invalid is "fail": {"; ".join(shown)}{more}. Nothing of this tick was committed. '
            "Correct the requests."
        )
        raise InvalidResultError(msg)

    def _check_size(self, size: int) -> None:
        if size > MAX_OUTCOME_BYTES:
            msg = (
                f"Sensor {self.definition.name} returned run requests and asset events with {size} "
                f"bytes of run config and tags in one tick; the limit is {MAX_OUTCOME_BYTES}. "
                "Return fewer and continue from the cursor at the next tick."
            )
            raise InvalidResultError(msg)

    def _check_payloads(self, payloads: Mapping[str, bytes]) -> None:
        size = sum(map(len, payloads.values()))
        if len(payloads) > MAX_PAYLOADS or size > MAX_PAYLOADS_BYTES:
            msg = (
                f"Sensor {self.definition.name} returned {len(payloads)} run configs in one tick that are too large to be "
                f"sent, with {size} bytes; the limits are {MAX_PAYLOADS} and {MAX_PAYLOADS_BYTES}. Return fewer and continue "
                "from the cursor at the next tick."
            )
            raise InvalidResultError(msg)

    def _payload(self, run: PlannedRun, size: int, tick_id: str, depth: int) -> bytes | None:
        """Return the run config as bytes if it is too large to be sent with its run; None if it is not."""
        most = self.definition.job_named(run.job).max_inline_bytes or MAX_REQUEST_BYTES
        if size <= most and self._stored_size(run, size, tick_id, depth) <= MAX_RECORD_BYTES:
            return None
        config = run.run_config.encode()
        return config if len(config) > _REFERENCE_BYTES else None

    def _referring(self, run: PlannedRun, payload: bytes) -> PlannedRun:
        """Return a run with a reference to its run config; unchanged if that is too large in any case."""
        # Imported here, as most run configs are small.
        from treadle.definitions.payloads import MAX_PAYLOAD_BYTES, PayloadReference, payload_key

        if len(payload) > MAX_PAYLOAD_BYTES:
            return run
        key = payload_key(self.definition.name, run.job, payload)
        digest = key.rpartition("/")[2]
        reference = PayloadReference(self.blobs.address(key), digest, len(payload))
        return replace(run, run_config=str(reference))

    def _with_payloads(self, plan: Plan, payloads: Mapping[str, bytes]) -> Plan:
        """Return a plan with the run configs to which its runs refer."""
        from treadle.definitions.payloads import payload_key

        name = self.definition.name
        found = ((each.job, payloads[each.run_id]) for each in plan.runs if each.run_id in payloads)
        return replace(plan, payloads={payload_key(name, job, content): content for job, content in found})

    def _stored_size(self, run: PlannedRun, size: int, tick_id: str, depth: int) -> int:
        """Return the bytes that a request adds to its run's record, of which a small one has few."""
        if 3 * size <= MAX_RECORD_BYTES - _OWN_BYTES:
            return 3 * size
        tags = run_tags(run, self.definition.name, tick_id, depth + 1)
        # Tags are stored as JSON in ASCII, and sent as JSON in UTF-8, which is never longer.
        return byte_size(run.run_config) + len(json.dumps([tags, run.run_key, run.partition_key]))

    def _unknown_partitions(
        self, requests: Sequence[RunRequest], *, is_sweep: bool
    ) -> dict[tuple[str, str | None], str]:
        """Return, by job and key, why the job has no such partition; each definition lists its keys once."""
        unknown: dict[tuple[str, str | None], str] = {}
        for job in self.definition.jobs:
            if job.partitions_def is None:
                continue
            keys = {
                each.partition_key
                for each in requests
                if each.job_name == job.name and each.partition_key is not None
            }
            if not keys:
                continue
            # Imported here, as most jobs have no partitions.
            from treadle.definitions.partitions.base import key_problems

            problems = key_problems(job.partitions_def, keys)
            if problems and job.partitions_def.needs_store and not is_sweep:
                first = min(problems)
                msg = (
                    f"{len(problems)} requests of job {job.name} have an unknown partition: {problems[first]} Add the "
                    "key in the same result with build_add_request. Nothing of this tick was committed."
                )
                raise DagsterUnknownPartitionError(msg)
            for key, problem in problems.items():
                unknown[job.name, key] = f"Request of job {job.name} has an invalid partition: {problem}"
        return unknown

    def _unfit(
        self,
        request: RunRequest,
        run: PlannedRun,
        size: int,
        tick_id: str,
        depth: int,
        partition_problem: str | None,
    ) -> str | None:
        """Return why the request can never become a run; None if it can."""
        job = self.definition.job_named(run.job)
        problem = (
            config_problem(job, request.plain_config)
            or partition_problem
            or self._selection_problem(job, request, run)
            or tags_problem(run.tags)
            or _reference_problem(request)
        )
        if problem is not None:
            return problem
        if size > MAX_REQUEST_BYTES:
            return _too_large(run, size)
        for name, key, most in (
            ("run key", run.run_key, MAX_RUN_KEY),
            ("partition key", run.partition_key, MAX_PARTITION_KEY),
        ):
            if key and byte_size(key) > most:
                return (
                    f"The request's {name} has {byte_size(key)} bytes; the limit is {most}. Use a "
                    "shorter one."
                )
        whole = self._stored_size(run, size, tick_id, depth)
        if whole > MAX_RECORD_BYTES:
            return (
                f"Run request too large: run key, partition key, tags and run_config have {whole} "
                f"bytes as stored; the limit is {MAX_RECORD_BYTES}. Request several smaller runs, "
                "or store the large values and pass their location."
            )
        return None

    def _selection_problem(self, job: "JobDefinition", request: RunRequest, run: PlannedRun) -> str | None:
        """Return why the request's assets cannot be made; None if they can, or if it selects none."""
        if request.asset_selection is not None:
            # Imported here, as most requests select no assets.
            from treadle.definitions.asset_targets import selection_problem

            return selection_problem(self.definition.asset_targets, job, request)
        if ASSET_SELECTION_TAG in run.tags:
            return (
                f"The request has the tag {ASSET_SELECTION_TAG}, which Treadle sets. Give the assets as "
                "asset_selection, and leave out the tag."
            )
        return None

    def _planned(self, request: RunRequest, tick_id: str, index: int) -> PlannedRun:
        name = self.definition.name
        job = self.definition.job_named(request.job_name or "")
        if request.run_key:
            run_id = self.run_ids.keyed(name, request.run_key)
        else:
            run_id = self.run_ids.keyless(name, tick_id, index)
        return PlannedRun(
            run_id=run_id,
            run_key=request.run_key or None,
            job=job.name,
            # Both are read only here: the author's code may have changed them since the request was created.
            run_config=json_text(request.plain_config, "run_config"),
            tags=tag_texts({**(job.run_tags or {}), **request.tags})
            | _partition_tags(job, request.partition_key)
            | _selection_tags(request),
            partition_key=request.partition_key,
            retries=self.definition.retries_per_key,
        )


def _keyed(vetted: ValidatedRequests) -> dict[str, PlannedRun]:
    """Return the requests that have a run key, by run id."""
    return {run.run_id: run for run in vetted.runs if run.run_key}


def _partition_tags(job: "JobDefinition", partition_key: str | None) -> dict[str, str]:
    """Return the tags of a partition; none for a key without the dimensions, whose request is rejected."""
    if partition_key is None or job.partitions_def is None:
        return {}
    try:
        return dict(job.partitions_def.get_tags_for_partition_key(partition_key))
    except DagsterInvalidInvocationError:
        return {}


def _selection_tags(request: RunRequest) -> dict[str, str]:
    if request.asset_selection is None:
        return {}
    keys = {key.to_escaped_user_string() for key in request.asset_selection}
    return {ASSET_SELECTION_TAG: canonical_json(sorted(keys))}


def _reference_problem(request: RunRequest) -> str | None:
    """Return why a run config may not have the name of a reference; None if it does not."""
    if PAYLOAD_NAME not in request.plain_config:
        return None
    return (
        f"The run config has the name {PAYLOAD_NAME}, which Treadle sets in place of a run config that is too large to be "
        "sent. Request the run with the values themselves."
    )


def _too_large(run: PlannedRun, size: int) -> str:
    """Return why a request is too large, with what makes it so."""
    # Imported here, as most requests are small.
    from treadle.definitions.payloads import MAX_PAYLOAD_BYTES

    config = byte_size(run.run_config)
    found = (
        f"run_config has {config} bytes; the limit is {MAX_PAYLOAD_BYTES}"
        if config > MAX_PAYLOAD_BYTES
        else f"run_config and tags have {size} bytes, also with a reference in place of a large run_config; the limit is {MAX_REQUEST_BYTES}"
    )
    return f"Run request too large: {found}. Request several smaller runs, or store the large values and pass their location."


def _size(run: PlannedRun) -> int:
    return byte_size(run.run_config) + byte_size(canonical_json(dict(run.tags)))


def _contradiction(first: PlannedRun, second: PlannedRun) -> str:
    """Return why the second request with a run key in one tick starts nothing: the first one has the key."""
    parts = {"job": "job", "run_config": "run config", "tags": "tags", "partition_key": "partition key"}
    differing = [text for name, text in parts.items() if getattr(first, name) != getattr(second, name)]
    return (
        f"Run key {second.run_key!r} was requested twice in this tick, with different "
        f"{', '.join(differing)}; the first request keeps it. Give each run its own run key."
    )


def _bounded(found: list[RejectedRequest]) -> tuple[RejectedRequest, ...]:
    """Return the rejected requests, with reasons while space permits; a last entry counts the rest."""
    room = MAX_REJECTED_BYTES
    bounded: list[RejectedRequest] = []
    for each in found[:MAX_REJECTED_ENTRIES]:
        room -= len(each.reason)
        bounded.append(each if room > 0 else RejectedRequest(each.run_key, fit(each.reason, SHORT)))
    left = len(found) - MAX_REJECTED_ENTRIES
    if left > 0:
        bounded.append(RejectedRequest(None, f"{left} more were rejected."))
    return tuple(bounded)


def _checked_again(made: "ReportedEvent") -> "ReportedEvent":
    """Validate an asset event again, which the author's code may have changed since it was created."""
    # Imported here because most sensors report none.
    from treadle.definitions.assets import AssetMaterialization, AssetObservation

    kind = AssetObservation if isinstance(made, AssetObservation) else AssetMaterialization
    return kind(made.asset_key, made.description, made.metadata, made.partition, made.tags)


def _event_size(made: "ReportedEvent") -> int:
    key = made.asset_key.to_escaped_user_string()
    texts = (key, made.description, made.partition, made.plain_metadata, made.optional_fields)
    return len(canonical_json(texts).encode()) + OVERHEAD_BYTES


def _reason(
    data: SensorExecutionData, existing: tuple[str, ...], rejected: tuple[RejectedRequest, ...]
) -> str:
    if rejected:
        return f"{len(rejected)} invalid requests were rejected: {rejected[0].reason}"
    if existing:
        shown = ", ".join(existing[:3]) + (", …" if len(existing) > 3 else "")
        return (
            f"{counted(len(existing), 'run')} requested, but skipped because the runs already exist: {shown}"
        )
    # A skip reason without a message says as little as a function that returned nothing.
    return data.skip_message or EMPTY_RESULT
