"""The invariants I1 to I10, checked at the end of a simulation."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.scenario import EVENTS, SCHEDULED
from tests.faults.simulated_aws import TargetFaults
from tests.faults.trace import Acquired, Committed, Edited
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.identity import parse_launch_id
from treadle.engine.record.max_runtime import MAX_RUNTIME_EXCEEDED
from treadle.engine.record.run_state import Report, fold
from treadle.model.runs import Run
from treadle.model.targets import Execution
from treadle.model.ticks import Tick

Check = Callable[[EngineSimulation], Iterator[str]]


def violations(simulation: EngineSimulation) -> list[str]:
    """Return all violations, each with the invariant's name."""
    return [f"{name}: {problem}" for name, check in CHECKS.items() for problem in check(simulation)]


def committed(simulation: EngineSimulation) -> list[Tick]:
    """Return the stored ticks with requests."""
    found = [simulation.backend.stores.ticks.latest(sensor, 1_000) for sensor in (SCHEDULED, EVENTS)]
    return [tick for ticks in found for tick in ticks if tick.status is TickStatus.SUCCESS]


def executions(simulation: EngineSimulation) -> dict[str, list[Execution]]:
    """Return the target's executions, by launch id."""
    inner = simulation.jobs_run.inner
    return {launch_id: [inner.executions[each] for each in begun] for launch_id, begun in inner.begun.items()}


def i1(simulation: EngineSimulation) -> Iterator[str]:
    """Check I1: one record for each key; each attempt is started as often as its target promises."""
    keys = Counter((run.sensor, run.run_key) for run in simulation.backend.all_runs() if run.run_key)
    yield from (f"{key} has {number} runs" for key, number in keys.items() if number > 1)
    records = {run.run_id: run for run in simulation.backend.all_runs()}
    for launch_id, begun in executions(simulation).items():
        launch = parse_launch_id(launch_id)
        if launch is None or launch[0] not in records or launch[1] > records[launch[0]].attempt:
            yield f"{launch_id} was started, but no record has it"
        if len(begun) > 1 and not simulation.contract.is_at_least_once:
            yield f"{launch_id} was started {len(begun)} times"


def i2(simulation: EngineSimulation) -> Iterator[str]:
    """Check I2: each request of a committed tick is launched, has failed, or is refused with a reason."""
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
            yield f"tick {tick.tick_id} gives no reason for the refusal of {counts.refused} requests"
        missing = [request for request in tick.requests if request.run_id not in runs]
        if len(missing) != counts.refused:
            yield f"tick {tick.tick_id} has {len(missing)} requests without a run: {counts}"
    for run in runs.values():
        if run.status is Status.QUEUED or run.next_at is not None:
            yield f"run {run.run_id} of key {run.run_key} is at {run.status} forever"
        if not begun.get(run.launch_id) and run.failure is None:
            yield f"run {run.run_id} of key {run.run_key} was never started, and has no failure"
        if not _ended_as_expected(run, simulation.scenario.target_faults):
            yield f"run {run.run_id} of key {run.run_key} ended as {run.status}: {run.failure}"


def _ended_as_expected(run: Run, faults: TargetFaults) -> bool:
    if run.run_key in faults.hanging:
        failure = run.failure
        return failure is not None and failure.error == MAX_RUNTIME_EXCEEDED and not failure.assumed
    if run.run_key in faults.flaky:
        return (run.status, run.attempt, run.policy_retries) == (Status.SUCCESS, 3, 2)
    return run.failure is None or run.run_key in faults.failing


def i3(simulation: EngineSimulation) -> Iterator[str]:
    """Check I3: one run for each committed request without run key, and no run without a request."""
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
    """Check I4: each commit moves the cursor past the batch that it requested, and its record exists."""
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
                    yield f"the cursor was moved to {event.completion.cursor} instead of {at}"
    cursor = simulation.backend.stores.sensors.get(SCHEDULED).cursor
    if cursor != str(at):
        yield f"the cursor stands at {cursor} but the commits moved it to {at}"
    stored = {tick.tick_id for tick in simulation.backend.stores.ticks.latest(SCHEDULED, 1_000)}
    if stored != committed_ids:
        yield f"records {sorted(stored ^ committed_ids)} exist without a commit, or are missing"


def _misplaced(event: Committed, wanted: Sequence[Sequence[str | None]]) -> Iterator[str]:
    """Yield the ticks of a commit that request another batch than the one at the cursor."""
    for tick in event.completion.ticks:
        keys = [*(request.run_key for request in tick.requests), *tick.existing_keys]
        is_request = tick.status is TickStatus.SUCCESS or bool(tick.existing_keys)
        if is_request and not (wanted and Counter(keys) == Counter(wanted[0])):
            yield f"tick {tick.tick_id} requests {keys} instead of {wanted}"


