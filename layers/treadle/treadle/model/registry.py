"""The registry's entries: sensors, jobs, and which sensor may start which job."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from treadle.definitions.errors import DagsterInvalidDefinitionError, RegistryEntryError
from treadle.definitions.jobs import NAME, names_in
from treadle.definitions.runs import CONCURRENCY_KEY_TAG
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import EVENT_KINDS
from treadle.model.pools import (
    MAX_LIMIT,
    Overlap,
    PoolState,
    declared_name,
    pool_key,
    pool_name,
    pool_of_job,
    starts_key,
    turn_of,
)
from treadle.model.targets import UNANSWERING, JobSettings, kind_of

if TYPE_CHECKING:
    from treadle.definitions.hours import Hours

CONTRACT = 1
"""The contract version of this code."""

SERVED = frozenset(range(max(1, CONTRACT - 1), CONTRACT + 1))
"""The contract versions that this code supports, in the engine and for operators: this one and the last."""

ROOT = "/treadle"

_MOST_DIGITS = 9
"""The maximum number of digits of a number, such as an interval in seconds: about thirty years."""

SENSORS, JOBS, POOLS = "sensors", "jobs", "pools"
"""The folders of an engine's path."""

_MOST_PARSED = 2_000
"""The number of entries that a process keeps parsed: more than one copy of the registry has."""


def path_of(engine: str) -> str:
    """Return the Parameter Store path of an engine's entries."""
    return f"{ROOT}/{engine}/"


@dataclass(frozen=True, slots=True)
class SensorEntry:
    """A registered sensor.

    Attributes:
        name: the sensor's name.
        project: the stack that registered it.
        function: the name of its Lambda function.
        kind: such as "schedule" or "s3".
        jobs: the names of the jobs that it may start.
        queue: the URL of its queue; "" if it has none.
        rule: the EventBridge rule that feeds it, by CloudFormation's name; "" if it has none.
        log_group: its function's log group.
        contract: the contract version that its project was built for.
        default_status: the status until an operator sets another one; its function has the same value.
        interval_seconds: the interval between two ticks; its function has the same value. 0 where the
            template gives none.
        dead_letters: the URL of its project's dead-letter queue; "" if its project has none.
        runs_per_hour: how many runs it may start per hour, 0 for no limit; None for the engine's own limit.
        holds_loops: False if its requests are started although they look like a loop through its bucket.
        hours: in which its schedule evaluates it; its function has the same. None for at all times.
        registered_at: when the engine first read this value of the entry, in milliseconds.
    """

    name: str
    project: str
    function: str
    kind: str
    jobs: frozenset[str] = frozenset()
    queue: str = ""
    rule: str = ""
    log_group: str = ""
    contract: int = CONTRACT
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED
    interval_seconds: int = 0
    dead_letters: str = ""
    runs_per_hour: int | None = None
    holds_loops: bool = True
    hours: "Hours | None" = None
    # Not part of its identity: the same entry, registered again, compares equal.
    registered_at: int = field(default=0, compare=False)

    @property
    def is_ticked(self) -> bool:
        """True if a schedule ticks it."""
        return self.kind not in EVENT_KINDS

    @property
    def is_watched_for_loops(self) -> bool:
        """True if its requests are held once its runs create the objects that it watches."""
        return self.kind == "s3" and self.holds_loops


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A registered job.

    Attributes:
        name: the job's name.
        project: the stack that registered it.
        settings: the target that it starts.
        sensors: the sensors that may start it, of any project; empty for those of its own project.
        contract: the contract version that its project was built for.
        is_observed: True if external runs are recorded too.
        pools: the names of the pools that its runs are in.
        max_concurrent_runs: how many of its runs may be in progress at a time; None for any number.
        overlap: what becomes of a run that is requested while that many are in progress.
        max_starts_per_minute: how many of its runs may start in any 60 seconds; None for any number.
    """

    name: str
    project: str
    settings: JobSettings
    sensors: frozenset[str] = frozenset()
    contract: int = CONTRACT
    is_observed: bool = False
    pools: frozenset[str] = frozenset()
    max_concurrent_runs: int | None = None
    overlap: Overlap = Overlap.QUEUE
    max_starts_per_minute: int | None = None

    def accepts(self, sensor: SensorEntry) -> bool:
        """Return whether the job's entry allows a sensor to start it."""
        return sensor.name in self.sensors if self.sensors else sensor.project == self.project

    @property
    def own_pool(self) -> "PoolEntry":
        """Return the pool of its runs alone, which may limit nothing."""
        limit, starts = self.max_concurrent_runs, self.max_starts_per_minute
        name = pool_of_job(self.name)
        return PoolEntry(name, self.project, limit, starts_per_minute=starts, overlap=self.overlap)


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """A declared concurrency pool: a limit of the runs that are in progress at a time, or start per minute, or both.

    A run is in the pool if its job's entry names the pool, its tag `dagster/concurrency_key` does, the pool has the
    runs of all jobs, or the run has the pool's tag.

    Attributes:
        name: the pool's name.
        project: the stack that declares it.
        limit: how many runs may be in progress at a time; None for any number.
        all_jobs: True if the runs of all jobs are in it.
        tag: runs with this tag are in it; "" for none.
        value: only those with this value of the tag; None for any.
        per_value: True if each value of the tag has the limit by itself.
        limits: the limits of some values, instead of `limit`.
        contract: the contract version that its project was built for.
        starts_per_minute: how many runs may start in any 60 seconds; None for any number.
        turns_by: a tag, among whose values the runs that wait with the same priority take turns; "" for none.
        overlap: of the pool of one job: what becomes of a run for which no slot is free.
    """

    name: str
    project: str
    limit: int | None
    all_jobs: bool = False
    tag: str = ""
    value: str | None = None
    per_value: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    contract: int = CONTRACT
    starts_per_minute: int | None = None
    turns_by: str = ""
    overlap: Overlap = Overlap.QUEUE

    def states(self) -> list[PoolState]:
        """Return the pool as the engine applies it: each of its two limits is a pool."""
        found = (
            []
            if self.limit is None
            else [PoolState(self.name, self.limit, self.limits, overlap=self.overlap)]
        )
        if self.starts_per_minute is not None:
            found.append(PoolState(starts_key(self.name), self.starts_per_minute))
        return found

    def keys_of(self, key: str, *, is_queried: bool) -> list[str]:
        """Return the keys of the pools that a run with the pool's key is in.

        Args:
            key: the key, as `key_of` returns it.
            is_queried: False if it is not known when the run ends, so that only its start can be limited.
        """
        limited = [key] if self.limit is not None and is_queried else []
        return limited if self.starts_per_minute is None else [*limited, starts_key(key)]

    def key_of(self, tags: Mapping[str, str], named: Collection[str]) -> str | None:
        """Return the key of the pool for a run; None if the run is not in it.

        Args:
            tags: the run's tags.
            named: the pools that the run's job or its tag names.
        """
        if self.all_jobs or self.name in named:
            return self.name
        value = tags.get(self.tag) if self.tag else None
        if value is None or (self.value is not None and value != self.value):
            return None
        return pool_key(self.name, value if self.per_value else None)


