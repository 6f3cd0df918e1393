"""Checks the registry: entries that are inconsistent with each other or with the engine."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from treadle.engine.identity import timestamp
from treadle.model.deployment import DeployedSensor
from treadle.model.registry import CONTRACT, POOLS, SENSORS, JobEntry, PoolEntry, Registry, SensorEntry
from treadle.operate.explanation import closed
from treadle.operate.findings import Finding, Severity
from treadle.operate.problems import ProblemKind, SensorProblem
from treadle.ports.system import Clock

CHECK = "registry"

OLDEST_MS = 900_000
"""RECONCILE lists Parameter Store every 10 minutes: an older copy shows that it is not running."""

SHARED = (
    "TREADLE_ENGINE_ID",
    "TREADLE_NAMESPACE",
    "TREADLE_SENSORS_TABLE",
    "TREADLE_TICKS_TABLE",
    "TREADLE_RUNS_TABLE",
    "TREADLE_EVENTS_TABLE",
    "TREADLE_OUTCOMES_BUCKET",
)
"""Variables that a sensor's function gets from its engine's contract; other values lose its writes."""


@dataclass(frozen=True, slots=True)
class Registrations:
    """Checks the registry.

    Attributes:
        registered: returns the engine's current copy of the registry.
        environment: the environment of the engine's own functions.
        clock: the clock.
    """

    registered: Callable[[], Registry]
    environment: Mapping[str, str]
    clock: Clock

    def of_sensors(self, sensors: Iterable[DeployedSensor]) -> dict[str, tuple[SensorProblem, ...]]:
        """Return the registration problems of sensors, by name; sensors without problems are omitted.

        Raises:
            StoreError: if the store did not respond.
        """
        registry = self.registered()
        found = {each.name: tuple(self._of_sensor(registry, each)) for each in sensors}
        return {name: problems for name, problems in found.items() if problems}

    def limited_jobs(self) -> frozenset[str]:
        """Return the jobs all of whose runs are in a declared pool.

        Raises:
            StoreError: if the store did not respond.
        """
        registry = self.registered()
        return frozenset(name for name in registry.jobs if registry.pools_of(name, {}))

    def findings(self, sensors: Collection[DeployedSensor]) -> Iterator[Finding]:
        """Return all problems of the registry, or that it is in order.

        Args:
            sensors: all registered sensors.

        Raises:
            StoreError: if the store did not respond.
        """
        registry = self.registered()
        found = [
            *self._of_age(registry),
            *_of_rejected(registry),
            *_of_outdated(registry),
            *_of_pools(registry),
            *(
                Finding(CHECK, f"sensor {each.name}", Severity.PROBLEM, problem.message, problem.advice)
                for each in sensors
                for problem in self._of_sensor(registry, each)
            ),
        ]
        yield from found
        if not found:
            numbers = {"sensors": len(registry.sensors), "jobs": len(registry.jobs)}
            numbers |= {"pools": len(registry.pools)} if registry.pools else {}
            *first, last = (f"{number} {what}" for what, number in numbers.items())
            many = f"{', '.join(first)} and {last}"
            message = f"{many} are registered and consistent."
            yield Finding(CHECK, CHECK, Severity.OK, message)

    def _of_age(self, registry: Registry) -> Iterator[Finding]:
        """Report a registry copy that is missing or outdated."""
        if not registry.listed_at:
            message = "The engine has no copy of the registry yet: RECONCILE has not listed Parameter Store."
        elif self.clock.now() - registry.listed_at > OLDEST_MS:
            message = (
                f"The engine's copy of the registry is from {timestamp(registry.listed_at)}: RECONCILE does not list "
                "Parameter Store, so later registrations are unknown."
            )
        else:
            return
        advice = "Check RECONCILE's schedule and log; it lists Parameter Store every 10 minutes."
        yield Finding(CHECK, "reconcile", Severity.PROBLEM, message, advice)

    def _of_sensor(self, registry: Registry, sensor: DeployedSensor) -> Iterator[SensorProblem]:
        entry = registry.sensors.get(sensor.name)
        if entry is None:
            return  # Deleted since the sensors were read.
        rejected = registry.problems.get(f"{SENSORS}/{entry.name}")
        if rejected:
            message = (
                f"Its latest entry in the registry is invalid, so the previous one is in use: {rejected}"
            )
            yield _problem(message, f"Correct the entry and deploy project {entry.project}.")
        yield from _of_jobs(registry, entry)
        yield from _of_function(registry, entry)
        yield from _of_settings(entry, sensor)
        yield from self._of_environment(sensor)

    def _of_environment(self, sensor: DeployedSensor) -> Iterator[SensorProblem]:
        """Report a function with other tables, or another namespace, than the engine."""
        wrong = [
            f"{name} is {sensor.settings[name]!r}, but the engine's is {self.environment[name]!r}"
            for name in SHARED
            if name in sensor.settings
            and name in self.environment
            and sensor.settings[name] != self.environment[name]
        ]
        if wrong:
            message = f"Its function is deployed for another engine: {'; '.join(wrong)}. This engine does not start the runs that it requests."
            advice = f"Deploy project {sensor.project} with the engine's current contract."
            yield _problem(message, advice)


def _of_settings(entry: SensorEntry, sensor: DeployedSensor) -> Iterator[SensorProblem]:
    """Report values that differ between a sensor's entry and its function's environment."""
    given = {
        "status": (entry.default_status.value, "TREADLE_DEFAULT_STATUS"),
        "interval": (str(entry.interval_seconds or ""), "TREADLE_INTERVAL_SECONDS"),
        "dead_letters": (entry.dead_letters, "TREADLE_DEAD_LETTER_QUEUE_URL"),
        "project": (entry.project, "TREADLE_PROJECT"),
    }
    wrong = [
        f"{field} is {value!r}, but {variable} is {sensor.settings[variable]!r}"
        for field, (value, variable) in given.items()
        if sensor.settings.get(variable) and value and sensor.settings[variable] != value
    ]
    # RECONCILE and the function must both know them, or that there are none.
    hours, deployed = str(entry.hours or ""), sensor.settings.get("TREADLE_HOURS", "")
    if sensor.settings and hours != deployed:
        wrong.append(f"hours is {hours!r}, but TREADLE_HOURS is {deployed!r}")
    if wrong:
        message = f"Its entry and its function differ: {'; '.join(wrong)}. RECONCILE and operators' commands use the entry"
        yield _problem(message, f"Use the same value for both in project {entry.project}, and deploy.")


def _known_jobs(registry: Registry) -> str:
    return f"Registered jobs: {', '.join(sorted(registry.jobs)) or 'none'}"


def _problem(message: str, advice: str) -> SensorProblem:
    return SensorProblem(ProblemKind.REGISTRATION, closed(message), advice)


def _of_rejected(registry: Registry) -> Iterator[Finding]:
    """Report rejected entries, except of a sensor with an earlier entry, where it is a problem of the sensor."""
    for path, reason in sorted(registry.problems.items()):
        folder, _, name = path.partition("/")
        if folder == SENSORS and name in registry.sensors:
            continue
        entries: Mapping[str, object] = {SENSORS: registry.sensors, POOLS: registry.pools}.get(
            folder, registry.jobs
        )
        kept = "so the previous one is in use" if name in entries else "and there is no previous one"
        message = closed(f"Entry {path} is invalid, {kept}: {reason}")
        advice = "Correct it and deploy its project, or delete the parameter."
        yield Finding(CHECK, path, Severity.PROBLEM, message, advice)


def _of_outdated(registry: Registry) -> Iterator[Finding]:
    """Report projects built for an older contract than the engine's."""
    behind: dict[str, list[SensorEntry | JobEntry | PoolEntry]] = {}
    jobs_and_pools: list[JobEntry | PoolEntry] = [*registry.jobs.values(), *registry.pools.values()]
    for each in (*registry.sensors.values(), *jobs_and_pools):
        if each.contract < CONTRACT:
            behind.setdefault(each.project, []).append(each)
    for project, found in sorted(behind.items()):
        oldest = min(each.contract for each in found)
        message = (
            f"Project {project} is outdated: {len(found)} of its entries were written for contract {oldest}, but the "
            f"engine's contract is {CONTRACT}."
        )
        advice = f"Deploy project {project} with the engine's version of Treadle before the next upgrade of the engine."
        yield Finding(CHECK, f"project {project}", Severity.WARNING, message, advice)


