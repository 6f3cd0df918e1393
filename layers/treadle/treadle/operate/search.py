"""Finds what a text names, in all sensors: a sensor, a run, a run key, or an object. No search scans a table."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from treadle.definitions.errors import CommandRefusedError, TreadleError
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import RunIds
from treadle.model.run_queries import MOST_SEARCHED
from treadle.model.runs import Run
from treadle.operate.explain import Subject
from treadle.operate.runs import RunOperations
from treadle.ports.deployment import Deployment
from treadle.ports.objects import ObjectLookup
from treadle.ports.system import Clock

OBJECT = "s3://"
_S3 = "s3"
_WORKERS = 16


class MatchKind(StrEnum):
    """What a text names."""

    SENSOR = "sensor"
    RUN = "run"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Match:
    """Something that a text names.

    Attributes:
        kind: what it is.
        sensor: the sensor; of a run, the one that requested it, "" for none; of an object, one that watches it.
        object: the object's address; None if it is none.
        run_id: the run's id; None if it is no run.
        job: the run's job.
        run_key: the run's key.
        status: the run's status.
        created_at: when the run was created, in milliseconds.
    """

    kind: MatchKind
    sensor: str
    object: str | None = None
    run_id: str | None = None
    job: str | None = None
    run_key: str | None = None
    status: DagsterRunStatus | None = None
    created_at: int | None = None


class Search:
    """Finds what texts name.

    Args:
        deployment: the deployed sensors.
        runs: finds runs.
        run_ids: the deployment's run ids.
        objects: inspects objects as the sensors do.
        clock: the clock.
    """

    def __init__(
        self,
        deployment: Deployment,
        runs: RunOperations,
        run_ids: RunIds,
        objects: ObjectLookup,
        clock: Clock,
    ) -> None:
        self._deployment = deployment
        self._runs = runs
        self._run_ids = run_ids
        self._objects = objects
        self._clock = clock

    def find(self, text: str) -> list[Match]:
        """Return what a text names: the sensor of this name; or else runs and objects; or else parts of sensors' names.

        Raises:
            StoreError: if a store did not respond.
            TreadleError: if the text is an object that no sensor is known to watch, and one could not be asked.
        """
        if text in self._deployment.sensors():
            return [Match(MatchKind.SENSOR, text)]
        found = list(map(of_run, [*self._runs.beginning(text), *self.of_key(text)]))
        if not found and text.startswith(OBJECT):
            found = self.of_object(text)
        names = (each for each in self._deployment.sensors() if text.lower() in each.lower())
        return found or [Match(MatchKind.SENSOR, name) for name in names]

    def subject(self, text: str | None, given: Subject) -> tuple[str, Subject]:
        """Return the sensor of what is to be explained, and what that is.

        Args:
            text: what to find; None to find the sensor of what is given.
            given: the run, the run key or the object, if there is no text.

        Raises:
            CommandRefusedError: if nothing is found, or several things.
            StoreError: if a store did not respond.
        """
        if text is not None:
            found, name = self.find(text), text
        elif given.run_id is not None:
            found, name = list(map(of_run, self._runs.beginning(given.run_id))), given.run_id
        elif given.object is not None:
            found, name = self.of_object(given.object), given.object
        else:
            found, name = list(map(of_run, self.of_key(given.run_key or ""))), given.run_key or ""
        match = _only(found, name)
        if match.kind is MatchKind.SENSOR:
            return match.sensor, Subject(at=self._clock.now())
        if not match.sensor:
            msg = f"Run {match.run_id} was requested by no sensor. See treadle run show {match.run_id}."
            raise CommandRefusedError(msg)
        return match.sensor, Subject(object=match.object, run_id=match.run_id)

    def of_key(self, run_key: str) -> list[Run]:
        """Return the runs with a run key, of all deployed sensors, by sensor.

        Raises:
            StoreError: if a store did not respond.
        """
        ids = [self._run_ids.keyed(sensor, run_key) for sensor in self._deployment.sensors()]
        found = self._runs.get_many(ids)
        return [found[each] for each in ids if each in found]

    def of_object(self, location: str) -> list[Match]:
        """Return the sensors that watch an object; one for each.

        Raises:
            TreadleError: if none is known to watch it, and one could not be asked.
        """
        bucket, _, key = location.removeprefix(OBJECT).partition("/")
        if not key:
            return []
        names = [each.name for each in self._deployment.sensors().values() if each.kind == _S3]
        with ThreadPoolExecutor(_WORKERS) as pool:
            answers = list(pool.map(lambda name: self._watches(name, bucket, key), names))
        found = [
            Match(MatchKind.OBJECT, name, location)
            for name, answer in zip(names, answers, strict=True)
            if answer is True
        ]
        for error in answers:
            if not found and isinstance(error, TreadleError):
                raise error
        return found

    def _watches(self, sensor: str, bucket: str, key: str) -> bool | TreadleError:
        try:
            found = self._objects.inspect(sensor, bucket, key, None, self._clock.now())
        except TreadleError as error:
            return error
        return found is not None and found.is_watched


def of_run(run: Run) -> Match:
    """Return the match that is a run."""
    return Match(
        MatchKind.RUN,
        run.sensor,
        run_id=run.run_id,
        job=run.job,
        run_key=run.run_key,
        status=run.status,
        created_at=run.created_at,
    )


def _only(found: list[Match], text: str) -> Match:
    """Return the only match.

    Raises:
        CommandRefusedError: if there is none, or several.
    """
    if len(found) == 1:
        return found[0]
    if found:
        msg = (
            f"{text!r} names several: {'; '.join(map(_described, found))}. Name the sensor, or the whole id."
        )
    else:
        msg = (
            f"Nothing was found for {text!r}: it names no sensor, no run, no key of a run, and no object that a sensor "
            f"watches. By the first characters of its id, a run is found among the newest {MOST_SEARCHED:,} of its job. "
            "Name the sensor too, with --key, --event or --at."
        )
    raise CommandRefusedError(msg)


def _described(match: Match) -> str:
    """Describe a match in a few words."""
    if match.kind is MatchKind.RUN:
        return f"run {match.run_id} of job {match.job} ({match.status})"
    return f"sensor {match.sensor}"
