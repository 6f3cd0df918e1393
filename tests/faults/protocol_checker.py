"""Checks invariants after every call against a reference model, which is independent of the stores' conditions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.protocol_simulation import COPIES, RUNNING, WATCH, ProtocolSimulation, Stack
from treadle.definitions.errors import LeaseLostError
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.status import DagsterRunStatus, InstigatorStatus, TickStatus
from treadle.engine.identity import parse_launch_id
from treadle.engine.record.run_state import ASSUMED
from treadle.model.runs import Run
from treadle.model.sensors import Completion, Edit, Lease, LeaseRequest


@dataclass(slots=True)
class Model:
    """The reference model of one stack.

    Attributes:
        cursor: as the last committed tick or edit left it.
        is_running: as the last edit left it.
        may_commit: the owner of the lease whose tick may commit; None if no tick may.
        leased_until: when that lease expires.
        last_scheduled_for: the scheduled time of the latest lease.
        commits: the number of ticks that moved the cursor.
        runs: the records after the previous call.
        ticks: the keys of the committed records.
    """

    cursor: str | None = None
    is_running: bool = True
    may_commit: str | None = None
    leased_until: int = 0
    last_scheduled_for: int = 0
    commits: int = 0
    runs: dict[str, Run] = field(default_factory=dict)
    ticks: set[tuple[str, str]] = field(default_factory=set)


class ModelChecker:
    """Checks invariants I1 to I7 and I9 after every call."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.commits: Counter[str] = Counter()

    def observe(self, stack: Stack, port: str, method: str, args: Sequence[Any], result: Any) -> None:
        """Check what a call has changed."""
        model = self.models.setdefault(stack.name, Model())
        if port == "sensors" and args:
            self._observe_sensors(stack, model, method, args, result)
        state = stack.tables.sensors.get(WATCH)
        if state is not None:
            assert state.cursor == model.cursor, f"I4, I9: {state.cursor} instead of {model.cursor}"
            assert state.is_running(RUNNING) == model.is_running, "I9: an edit was overwritten"
        self._observe_runs(stack, model)
        if port in stack.simulation.targets:
            assert_started_once(stack.simulation)

    def _observe_sensors(
        self, stack: Stack, model: Model, method: str, args: Sequence[Any], result: Any
    ) -> None:
        if method == "acquire" and isinstance(result, Lease):
            self._acquired(model, args[0], result)
        elif method == "commit":
            self._committed(stack, model, args[0], args[1], result)
        elif method == "release":
            if model.may_commit == args[0].owner:
                model.may_commit = None
            # Only its own tick releases a lease that an edit has revoked.
            model.leased_until = 0 if stack.tables.sensors[WATCH].lease_owner is None else model.leased_until
        elif method == "edit" and not isinstance(result, Exception):
            self._edited(model, args[1])

    def _acquired(self, model: Model, request: LeaseRequest, lease: Lease) -> None:
        assert model.is_running, "I9: a stopped sensor ticks"
        assert model.leased_until < request.now, "a lease was acquired while another one was valid"
        assert request.scheduled_for > model.last_scheduled_for, "one nominal time had two ticks"
        model.may_commit, model.leased_until = lease.owner, request.expires_at
        model.last_scheduled_for = request.scheduled_for

    def _committed(
        self, stack: Stack, model: Model, lease: Lease, completion: Completion, result: Any
    ) -> None:
        keys = {(tick.sensor, tick.tick_id) for tick in completion.ticks}
        if isinstance(result, Exception):
            assert isinstance(result, LeaseLostError)
            assert model.may_commit != lease.owner, "the commit of the tick with the valid lease was refused"
            assert not keys & stack.tables.ticks.keys() - model.ticks, (
                "I5: a tick without lease wrote a record"
            )
            return
        assert model.may_commit == lease.owner, "I5, I9: a tick without lease committed"
        assert keys <= stack.tables.ticks.keys(), "I4: a record is missing"
        assert not keys & model.ticks, "a tick was committed twice"
        model.ticks |= keys
        if completion.cursor_changed:
            assert all(tick.status is not TickStatus.FAILURE for tick in completion.ticks[-1:]), "I6"
            assert completion.cursor == str(int(model.cursor or 0) + 1), (
                "I9: the commit does not follow from the current cursor"
            )
            assert len(completion.ticks[-1].requests) >= 1, "I4: the cursor moved without its requests"
            model.cursor = completion.cursor
            self.commits[stack.name] += 1
        if not completion.keeps_lease:
            model.may_commit, model.leased_until = None, 0

    def _edited(self, model: Model, edit: Edit) -> None:
        model.may_commit = None
        if edit.sets_cursor:
            model.cursor = edit.cursor
        if edit.status is not None:
            model.is_running = edit.status is not InstigatorStatus.STOPPED

    def _observe_runs(self, stack: Stack, model: Model) -> None:
        current = stack.tables.runs
        assert model.runs.keys() <= current.keys(), "I1: a run record is missing"
        for run_id, run in current.items():
            before = model.runs.get(run_id)
            if before is run:
                continue
            if before is None:
                keys = Counter((each.sensor, each.run_key) for each in current.values() if each.run_key)
                assert max(keys.values(), default=1) == 1, "I1: a key has two records"
                assert run.attempt == 1
            else:
                assert_forward(stack.simulation, before, run)
            model.runs[run_id] = run