def _of_pools(registry: Registry) -> Iterator[Finding]:
    """Report pools that jobs name, and that no project declares: they limit nothing."""
    for name, job in sorted(registry.jobs.items()):
        unknown = sorted(job.pools - registry.pools.keys())
        if unknown:
            names = ", ".join(unknown)
            message = (
                f"Its entry names {names}, which no project declares, so its runs are not limited by that. Declared pools: "
                f"{', '.join(sorted(registry.pools)) or 'none'}."
            )
            advice = f"Correct the pools of job {name} in project {job.project}, or deploy the project that declares them."
            yield Finding(CHECK, f"job {name}", Severity.PROBLEM, message, advice)


def _of_jobs(registry: Registry, entry: SensorEntry) -> Iterator[SensorProblem]:
    """Report jobs that a sensor may not start: they do not exist, or do not accept the sensor."""
    unknown = sorted(entry.jobs - registry.jobs.keys())
    if unknown:
        names = ", ".join(unknown)
        message = f"It may start {names}, which no project has registered. {_known_jobs(registry)}"
        advice = f"Correct the sensor's jobs in project {entry.project}, or deploy the project of the job."
        yield _problem(message, advice)
    for name in sorted(entry.jobs & registry.jobs.keys()):
        job = registry.jobs[name]
        if not job.accepts(entry):
            message = (
                f"It may start job {name}, but the job's project, {job.project}, does not accept the sensor"
            )
            advice = (
                f"Add {entry.name} to the sensors of job {name} in project {job.project}, and deploy; or remove {name} "
                f"from the sensor's jobs in project {entry.project}."
            )
            yield _problem(message, advice)


def _of_function(registry: Registry, entry: SensorEntry) -> Iterator[SensorProblem]:
    """Report sensors that share a function, which evaluates only one of them."""
    others = sorted(
        each.name
        for each in registry.sensors.values()
        if each.function == entry.function and each.name != entry.name
    )
    if others:
        message = f"Its entry names function {entry.function}, which {', '.join(others)} names too, but a function can have only one sensor"
        yield _problem(message, f"Give the sensor its own function in project {entry.project}, and deploy.")