def pools_of(
    pools: Mapping[str, PoolEntry],
    of_job: Collection[str],
    tags: Mapping[str, str],
    *,
    is_queried: bool = True,
) -> tuple[str, ...]:
    """Return the keys of those of the pools that a run is in, in order.

    Args:
        pools: the declared pools, by name.
        of_job: the names of the pools of the run's job.
        tags: the run's tags.
        is_queried: False if it is not known when the run ends.
    """
    named = {*of_job, tags.get(CONCURRENCY_KEY_TAG, "")}
    keys = ((each, each.key_of(tags, named)) for each in pools.values())
    found = (each.keys_of(key, is_queried=is_queried) for each, key in keys if key is not None)
    return tuple(sorted(chain.from_iterable(found)))


def turns_in(
    pools: Mapping[str, PoolEntry], keys: Collection[str], tags: Mapping[str, str]
) -> dict[str, str]:
    """Return the turns of a run in those of its pools that take turns, by the pool's key.

    Args:
        pools: the declared pools, by name.
        keys: the keys of the run's pools.
        tags: the run's tags; a run without the tag is in turn as one with an empty value.
    """
    entries = {key: pools.get(declared_name(pool_name(key))) for key in keys}
    return {
        key: turn_of(tags.get(entry.turns_by, ""))
        for key, entry in entries.items()
        if entry and entry.turns_by
    }


