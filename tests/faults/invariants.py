"""The invariants I1 to I10, checked once a simulation has come to rest."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.scenario import EVENTS, SCHEDULED
from tests.faults.trace import Acquired, Committed, Edited
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.identity import parse_launch_id
from treadle.engine.record.run_state import Report, fold
from treadle.model.runs import Run
from treadle.model.targets import Execution
from treadle.model.ticks import Tick

Check = Callable[[EngineSimulation], Iterator[str]]


def violations(simulation: EngineSimulation) -> list[str]:
    """What does not check_result, each with the invariant's name."""
    return [f"{name}: {problem}" for name, check in CHECKS.items() for problem in check(simulation)]


def committed(simulation: EngineSimulation) -> list[Tick]:
    """The ticks with requests, as they stand."""
    found = [simulation.backend.stores.ticks.latest(sensor, 1_000) for sensor in (SCHEDULED, EVENTS)]
    return [tick for ticks in found for tick in ticks if tick.status is TickStatus.SUCCESS]


def executions(simulation: EngineSimulation) -> dict[str, list[Execution]]:
    """What the target has started, by launch id."""
    inner = simulation.jobs_run.inner
    return {launch_id: [inner.executions[each] for each in begun] for launch_id, begun in inner.begun.items()}


def i1(simulation: EngineSimulation) -> Iterator[str]:
    """One record for a key; an attempt is started as often as its target promises."""
    keys = Counter((run.sensor, run.run_key) for run in simulation.backend.all_runs() if run.run_key)
    yield from (f"{key} has {number} runs" for key, number in keys.items() if number > 1)
    records = {run.run_id: run for run in simulation.backend.all_runs()}
    for launch_id, begun in executions(simulation).items():
        launch = parse_launch_id(launch_id)
        if launch is None or launch[0] not in records or launch[1] > records[launch[0]].attempt:
            yield f"{launch_id} was started, and no record names it"
        if len(begun) > 1 and not simulation.contract.is_at_least_once:
            yield f"{launch_id} was started {len(begun)} times"


def i2(simulation: EngineSimulation) -> Iterator[str]:
    """Each request of a committed tick is launched, or has visibly failed or been refused."""
    runs, begun = {run.run_id: run for run in simulation.backend.all_runs()}, executions(simulation)
    for tick in committed(simulation):
        counts = tick.dispatched
        if counts is None:
            yield f"tick {tick.tick_id} is pending"
            continue
        counted = counts.started + counts.existing + counts.refused
        if counted != len(tick.requests):
            yield f"tick {tick.tick_id} counts {counted} of {len(tick.requests)} requests: {counts}"
        if counts.refused and not tick.refusals:
            yield f"tick {tick.tick_id} does not say why it was refused {counts.refused} requests"
        missing = [request for request in tick.requests if request.run_id not in runs]
        if len(missing) != counts.refused:
            yield f"tick {tick.tick_id} has {len(missing)} requests without a run: {counts}"
    for run in runs.values():
        if run.status is Status.QUEUED or run.next_at is not None:
            yield f"run {run.run_id} of key {run.run_key} is at {run.status} for ever"
        if not begun.get(run.launch_id) and run.failure is None:
            yield f"run {run.run_id} of key {run.run_key} was never started, and does not say why"
        if run.failure is not None and run.run_key not in simulation.scenario.target_faults.failing:
            yield f"run {run.run_id} of key {run.run_key} has failed: {run.failure}"


def i3(simulation: EngineSimulation) -> Iterator[str]:
    """Without run key, one run for each request of a committed tick; and no run without a request."""
    requested = Counter(request.run_id for tick in committed(simulation) for request in tick.requests)
    keyless = [
        request.run_id
        for tick in committed(simulation)
        for request in tick.requests
        if request.run_key is None
    ]
    runs = {run.run_id for run in simulation.backend.all_runs()}
    yield from (
        f"keyless run {run_id} was requested more than once" for run_id in keyless if requested[run_id] > 1
    )
    yield from (f"keyless request {run_id} has no run" for run_id in keyless if run_id not in runs)
    yield from (f"run {run_id} was requested by no committed tick" for run_id in runs - set(requested))


def i4(simulation: EngineSimulation) -> Iterator[str]:
    """Each committed tick moves the cursor past the batch that it requested, and its record stands."""
    at, committed_ids = 0, set()
    for event in simulation.trace.sensors:
        if isinstance(event, Edited) and event.edit.cursor is not None:
            at = int(event.edit.cursor)
        elif isinstance(event, Committed):
            committed_ids |= {tick.tick_id for tick in event.completion.ticks}
            yield from _misplaced(event, simulation.scenario.batches[at : at + 1])
            if event.completion.cursor_changed:
                at += 1
                if event.completion.cursor != str(at):
                    yield f"the cursor is moved to {event.completion.cursor} instead of {at}"
    cursor = simulation.backend.stores.sensors.get(SCHEDULED).cursor
    if cursor != str(at):
        yield f"the cursor stands at {cursor}, and commits have moved it to {at}"
    stored = {tick.tick_id for tick in simulation.backend.stores.ticks.latest(SCHEDULED, 1_000)}
    if stored != committed_ids:
        yield f"records {sorted(stored ^ committed_ids)} stand without a commit, or were committed and are gone"


