"""From what an evaluation asked for to what its tick commits: ids, limits, and keys already taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import InvalidResultError
from treadle.definitions.jobs import jobs_parameter
from treadle.definitions.results import RunRequest, SensorExecutionData
from treadle.definitions.run_config import config_problem
from treadle.definitions.sensors import DEFAULT_CAP, SensorDefinition
from treadle.engine.identity import RunIds
from treadle.engine.known_keys import KnownKeys
from treadle.ports.ticks import PlannedRun, SetAside

if TYPE_CHECKING:
    from treadle.definitions.assets import AssetMaterialization
    from treadle.ports.runs import RunStore

MAX_REQUEST_BYTES = 200_000

MAX_OUTCOME_BYTES = 15_000_000
"""What a tick may ask for altogether: DISPATCH has to hold it in its memory, several times over."""


MAX_ASSET_EVENTS = 500
"""In one tick: DISPATCH records all of them in one go."""

SHOWN_JOBS = 5

OVERHEAD_BYTES = 200
"""About what ids, key and names of a request take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tick will commit.

    Attributes:
        runs: requests whose run may start.
        existing_keys: keys that were asked for and taken already.
        set_aside: requests that could never run.
        reason: why no run will start; None if one will.
        last_run_key: the last key asked for, taken or not.
    """

    runs: tuple[PlannedRun, ...]
    existing_keys: tuple[str, ...]
    set_aside: tuple[SetAside, ...]
    reason: str | None
    last_run_key: str | None


@dataclass(frozen=True, slots=True)
class Vetted:
    """An evaluation's requests, without those that could never run.

    Attributes:
        data: what the evaluation asked for.
        runs: each run once.
        set_aside: requests that could never run.
    """

    data: SensorExecutionData
    runs: tuple[PlannedRun, ...]
    set_aside: tuple[SetAside, ...]


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans for one sensor.

    Args:
        definition: the sensor.
        run_ids: names runs.
        runs: knows which keys are taken; asked as an economy, DISPATCH has the last word.
        cap: the most requests that one tick may make.
        granted: the jobs that the deployment lets the sensor start; None where that is not known here, and DISPATCH
            holds what is not granted.
    """

    definition: SensorDefinition
    run_ids: RunIds
    runs: "RunStore"
    cap: int = DEFAULT_CAP
    granted: frozenset[str] | None = None
    known: KnownKeys = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", KnownKeys(self.runs))

    def vet(self, data: SensorExecutionData, tick_id: str) -> Vetted:
        """What of the requests could run at all.

        Args:
            data: what the evaluation asked for.
            tick_id: of the tick, which names keyless requests.

        Raises:
            InvalidResultError: if it asks for more runs than the cap, for more bytes than can be kept, or for a
                job that the deployment does not grant: the cursor must not move past what would not run.
            DagsterInvalidDefinitionError: if a job's schema is no JSON Schema.
        """
        if len(data.run_requests) > self.cap:
            msg = (
                f"Sensor {self.definition.name} asked for {len(data.run_requests)} runs in one tick, "
                f"more than the cap of {self.cap}. Return fewer and go on from the cursor at the next tick."
            )
            raise InvalidResultError(msg)
        if len(data.asset_events) > MAX_ASSET_EVENTS:
            msg = (
                f"Sensor {self.definition.name} told of {len(data.asset_events)} asset events in one tick, "
                f"and {MAX_ASSET_EVENTS} are the most. Tell of fewer and go on from the cursor at the next tick."
            )
            raise InvalidResultError(msg)
        self._check_granted(data.run_requests)
        planned: dict[str, PlannedRun] = {}
        set_aside = [SetAside(run_key, reason) for run_key, reason in data.set_aside]
        total = sum(map(_told_size, data.asset_events))
        for index, request in enumerate(data.run_requests):
            run = self._planned(request, tick_id, index)
            size = _size(run)
            unfit = self._unfit(request, run, size)
            if unfit is not None:
                set_aside.append(SetAside(run.run_key, unfit))
            elif run.run_id not in planned:
                planned[run.run_id] = run
                total += size + len((run.run_key or "").encode()) + OVERHEAD_BYTES
        self._check_size(total)
        return Vetted(data, tuple(planned.values()), tuple(set_aside))

    def plan(self, vetted: Vetted) -> Plan:
        """What becomes of the requests that could run: those whose key is taken are left out.

        Raises:
            StoreError: if the store did not answer.
        """
        taken = self.known.exhausted({run.run_id: run for run in vetted.runs if run.run_key})
        existing = tuple(run.run_key for run in vetted.runs if run.run_id in taken if run.run_key)
        runs = tuple(run for run in vetted.runs if run.run_id not in taken)
        keys = [request.run_key for request in vetted.data.run_requests if request.run_key]
        reason = None if runs else _reason(vetted.data, existing, vetted.set_aside)
        return Plan(runs, existing, vetted.set_aside, reason, keys[-1] if keys else None)

    def claimed_keys(self, run_keys: Mapping[str, str]) -> set[str]:
        """Those of the run keys that can start no run any more.

        Args:
            run_keys: by run id.
        """
        return {run_keys[run_id] for run_id in self.known.exhausted(dict.fromkeys(run_keys))}

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
            f"Sensor {self.definition.name} asked for {len(ungranted)} runs of {job} {shown} (the first with run "
            f"key {ungranted[0].run_key!r}), and the deployment does not let it start {it}: it may start "
            f"{', '.join(sorted(self.granted)) or 'none'}. Nothing was committed. Add {it} to parameter "
            f"{jobs_parameter(self.definition.name)} and deploy."
        )
        raise InvalidResultError(msg)

    def _check_size(self, size: int) -> None:
        if size > MAX_OUTCOME_BYTES:
            msg = (
                f"Sensor {self.definition.name} asked for runs with {size} bytes of run config and tags in one tick, "
                f"its asset events included, and {MAX_OUTCOME_BYTES} can be kept. Return fewer and go on from the cursor at the next tick."
            )
            raise InvalidResultError(msg)

    def _unfit(self, request: RunRequest, run: PlannedRun, size: int) -> str | None:
        """Why the request could never run; None if it could."""
        problem = config_problem(self.definition.job_named(run.job), request.plain_config)
        if problem is not None:
            return problem
        if size > MAX_REQUEST_BYTES:
            return f"The request has {size} bytes of run config and tags; {MAX_REQUEST_BYTES} may travel."
        return None

    def _planned(self, request: RunRequest, tick_id: str, index: int) -> PlannedRun:
        name = self.definition.name
        job = request.job_name or ""
        job_tags = self.definition.job_named(job).tags
        if request.run_key:
            run_id = self.run_ids.keyed(name, request.run_key)
        else:
            run_id = self.run_ids.keyless(name, tick_id, index)
        return PlannedRun(
            run_id=run_id,
            run_key=request.run_key or None,
            job=job,
            run_config=canonical_json(request.plain_config),
            tags={**job_tags, **request.tags},
            partition_key=request.partition_key,
            retries=self.definition.retries_per_key,
        )


def _size(run: PlannedRun) -> int:
    return len(run.run_config.encode()) + len(canonical_json(dict(run.tags)).encode())


def _told_size(made: "AssetMaterialization") -> int:
    told = (made.asset_key.to_user_string(), made.description, made.partition, made.plain_metadata)
    return len(canonical_json(told).encode()) + OVERHEAD_BYTES


def _reason(data: SensorExecutionData, existing: tuple[str, ...], set_aside: tuple[SetAside, ...]) -> str:
    if set_aside:
        return f"{len(set_aside)} requests could never run and were set aside: {set_aside[0].reason}"
    if existing:
        shown = ", ".join(existing[:3]) + (", …" if len(existing) > 3 else "")
        return f"{len(existing)} runs requested, but skipped because the runs already exist: {shown}"
    return data.skip_message or ""