@dataclass(frozen=True, slots=True)
class Registry:
    """All registry entries, parsed.

    Attributes:
        sensors: the registered sensors by name.
        jobs: the registered jobs by name.
        pools: the declared pools by name.
        problems: why an entry is invalid, by its path below the engine's, such as "jobs/load"; an earlier
            valid version of it remains in use.
        listed_at: when Parameter Store was listed, in milliseconds; 0 if it never was.
        engine: the engine's name; "" if no copy has been made yet.
    """

    sensors: Mapping[str, SensorEntry] = field(default_factory=dict)
    jobs: Mapping[str, JobEntry] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    listed_at: int = 0
    engine: str = ""
    pools: Mapping[str, PoolEntry] = field(default_factory=dict)

    def pools_of(self, job: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return the keys of the pools that a run is in, in order.

        Args:
            job: the run's job; if its target's runs cannot be queried, only their starts are limited.
            tags: the run's tags.
        """
        entry = self.jobs.get(job)
        if entry is None:
            return ()
        is_queried = entry.settings.target not in UNANSWERING
        own = entry.own_pool.keys_of(entry.own_pool.name, is_queried=is_queried)
        declared = pools_of(self.pools, entry.pools, tags, is_queried=is_queried) if self.pools else ()
        return tuple(sorted((*own, *declared)))

    def pool_states(self) -> dict[str, PoolState]:
        """Return all declared pools by name, those of single jobs included."""
        entries = [*self.pools.values(), *(job.own_pool for job in self.jobs.values())]
        return {state.name: state for entry in entries for state in entry.states()}

    def may_start(self, sensor: str, job: str) -> bool:
        """Return whether a sensor may start a job: its entry names it, and the job's entry accepts that."""
        list_by_sensor, of_job = self.sensors.get(sensor), self.jobs.get(job)
        return (
            list_by_sensor is not None
            and of_job is not None
            and job in list_by_sensor.jobs
            and of_job.accepts(list_by_sensor)
        )

    def obstacle(self, sensor: str, job: str) -> str:
        """Return why a sensor may not start a job, and the remedy; "" if only the sensor's list lacks it."""
        list_by_sensor, of_job = self.sensors.get(sensor), self.jobs.get(job)
        if list_by_sensor is None:
            return f"sensor {sensor} is not registered. Deploy its project"
        if job not in list_by_sensor.jobs:
            return ""
        if of_job is None:
            known = ", ".join(sorted(self.jobs)) or "none"
            return f"job {job!r} is not registered; registered jobs: {known}. Deploy its project"
        return (
            ""
            if of_job.accepts(list_by_sensor)
            else f"job {job!r} does not accept it. Add it to the job's sensors and deploy"
        )


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """One entry in the engine's copy.

    Attributes:
        text: the last valid value; "" if there was none, or the entry is deleted.
        read_at: when it was last read from Parameter Store, in milliseconds.
        problem: why a later value is invalid; "" if there is none.
        is_missing: True if the last listing lacked it.
        changed_at: when this text was first read, in milliseconds; 0 if that is not known.
    """

    text: str
    read_at: int
    problem: str = ""
    is_missing: bool = False
    changed_at: int = 0

    @property
    def is_deleted(self) -> bool:
        """True if it only records when the entry was deleted."""
        return not self.text and not self.problem


@dataclass(frozen=True, slots=True)
class RegistryCopy:
    """The engine's copy of the registry, as stored.

    Attributes:
        engine: the engine's name; "" if no copy has been made yet.
        entries: by the entry's path below the engine's, such as "jobs/load".
        listed_at: when the last full listing began, in milliseconds; 0 if there was none.
        revision: incremented by each write; 0 if no copy has been made yet.
    """

    engine: str = ""
    entries: Mapping[str, KeptEntry] = field(default_factory=dict)
    listed_at: int = 0
    revision: int = 0

    def registry(self, kinds: Collection[str]) -> Registry:
        """Parse the entries; those that this code cannot parse are reported as problems.

        Args:
            kinds: the known target types.
        """
        sensors: dict[str, SensorEntry] = {}
        jobs: dict[str, JobEntry] = {}
        pools: dict[str, PoolEntry] = {}
        problems: dict[str, str] = {}
        for path, kept in self.entries.items():
            if kept.problem:
                problems[path] = kept.problem
            if not kept.text:
                continue
            try:
                entry = parse_entry(path, kept.text, kinds, kept.changed_at)
            except RegistryEntryError as error:
                problems.setdefault(path, str(error))
                continue
            if isinstance(entry, SensorEntry):
                sensors[entry.name] = entry
            elif isinstance(entry, PoolEntry):
                pools[entry.name] = entry
            else:
                jobs[entry.name] = entry
        return Registry(sensors, jobs, problems, self.listed_at, self.engine, pools)


def parse_entry(
    path: str, text: str, kinds: Collection[str], changed_at: int = 0
) -> SensorEntry | JobEntry | PoolEntry:
    """Parse an entry, as its project's template writes it.

    Args:
        path: the entry's path below the engine's, such as "jobs/load".
        text: its value.
        kinds: the known target types.
        changed_at: when it was changed, which is when a sensor was registered, in milliseconds.

    Raises:
        RegistryEntryError: if it is malformed, or describes neither a sensor nor a job nor a pool.
    """
    return _parsed(path, text, frozenset(kinds), changed_at)


@lru_cache(_MOST_PARSED)
def _parsed(
    path: str, text: str, kinds: frozenset[str], changed_at: int
) -> SensorEntry | JobEntry | PoolEntry:
    """Return an entry, parsed once: RECONCILE reads all of them several times a minute, and few change."""
    folder, _, name = path.partition("/")
    if folder == SENSORS:
        return replace(parse_sensor(name, text), registered_at=changed_at)
    if folder == JOBS:
        return parse_job(name, text, kinds)
    if folder == POOLS:
        return parse_pool(name, text)
    msg = f"{path!r} is none of {SENSORS}/<name>, {JOBS}/<name> and {POOLS}/<name>. Delete the parameter."
    raise RegistryEntryError(msg)


def parse_sensor(name: str, text: str) -> SensorEntry:
    """Parse a sensor's entry, as its project's template writes it.

    Args:
        name: the last part of the entry's path.
        text: the value, a JSON object of strings: `project`, `function` and `kind`; and optionally `jobs`
            (names separated by commas), `queue`, `rule`, `log_group`, `contract`, `status` (RUNNING or
            STOPPED: the status until an operator sets another one; default STOPPED), `interval` (seconds
            between two ticks), `dead_letters` (the URL of the project's dead-letter queue), `runs_per_hour` (how
            many runs it may start per hour; 0 for no limit) and `loops` (HOLD or ALLOW; default HOLD).

    Raises:
        RegistryEntryError: if it is malformed.
    """
    fields = _fields(name, "sensor", text)
    return SensorEntry(
        name,
        _required(fields, "project"),
        _required(fields, "function"),
        _required(fields, "kind"),
        frozenset(names_in(_text(fields, "jobs"))),
        _text(fields, "queue"),
        _text(fields, "rule"),
        _text(fields, "log_group"),
        _contract(fields),
        _status(fields),
        _whole(fields, "interval", "seconds") or 0,
        _text(fields, "dead_letters"),
        _whole(fields, "runs_per_hour", "runs"),
        _holds_loops(fields),
        _hours(fields),
    )


def parse_job(name: str, text: str, kinds: Collection[str]) -> JobEntry:
    """Parse a job's entry, as its project's template writes it.

    Args:
        name: the last part of the entry's path.
        text: the value, a JSON object of strings: `project` and `target`; and optionally `arn`, `role` (the
            ARN of the role that the engine assumes), `parameter` (what sets the ARN, if not the entry
            itself), `sensors` (names separated by commas), `observed` ("true" to record external runs),
            `former` (earlier addresses of the job, separated by commas), `pools` (names separated by commas),
            `max_concurrent_runs`, `overlap` (QUEUE, SKIP, LATEST or CANCEL; with it, `max_concurrent_runs` is 1 by
            default), `max_starts_per_minute`, `contract`, and `options`, an object of strings.
        kinds: the known target types.

    Raises:
        RegistryEntryError: if it is malformed.
    """
    fields = _fields(name, "job", text)
    target = _required(fields, "target")
    if target not in kinds:
        msg = f"its target is {target!r}. Use one of: {', '.join(sorted(kinds))}."
        raise RegistryEntryError(msg)
    options = fields.get("options", {})
    if not isinstance(options, dict) or not all(isinstance(each, str) for each in options.values()):
        msg = "its options are not an object of strings. Write each option as a string."
        raise RegistryEntryError(msg)
    overlap = _overlap(fields, target)
    settings = JobSettings(
        name,
        target,
        _text(fields, "arn"),
        _text(fields, "parameter") or f"the registry entry of job {name}",
        options,
        _text(fields, "role"),
        _former(fields, target),
    )
    return JobEntry(
        name,
        _required(fields, "project"),
        settings,
        frozenset(names_in(_text(fields, "sensors"))),
        _contract(fields),
        _observed(fields, target),
        _pools(fields, target),
        _limit(fields, "max_concurrent_runs", target, default=None if overlap is None else 1),
        overlap or Overlap.QUEUE,
        _limit(fields, "max_starts_per_minute"),
    )


def parse_pool(name: str, text: str) -> PoolEntry:
    """Parse a pool's entry, as its project's template writes it.

    Args:
        name: the last part of the entry's path.
        text: the value, a JSON object of strings: `project`, and `limit` or `starts_per_minute` or both; and optionally
            `turns_by` (a tag among whose values they take turns), `all_jobs` ("true" for the runs of all jobs), `tag` (for runs with this tag), `value` (only with this value), `per_value` ("true" to
            limit each value by itself), `limits` (an object of the limits of some values) and `contract`.

    Raises:
        RegistryEntryError: if it is malformed.
    """
    fields = _fields(name, "pool", text)
    limit, starts = _limit(fields, "limit"), _limit(fields, "starts_per_minute")
    if limit is None and starts is None:
        msg = "it has neither limit nor starts_per_minute. Add one of them in its project's template."
        raise RegistryEntryError(msg)
    tag, per_value = _text(fields, "tag"), _switch(fields, "per_value")
    turns_by = _text(fields, "turns_by")
    if turns_by and per_value:
        msg = "it has turns_by and per_value, which exclude each other: each value has a queue of its own. Remove one."
        raise RegistryEntryError(msg)
    limits = fields.get("limits", {})
    if not isinstance(limits, dict):
        msg = 'its limits are not an object. Write them as {"value": "5"} in its project\'s template.'
        raise RegistryEntryError(msg)
    of_value = {value: _limit(limits, value) or 0 for value in limits}
    for option, is_given in (
        ("value", "value" in fields),
        ("per_value", per_value),
        ("limits", bool(limits)),
    ):
        if is_given and not tag:
            msg = f"it has {option}, but no tag. Add the tag in its project's template."
            raise RegistryEntryError(msg)
    if limits and limit is None:
        msg = "it has limits of values, but no limit. Add it in its project's template."
        raise RegistryEntryError(msg)
    if limits and not per_value:
        msg = 'it has limits of values, but not "per_value": "true". Add it in its project\'s template.'
        raise RegistryEntryError(msg)
    return PoolEntry(
        name,
        _required(fields, "project"),
        limit,
        _switch(fields, "all_jobs"),
        tag,
        _text(fields, "value") if "value" in fields else None,
        per_value,
        of_value,
        _contract(fields),
        starts,
        turns_by,
    )


def _pools(fields: Mapping[str, Any], target: str) -> frozenset[str]:
    pools = frozenset(names_in(_text(fields, "pools")))
    if pools and target in UNANSWERING:
        raise RegistryEntryError(_not_limited(target, "pools"))
    return pools


def _limit(fields: Mapping[str, Any], name: str, target: str = "", default: int | None = None) -> int | None:
    """Return a limit of runs, or the default. A target whose runs cannot be queried can have none."""
    text = _text(fields, name)
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) <= MAX_LIMIT):
        msg = (
            f"its {name} is {text!r}; it must be a whole number from 0 to {MAX_LIMIT}. Correct it in its project's "
            "template."
        )
        raise RegistryEntryError(msg)
    if target in UNANSWERING:
        raise RegistryEntryError(_not_limited(target, name))
    return int(text)