def i5(simulation: EngineSimulation) -> Iterator[str]:
    """Check I5: only the tick with the latest lease commits, once, and not after an edit (I9)."""
    holder: object = None
    for event in simulation.trace.sensors:
        if isinstance(event, Acquired):
            holder = (event.lease.owner, event.lease.epoch)
        elif isinstance(event, Edited):
            holder = "operator"
        elif (event.lease.owner, event.lease.epoch) != holder:
            yield f"the tick at epoch {event.lease.epoch} committed, but the holder of the lease was {holder}"
        elif not event.completion.keeps_lease:
            holder = None


def i6(simulation: EngineSimulation) -> Iterator[str]:
    """Check I6: a failed evaluation moves no cursor and requests nothing."""
    for event in simulation.trace.sensors:
        if isinstance(event, Committed) and event.completion.ticks:
            last = event.completion.ticks[-1]
            if last.status is TickStatus.FAILURE and (event.completion.cursor_changed or last.requests):
                yield f"failed tick {last.tick_id} moved the cursor, or requested runs"


def i7(simulation: EngineSimulation) -> Iterator[str]:
    """Check I7: attempt and status only move forward, to the end that the ordered reports lead to."""
    for run in simulation.backend.all_runs():
        written = simulation.trace.runs[run.run_id]
        for before, after in pairwise(written):
            if _progress(after) < _progress(before):
                yield f"run {run.run_id} went from {before.status} back to {after.status}"
        if written[-1].status is not run.status:
            yield f"run {run.run_id} is {run.status} but was last written as {written[-1].status}"
        if run.attempt == 1:
            yield from _differences(run, _ordered(simulation, written[0], run))


def _progress(run: Run) -> tuple[int, int]:
    assumed = run.failure is not None and run.failure.assumed
    return run.attempt, 0 if assumed else run.status.rank


def _ordered(simulation: EngineSimulation, first: Run, last: Run) -> Run:
    """Return the record after all reports of the execution, in order."""
    run = (
        first
        if first.cancellations == last.cancellations
        else replace(first, cancellations=last.cancellations)
    )
    begun_as = executions(simulation).get(last.launch_id, [])
    # The record of a target that starts at least once describes one of the executions.
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
        requested_at = last.reached[f"{last.attempt}/0"].get(Status.CANCELING)
        if requested_at is not None:
            run = fold(run, Report(last.attempt, Status.CANCELING, requested_at))
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
            yield f"{name} of run {run.run_id} is {found}, but the ordered reports lead to {due}"


def i8(simulation: EngineSimulation) -> Iterator[str]:
    """Check I8: each event is committed once, even if it is redelivered."""
    put = Counter(tick.tick_id for tick in simulation.trace.ticks)
    yield from (
        f"event tick {tick_id} was committed {times} times" for tick_id, times in put.items() if times > 1
    )
    if len(put) != len(simulation.scenario.objects):
        yield f"{len(put)} of {len(simulation.scenario.objects)} events were committed"


def i9(simulation: EngineSimulation) -> Iterator[str]:
    """Check I9: a tick in progress does not overwrite an operator's edit, so the skipped batch is not requested."""
    at = simulation.scenario.edited_at
    if at is None or simulation.edits != 1:
        return
    keys = {key for key in simulation.scenario.batches[at] if key}
    found = {run.run_key for run in simulation.backend.all_runs()} & keys
    edits = sum(isinstance(event, Edited) for event in simulation.trace.sensors)
    if found and edits == 1:
        yield f"{found} were requested after the edit that left them out"


def i10(simulation: EngineSimulation) -> Iterator[str]:
    """Check I10: each invalid record, and nothing else, is a dead letter with its reason."""
    poison = 5 if simulation.scenario.has_poison else 0
    bad = [(body, reason) for body, reason in simulation.dead_letters.kept if "poison" in body]
    if len(set(bad)) < poison:
        yield f"only {len(bad)} of {poison} invalid records are dead letters: {bad}"
    if len(bad) < len(simulation.dead_letters.kept):
        yield f"valid records are among the dead letters: {simulation.dead_letters.kept}"
    if any(not reason for _, reason in bad):
        yield "a dead letter has no reason"


CHECKS: dict[str, Check] = {
    "I1": i1, "I2": i2, "I3": i3, "I4": i4, "I5": i5, "I6": i6, "I7": i7, "I8": i8, "I9": i9, "I10": i10,
}  # fmt: skip
