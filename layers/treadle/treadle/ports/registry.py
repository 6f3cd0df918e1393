"""The registry: the sensors and jobs that projects have registered with their engine, and who may start what."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from treadle.definitions.errors import RegistryEntryError
from treadle.definitions.jobs import NAME, names_in
from treadle.definitions.status import DefaultSensorStatus
from treadle.ports.deployment import EVENT_KINDS
from treadle.ports.targets import UNANSWERING, JobSettings, kind_of

CONTRACT = 1
"""The version of the contract between an engine and its projects that this code was written for."""

SERVED = frozenset(range(max(1, CONTRACT - 1), CONTRACT + 1))
"""The versions that an engine of this code serves, and that operators can read: this one and the one before."""

ROOT = "/treadle"

_MOST_DIGITS = 9
"""Of an interval in seconds: thirty years."""

SENSORS, JOBS = "sensors", "jobs"
"""The folders of an engine's path."""


def path_of(engine: str) -> str:
    """The path under which an engine's entries are in Parameter Store.

    Args:
        engine: the engine's name.
    """
    return f"{ROOT}/{engine}/"


@dataclass(frozen=True, slots=True)
class SensorEntry:
    """A registered sensor.

    Attributes:
        name: the sensor's.
        project: the stack that registered it.
        function: the name of its Lambda function.
        kind: such as "schedule" or "s3".
        jobs: the names of the jobs that it may start.
        queue: the URL of its queue; "" if it has none.
        rule: the EventBridge rule that feeds it, as CloudFormation names it; "" if it has none.
        log_group: where its function writes.
        contract: the version of the contract that its project was built for.
        default_status: what holds where no operator has said anything, as its function has it, too.
        interval_seconds: from one tick to the next, as its function has it, too; 0 where the template gives none.
        dead_letters: the URL of its project's dead-letter queue; "" if its project has none.
        registered_at: since when the engine has known this value of the entry, in milliseconds.
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
    # Not part of what it is: the same entry, registered again, is the same.
    registered_at: int = field(default=0, compare=False)

    @property
    def is_ticked(self) -> bool:
        """Whether a schedule ticks it."""
        return self.kind not in EVENT_KINDS


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A registered job.

    Attributes:
        name: the job's.
        project: the stack that registered it.
        settings: what its name launches.
        sensors: the sensors that may start it, whatever their project; empty for those of its own project.
        contract: the version of the contract that its project was built for.
        is_observed: whether executions get records whoever starts them.
    """

    name: str
    project: str
    settings: JobSettings
    sensors: frozenset[str] = frozenset()
    contract: int = CONTRACT
    is_observed: bool = False

    def accepts(self, sensor: SensorEntry) -> bool:
        """Whether a sensor may start this job, as far as the job's owner is concerned.

        Args:
            sensor: which.
        """
        return sensor.name in self.sensors if self.sensors else sensor.project == self.project


@dataclass(frozen=True, slots=True)
class Registry:
    """A copy of all entries.

    Attributes:
        sensors: the registered sensors by name.
        jobs: the registered jobs by name.
        problems: why an entry could not be taken, by its path below the engine's, such as "jobs/load"; where there
            was a valid entry before, that one is still in use.
        listed_at: when Parameter Store was listed, in milliseconds; 0 if it never was.
        engine: the name of the engine whose entries these are; "" if no copy was made yet.
    """

    sensors: Mapping[str, SensorEntry] = field(default_factory=dict)
    jobs: Mapping[str, JobEntry] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    listed_at: int = 0
    engine: str = ""

    def may_start(self, sensor: str, job: str) -> bool:
        """Whether a sensor may start a job: its own entry names the job, and the job's entry accepts it.

        Args:
            sensor: the sensor's name.
            job: the job's name.
        """
        list_by_sensor, of_job = self.sensors.get(sensor), self.jobs.get(job)
        return (
            list_by_sensor is not None
            and of_job is not None
            and job in list_by_sensor.jobs
            and of_job.accepts(list_by_sensor)
        )

    def obstacle(self, sensor: str, job: str) -> str:
        """What keeps a sensor from starting a job, and what to do; "" if it is nothing but the sensor's own list.

        Args:
            sensor: the sensor's name.
            job: the job's name.
        """
        list_by_sensor, of_job = self.sensors.get(sensor), self.jobs.get(job)
        if list_by_sensor is None:
            return f"sensor {sensor} is not registered. Deploy its project"
        if job not in list_by_sensor.jobs:
            return ""
        if of_job is None:
            known = ", ".join(sorted(self.jobs)) or "none"
            return f"job {job!r} is not registered, known are: {known}. Deploy its project"
        return (
            ""
            if of_job.accepts(list_by_sensor)
            else f"job {job!r} does not accept it. Add it to the job's sensors and deploy"
        )


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """What the engine's copy holds of one entry.

    Attributes:
        text: the last valid value; "" if there was none, or the entry is deleted.
        read_at: when Parameter Store was asked for it last, in milliseconds.
        problem: why a later value could not be taken; "" if there is none.
        is_missing: True if the last listing lacked it.
        changed_at: when this text was read first, in milliseconds; 0 if that is not known.
    """

    text: str
    read_at: int
    problem: str = ""
    is_missing: bool = False
    changed_at: int = 0

    @property
    def is_deleted(self) -> bool:
        """Whether it only says when the entry was deleted."""
        return not self.text and not self.problem