def assert_forward(simulation: ProtocolSimulation, before: Run, run: Run) -> None:
    """Assert that attempt and status only move forward, and that a new attempt has a reason (I1, I7)."""
    for place, times in before.reached.items():
        for status, time in times.items():
            assert run.reached[place][status] <= time, f"I7: {status} of {place} was removed"
    if run.attempt == before.attempt:
        is_reported = not any(name.endswith(ASSUMED) for name in before.reached[f"{run.attempt}/0"])
        assert not is_reported or run.status.rank >= before.status.rank, "I7: the status went back"
        return
    assert run.attempt == before.attempt + 1, "I7: an attempt was skipped"
    assert before.status.is_finished, "I1: a second attempt while the first was not finished"
    ticks = [*run.earlier_ticks, run.tick_id]
    assert len(ticks) == len(set(ticks)), "I1: one tick's request made two attempts"
    assert ticks[:-1] == [*before.earlier_ticks, before.tick_id], "I1: the tick of an attempt is missing"
    reached_target = any(target.begun.get(before.launch_id) for target in simulation.targets.values())
    allowed = before.granted if before.status is DagsterRunStatus.SUCCESS else max(before.granted, 2)
    assert before.attempt < allowed or not reached_target, "I1: an attempt without permission"


def assert_started_once(simulation: ProtocolSimulation) -> None:
    """Assert that each attempt has at most one execution, and each execution has a run (I1)."""
    for target in simulation.targets.values():
        for launch_id, begun in target.begun.items():
            assert len(begun) <= 1, f"I1: {launch_id} was started {len(begun)} times"
            launch = parse_launch_id(launch_id)
            assert launch is not None
            runs = [run for stack in simulation.stacks if (run := stack.tables.runs.get(launch[0]))]
            assert len(runs) == 1, "two stacks share a run, or no stack has it"
            assert launch[1] <= runs[0].attempt


def assert_nothing_lost(simulation: ProtocolSimulation, checker: ModelChecker) -> None:
    """Assert, at the end, that nothing was lost, and that the records match the executions (I2, I3, I7)."""
    for stack in simulation.stacks:
        ticks = stack.committed()
        requested = {run.run_id for tick in ticks for run in tick.requests}
        assert requested == stack.tables.runs.keys(), "I2: a request without run, or a run without request"
        keyless = [run.run_id for tick in ticks for run in tick.requests if not run.run_key]
        assert len(keyless) == len(set(keyless)), "I3"
        watched = [tick for tick in ticks if tick.sensor == WATCH]
        assert len(watched) == checker.commits[stack.name] == len(keyless), "I4"
        for run in stack.tables.runs.values():
            _assert_record_matches_target(simulation, run)
        for event in simulation.uploads:
            assert isinstance(event, ObjectCreated)
            for copy in COPIES:
                assert stack.run_ids.keyed(copy, event.object.key) in stack.tables.runs, (
                    "I2, I8: an event was lost"
                )


def _assert_record_matches_target(simulation: ProtocolSimulation, run: Run) -> None:
    (target,) = (target for kind, target in simulation.targets.items() if kind == run.job)
    for attempt in range(1, run.attempt + 1):
        if not target.begun.get(f"{run.run_id}-{attempt}"):
            end = f"{DagsterRunStatus.FAILURE.value}{ASSUMED}"
            assert end in run.reached[f"{attempt}/0"], (
                "I2: an attempt was not started, and not recorded as failed"
            )
    begun = target.begun.get(run.launch_id)
    if begun:
        # An assumed failure stays if all events of the execution were lost.
        is_assumed = run.failure is not None and run.failure.assumed
        assert is_assumed or run.status is target.executions[begun[0]].status, "I7"