def _overlap(fields: Mapping[str, Any], target: str) -> Overlap | None:
    text = _text(fields, "overlap")
    if not text:
        return None
    if text not in set(Overlap):
        msg = f"its overlap is {text!r}. Use one of: {', '.join(Overlap)}."
        raise RegistryEntryError(msg)
    if target in UNANSWERING:
        raise RegistryEntryError(_not_limited(target, "overlap"))
    return Overlap(text)


def _not_limited(target: str, name: str) -> str:
    return (
        f"it has {name}, but jobs on {target} cannot be limited: it is not known when their runs end. Remove {name} in "
        "its project's template."
    )


def _fields(name: str, what: str, text: str) -> Mapping[str, Any]:
    if NAME.fullmatch(name) is None:
        msg = f"{name!r} cannot name a {what}. Use 1 to 80 letters, digits and underscores."
        raise RegistryEntryError(msg)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"it is not JSON: {error}. Deploy its project again."
        raise RegistryEntryError(msg) from error
    if not isinstance(fields, dict):
        msg = f"it is a JSON {type(fields).__name__}; it must be an object. Deploy its project again."
        raise RegistryEntryError(msg)
    return fields


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        msg = f"its {name} is {value!r}; it must be a string. Correct it in its project's template."
        raise RegistryEntryError(msg)
    return value