@dataclass(frozen=True, slots=True)
class RegistryCopy:
    """The engine's copy of the registry, as it is kept.

    Attributes:
        engine: the engine's name; "" if no copy was made yet.
        entries: by the entry's path below the engine's, such as "jobs/load".
        listed_at: when the last full listing began, in milliseconds; 0 if there was none.
        revision: raised by each write; 0 if no copy was made yet.
    """

    engine: str = ""
    entries: Mapping[str, KeptEntry] = field(default_factory=dict)
    listed_at: int = 0
    revision: int = 0

    def registry(self, kinds: Collection[str]) -> Registry:
        """The entries as this code understands them; those that it does not are among the problems.

        Args:
            kinds: the known kinds of targets.
        """
        sensors: dict[str, SensorEntry] = {}
        jobs: dict[str, JobEntry] = {}
        problems: dict[str, str] = {}
        for path, kept in self.entries.items():
            if kept.problem:
                problems[path] = kept.problem
            if not kept.text:
                continue
            try:
                entry = parse_entry(path, kept.text, kinds)
            except RegistryEntryError as error:
                problems.setdefault(path, str(error))
                continue
            if isinstance(entry, SensorEntry):
                sensors[entry.name] = replace(entry, registered_at=kept.changed_at)
            else:
                jobs[entry.name] = entry
        return Registry(sensors, jobs, problems, self.listed_at, self.engine)


class RegistryStore(Protocol):
    """Keeps the engine's copy of the registry."""

    def read(self) -> Registry:
        """The copy, read strongly; an empty one if none was made yet.

        Raises:
            StoreError: if the store did not answer.
            UnreadableRecordError: if the copy is damaged.
        """

    def copy(self) -> RegistryCopy:
        """The copy as it is kept, read strongly; one without entries if none was made yet, or it is damaged.

        Raises:
            StoreError: if the store did not answer.
        """

    def replace(self, copy: RegistryCopy) -> bool:
        """Write a copy under the next revision, unless another was written since this one was read.

        Args:
            copy: made of the one that was read, with its revision.

        Returns:
            Whether it was written.

        Raises:
            StoreError: if the store did not answer, or rejected it.
        """


class EntrySource(Protocol):
    """Parameter Store, where projects register their sensors and jobs with an engine."""

    def list(self) -> Mapping[str, str]:
        """All values, by path below the engine's, such as "jobs/load".

        Raises:
            StoreError: if it did not answer, or not completely.
        """

    def get(self, path: str) -> str | None:
        """One value; None only if there certainly is no such entry.

        Args:
            path: below the engine's.

        Raises:
            StoreError: if it did not answer.
        """


def parse_entry(path: str, text: str, kinds: Collection[str]) -> SensorEntry | JobEntry:
    """An entry, as its project's template writes it.

    Args:
        path: of the entry below the engine's, such as "jobs/load".
        text: its value.
        kinds: the known kinds of targets.

    Raises:
        RegistryEntryError: if it is malformed, or neither a sensor's nor a job's.
    """
    folder, _, name = path.partition("/")
    if folder == SENSORS:
        return parse_sensor(name, text)
    if folder == JOBS:
        return parse_job(name, text, kinds)
    msg = f"{path!r} is neither {SENSORS}/<name> nor {JOBS}/<name>. Delete the parameter."
    raise RegistryEntryError(msg)