def _misplaced(event: Committed, wanted: Sequence[Sequence[str | None]]) -> Iterator[str]:
    """What a commit requests that is not the batch at the cursor."""
    for tick in event.completion.ticks:
        keys = [*(request.run_key for request in tick.requests), *tick.existing_keys]
        is_request = tick.status is TickStatus.SUCCESS or bool(tick.existing_keys)
        if is_request and not (wanted and Counter(keys) == Counter(wanted[0])):
            yield f"tick {tick.tick_id} requests {keys} instead of {wanted}"


def i5(simulation: EngineSimulation) -> Iterator[str]:
    """Only the tick that took the last lease commits, once, and not after an edit (I9)."""
    holder: object = None
    for event in simulation.trace.sensors:
        if isinstance(event, Acquired):
            holder = (event.lease.owner, event.lease.epoch)
        elif isinstance(event, Edited):
            holder = "operator"
        elif (event.lease.owner, event.lease.epoch) != holder:
            yield f"the tick at epoch {event.lease.epoch} committed, and the lease was with {holder}"
        elif not event.completion.keeps_lease:
            holder = None


def i6(simulation: EngineSimulation) -> Iterator[str]:
    """A failed evaluation moves no cursor and requests nothing."""
    for event in simulation.trace.sensors:
        if isinstance(event, Committed) and event.completion.ticks:
            last = event.completion.ticks[-1]
            if last.status is TickStatus.FAILURE and (event.completion.cursor_changed or last.requests):
                yield f"failed tick {last.tick_id} has moved the cursor, or requests runs"


def i7(simulation: EngineSimulation) -> Iterator[str]:
    """Attempt and status only move forward; the end is that of the ordered sequence of reports."""
    for run in simulation.backend.all_runs():
        written = simulation.trace.runs[run.run_id]
        for before, after in pairwise(written):
            if _height(after) < _height(before):
                yield f"run {run.run_id} went from {before.status} back to {after.status}"
        if written[-1].status is not run.status:
            yield f"run {run.run_id} stands at {run.status}, and was last written at {written[-1].status}"
        yield from _differences(run, _ordered(simulation, written[0], run))


def _height(run: Run) -> tuple[int, int]:
    assumed = run.failure is not None and run.failure.assumed
    return run.attempt, 0 if assumed else run.status.rank


def _ordered(simulation: EngineSimulation, first: Run, last: Run) -> Run:
    """What the record must come to: given all reports of the execution, in order."""
    run = first
    begun_as = executions(simulation).get(last.launch_id, [])
    # Of a target that starts at least once, the record follows one of the executions.
    for execution in [
        each for each in begun_as if len(begun_as) == 1 or each.external_id == last.external_id
    ]:
        begun = execution.started_at
        started = Report(
            last.attempt,
            Status.STARTED,
            begun,
            started_at=begun,
            external_id=execution.external_id,
            target=execution.target,
        )
        run = fold(run, started)
        if execution.ended_at is not None and simulation.contract.describes:
            ended = execution.ended_at
            report = Report(
                last.attempt, execution.status, ended, started_at=begun, failure=execution.failure
            )
            run = fold(run, report)
    return run


def _differences(run: Run, wanted: Run) -> Iterator[str]:
    for name in (
        "status",
        "attempt",
        "reached",
        "started_at",
        "ended_at",
        "failure",
        "external_id",
        "target",
    ):
        found, due = getattr(run, name), getattr(wanted, name)
        if found != due:
            yield f"{name} of run {run.run_id} is {found}, and would be {due} in order"


def i8(simulation: EngineSimulation) -> Iterator[str]:
    """Each event is committed once: its tick is put once, whatever comes again."""
    put = Counter(tick.tick_id for tick in simulation.trace.ticks)
    yield from (
        f"event tick {tick_id} was committed {times} times" for tick_id, times in put.items() if times > 1
    )
    if len(put) != len(simulation.scenario.objects):
        yield f"{len(put)} of {len(simulation.scenario.objects)} events were committed"


def i9(simulation: EngineSimulation) -> Iterator[str]:
    """An operator's edit is not overwritten by a tick in flight: what it left out was not requested."""
    at = simulation.scenario.edited_at
    if at is None or simulation.edits != 1:
        return
    keys = {key for key in simulation.scenario.batches[at] if key}
    found = {run.run_key for run in simulation.backend.all_runs()} & keys
    edits = sum(isinstance(event, Edited) for event in simulation.trace.sensors)
    if found and edits == 1:
        yield f"{found} were requested after the edit that left them out"


def i10(simulation: EngineSimulation) -> Iterator[str]:
    """A bad record ends in the dead letters with its reason, and nothing else does."""
    poison = 5 if simulation.scenario.has_poison else 0
    bad = [letter for letter in simulation.dead_letters.kept if "poison" in letter[0]]
    if len({(body, reason) for body, reason in bad}) < poison:
        yield f"only {len(bad)} of {poison} bad records are kept: {bad}"
    if len(bad) < len(simulation.dead_letters.kept):
        yield f"good records are among the dead letters: {simulation.dead_letters.kept}"
    if any(not reason for _, reason in bad):
        yield "a dead letter gives no reason"


CHECKS: dict[str, Check] = {
    "I1": i1, "I2": i2, "I3": i3, "I4": i4, "I5": i5, "I6": i6, "I7": i7, "I8": i8, "I9": i9, "I10": i10,
}  # fmt: skip