def _required(fields: Mapping[str, Any], name: str) -> str:
    value = _text(fields, name)
    if not value:
        msg = f"it has no {name}. Add it in its project's template."
        raise RegistryEntryError(msg)
    return value


def _switch(fields: Mapping[str, Any], name: str) -> bool:
    text = _text(fields, name)
    if text not in {"", "true", "false"}:
        msg = f"its {name} is {text!r}; it must be true or false. Correct it in its project's template."
        raise RegistryEntryError(msg)
    return text == "true"


def _observed(fields: Mapping[str, Any], target: str) -> bool:
    is_observed = _switch(fields, "observed")
    if is_observed and target in UNANSWERING:
        msg = (
            f"it is observed, but jobs on {target} cannot be observed: their runs cannot be "
            "queried. Remove observed in its project's template."
        )
        raise RegistryEntryError(msg)
    return is_observed


_RESOURCES = {
    "step_functions": "stateMachine:",
    "glue": "job/",
    "batch": "job-definition/",
    "ecs": "task-definition/",
    "lambda": "function:",
    "sqs": "",
    "eventbridge": "event-bus/",
}
"""The prefix of the resource part of a target's ARN, by target type."""

_NAMED = {"glue", "batch"}
"""Target types whose addresses may be plain names."""


def _former(fields: Mapping[str, Any], target: str) -> tuple[str, ...]:
    addresses = tuple(names_in(_text(fields, "former")))
    for each in addresses:
        if not _is_address(each, target):
            msg = (
                f"its former has {each!r}, which is not a valid value of arn. List earlier values "
                "of its arn, separated by commas, in its project's template."
            )
            raise RegistryEntryError(msg)
    return addresses