def parse_sensor(name: str, text: str) -> SensorEntry:
    """A sensor's entry, as its project's template writes it.

    Args:
        name: the last part of the entry's path.
        text: the value, a JSON object of texts: `project`, `function` and `kind`; and where there are any, `jobs`
            (names joined by commas), `queue`, `rule`, `log_group`, `contract`, `status` (RUNNING or STOPPED, what holds
            where no operator has said anything; STOPPED if it is left out), `interval` (seconds from one tick to the
            next) and `dead_letters` (the URL of the project's dead-letter queue).

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
        _seconds(fields, "interval"),
        _text(fields, "dead_letters"),
    )


def parse_job(name: str, text: str, kinds: Collection[str]) -> JobEntry:
    """A job's entry, as its project's template writes it.

    Args:
        name: the last part of the entry's path.
        text: the value, a JSON object of texts: `project` and `target`; and where there are any, `arn`, `role` (the
            ARN of the role that the engine assumes), `parameter` (what gives the ARN, if not the entry itself),
            `sensors` (names joined by commas), `observed` ("true" if executions get records whoever starts them),
            `former` (addresses that the job had before, joined by commas), `contract`, and `options`, an object of
            texts.
        kinds: the known kinds of targets.

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
        msg = "its options are not an object of texts. Write each option as a text."
        raise RegistryEntryError(msg)
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
        msg = f"it is a JSON {type(fields).__name__}, and must be an object. Deploy its project again."
        raise RegistryEntryError(msg)
    return fields


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        msg = f"its {name} is {value!r}, and must be a text. Correct it in its project's template."
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
        msg = f"its {name} is {text!r}, and must be true or false. Correct it in its project's template."
        raise RegistryEntryError(msg)
    return text == "true"


def _observed(fields: Mapping[str, Any], target: str) -> bool:
    is_observed = _switch(fields, "observed")
    if is_observed and target in UNANSWERING:
        msg = (
            f"it is observed, and jobs on {target} cannot be: nobody can be asked what runs there. Take out observed in "
            "its project's template."
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
"""How the last part of the ARN begins of what a job can start, by the kind of its target."""

_NAMED = {"glue", "batch"}
"""Kinds whose addresses may be bare names."""


def _former(fields: Mapping[str, Any], target: str) -> tuple[str, ...]:
    addresses = tuple(names_in(_text(fields, "former")))
    for each in addresses:
        if not _is_address(each, target):
            msg = (
                f"its former has {each!r}, which no job can have as its address. Write values that its arn had, joined by "
                "commas, in its project's template."
            )
            raise RegistryEntryError(msg)
    return addresses


def _is_address(text: str, target: str) -> bool:
    """Whether a text names one target: not one of its executions, and not several, as the resources of a role may."""
    if any(mark in text for mark in "*?"):
        return False
    if not text.startswith("arn:"):
        return target in _NAMED
    begin, resource = _RESOURCES.get(kind_of(text)), "".join(text.split(":", 5)[5:])
    return begin is not None and resource.startswith(begin) and resource != begin


def _status(fields: Mapping[str, Any]) -> DefaultSensorStatus:
    text = _text(fields, "status") or DefaultSensorStatus.STOPPED.value
    if text not in set(DefaultSensorStatus):
        msg = f"its status is {text!r}, and must be RUNNING or STOPPED. Correct it in its project's template."
        raise RegistryEntryError(msg)
    return DefaultSensorStatus(text)


def _seconds(fields: Mapping[str, Any], name: str) -> int:
    text = _text(fields, name)
    if text and not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        msg = f"its {name} is {text!r}, and must be a whole number of seconds. Correct it in its project's template."
        raise RegistryEntryError(msg)
    return int(text or 0)


def _contract(fields: Mapping[str, Any]) -> int:
    text = _text(fields, "contract") or str(CONTRACT)
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        msg = f"its contract is {text!r}, and must be a whole number. Deploy its project again."
        raise RegistryEntryError(msg)
    contract = int(text)
    if contract not in SERVED:
        msg = (
            f"its contract is {contract}, and this engine serves {', '.join(map(str, sorted(SERVED)))}. "
            f"Deploy {'the engine' if contract > CONTRACT else 'its project'} with a newer version of Treadle."
        )
        raise RegistryEntryError(msg)
    return contract