def _is_address(text: str, target: str) -> bool:
    """Return whether a text names exactly one target: not an execution, and not a pattern as in a policy."""
    if any(mark in text for mark in "*?"):
        return False
    if not text.startswith("arn:"):
        return target in _NAMED
    begin, resource = _RESOURCES.get(kind_of(text)), "".join(text.split(":", 5)[5:])
    return begin is not None and resource.startswith(begin) and resource != begin


def _status(fields: Mapping[str, Any]) -> DefaultSensorStatus:
    text = _text(fields, "status") or DefaultSensorStatus.STOPPED.value
    if text not in set(DefaultSensorStatus):
        msg = f"its status is {text!r}; it must be RUNNING or STOPPED. Correct it in its project's template."
        raise RegistryEntryError(msg)
    return DefaultSensorStatus(text)


def _whole(fields: Mapping[str, Any], name: str, unit: str) -> int | None:
    text = _text(fields, name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        msg = (
            f"its {name} is {text!r}; it must be a whole number of {unit}. Correct it in its project's "
            "template."
        )
        raise RegistryEntryError(msg)
    return int(text)


def _holds_loops(fields: Mapping[str, Any]) -> bool:
    text = _text(fields, "loops") or "HOLD"
    if text not in {"HOLD", "ALLOW"}:
        msg = f"its loops is {text!r}; it must be HOLD or ALLOW. Correct it in its project's template."
        raise RegistryEntryError(msg)
    return text == "HOLD"


def _hours(fields: Mapping[str, Any]) -> "Hours | None":
    text = _text(fields, "hours")
    if not text:
        return None
    # Imported here, as few sensors have hours.
    from treadle.definitions.hours import Hours

    try:
        return Hours.parse(text)
    except DagsterInvalidDefinitionError as error:
        msg = f"its hours are invalid: {error} Correct it in its project's template."
        raise RegistryEntryError(msg) from error


def _contract(fields: Mapping[str, Any]) -> int:
    text = _text(fields, "contract") or str(CONTRACT)
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        msg = f"its contract is {text!r}; it must be a whole number. Deploy its project again."
        raise RegistryEntryError(msg)
    contract = int(text)
    if contract not in SERVED:
        msg = (
            f"its contract is {contract}, but this engine supports "
            f"{', '.join(map(str, sorted(SERVED)))}. Deploy "
            f"{'the engine' if contract > CONTRACT else 'its project'} with a newer version of "
            "Treadle."
        )
        raise RegistryEntryError(msg)
    return contract
