"""`treadle pool` and `treadle run set-priority`: who holds slots, who waits, and what an operator changes."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.console import MemoryStack
from treadle import JobDefinition, RunRequest, SensorEvaluationContext, sensor
from treadle.cli import pools as commands
from treadle.cli import runs as run_commands
from treadle.cli import why as why_command
from treadle.cli.commands import treadle
from treadle.cli.output import when
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import timestamp
from treadle.model.pools import Overlap, PoolState
from treadle.model.runs import Failure, OperatorEdit, Run
from treadle.testing import Pool, TreadleInstance

load = JobDefinition("load")


@sensor(job=load)
def watch(context: SensorEvaluationContext) -> list[RunRequest]:
    """Request five runs: two of a customer, of whom one may run, and three others."""
    return [
        *(RunRequest(key, tags={"customer": "acme"}) for key in ("acme1", "acme2")),
        *(RunRequest(key) for key in ("a", "b", "c")),
    ]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> MemoryStack:
    """A deployment with two pools: two runs wait for one, and a value of the other's tag has one that waits."""
    pools = [Pool("warehouse", 2, jobs=["load"]), Pool("customers", 1, tag="customer", per_value=True)]
    instance = TreadleInstance([watch], pools=pools)
    made = MemoryStack(instance)

    @contextmanager
    def deployed(_: str) -> Iterator[Any]:
        from treadle.cli.output import exit_on_error

        with exit_on_error():
            yield made.parts

    for module in (commands, run_commands, why_command):
        monkeypatch.setattr(module, "deployed", deployed)
    instance.tick("watch")
    instance.clock.advance(90)
    return made


def call(*arguments: str) -> Result:
    by = ["--by", "ada"] if arguments[1] in {"set-limit", "set-priority", "free"} else []
    return CliRunner().invoke(treadle, [*arguments, "--stack", "shop", *by])


def done(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    return result.output


def shown(*arguments: str) -> Any:
    return json.loads(done(*arguments, "--json"))


def run_of(stack: MemoryStack, key: str) -> Run:
    [run] = [run for run in stack.instance.runs() if run.run_key == key]
    return run


def in_doubt(stack: MemoryStack, key: str) -> Run:
    """Let a run end as far as Treadle concluded, while it holds its slots."""
    run = run_of(stack, key)
    failure = Failure("LaunchOutcomeUnknownError", "It may have started.", assumed=True)
    ended = replace(run, status=Status.FAILURE, ended_at=run.created_at + 1, failure=failure)
    stack.instance._tables.runs[run.run_id] = ended
    return ended


def waiting(stack: MemoryStack) -> list[str | None]:
    """Return the keys of the runs that wait for the warehouse, as `pool show` lists them."""
    keys = {run.run_id: run.run_key for run in stack.instance.runs()}
    return [keys[each["run_id"]] for each in shown("pool", "show", "warehouse")["waiters"]]


def test_pools_are_listed_with_the_values_for_which_runs_wait(stack: MemoryStack) -> None:
    found = {each["key"]: each for each in shown("pool", "list")}

    assert list(found) == ["customers", "customers=acme", "warehouse"]
    warehouse, acme = found["warehouse"], found["customers=acme"]
    assert (warehouse["limit"], warehouse["held"], warehouse["waiting"]) == (2, 2, 2)
    assert (acme["value"], acme["limit"], acme["held"], acme["waiting"]) == ("acme", 1, 1, 1)
    assert warehouse["waiting_since"] == run_of(stack, "b").created_at
    text = done("pool", "list")
    assert "1 for each value" in text
    assert "POOL" in text.splitlines()[0]


def test_no_pools_are_no_error(monkeypatch: pytest.MonkeyPatch, stack: MemoryStack) -> None:
    parts = MemoryStack(TreadleInstance([watch])).parts
    monkeypatch.setattr(MemoryStack, "parts", property(lambda _: parts))

    assert done("pool", "list") == "No pools are declared.\n"


def test_pool_is_shown_with_its_holders_and_its_queue_in_order(stack: MemoryStack) -> None:
    found = shown("pool", "show", "warehouse")

    assert {each["run_id"] for each in found["holders"]} == {
        run_of(stack, "acme1").run_id, run_of(stack, "a").run_id,
    }  # fmt: skip
    assert [each["job"] for each in found["holders"]] == ["load", "load"]
    assert all(each["since"] is not None and not each["is_in_doubt"] for each in found["holders"])
    assert [(each["place"], each["priority"]) for each in found["waiters"]] == [(1, 0), (2, 0)]
    assert waiting(stack) == ["b", "c"]
    text = done("pool", "show", "warehouse", "--max", "1")
    assert "The first 1 of 2; --max shows more." in text
    assert run_of(stack, "b").run_id in text
    assert run_of(stack, "c").run_id not in text


def test_value_of_a_pool_is_shown(stack: MemoryStack) -> None:
    found = shown("pool", "show", "customers", "--value", "acme")
    [waiter] = found["waiters"]

    assert waiter["run_id"] == run_of(stack, "acme2").run_id
    assert waiter["pools"] == ["customers=acme", "warehouse"]
    assert "warehouse" in done("pool", "show", "customers", "--value", "acme").splitlines()[-1]
    [value] = shown("pool", "show", "customers")["values"]
    assert value["key"] == "customers=acme"
    assert "one limit for all of its runs" in refused("pool", "show", "warehouse", "--value", "acme")


@pytest.mark.parametrize(
    "command", [["show", "depot"], ["set-limit", "depot", "1"], ["reset-limit", "depot"]]
)
def test_unknown_pool_is_refused_with_the_declared_ones(stack: MemoryStack, command: list[str]) -> None:
    output = refused("pool", *command)

    assert "Pool 'depot' does not exist. Declared pools: customers, warehouse" in output


@pytest.mark.parametrize("limit", ["-1", "1001", "many"])
def test_limit_is_a_number_within_bounds(stack: MemoryStack, limit: str) -> None:
    assert call("pool", "set-limit", "--stack", "shop", "warehouse", "--", limit).exit_code == 2
    assert stack.instance._tables.pools["warehouse"].override is None


def test_operators_limit_applies_until_it_is_reset_and_wakes_the_queues(stack: MemoryStack) -> None:
    text = done("pool", "set-limit", "warehouse", "3")

    assert text == (
        "The limit of pool warehouse is 3 instead of the declared 2: in force with the next start. "
        "Until: treadle pool reset-limit warehouse\n"
    )
    assert stack.dispatches.drain() == [{"treadle": "grant", "pool": "warehouse"}]
    stack.instance._launch()
    assert run_of(stack, "b").status is Status.STARTED
    pool = shown("pool", "show", "warehouse")["pool"]
    assert (pool["limit"], pool["declared_limit"], pool["limit_set_by"]) == (3, 2, "ada")
    assert pool["limit_set_at"] == stack.instance.clock.now()
    assert "limit set by" in done("pool", "show", "warehouse")
    assert shown("pool", "set-limit", "warehouse", "3")["is_new"] is False

    assert done("pool", "reset-limit", "warehouse") == "The limit of pool warehouse is 2, as declared.\n"

    pool = shown("pool", "show", "warehouse")["pool"]
    assert (pool["limit"], pool["is_limit_set"], pool["limit_set_by"]) == (2, False, None)
    assert shown("pool", "reset-limit", "warehouse")["is_new"] is False


def test_limit_of_each_value_wakes_the_queues_of_values(stack: MemoryStack) -> None:
    text = done("pool", "set-limit", "customers", "2")

    assert "is 2 for each value of its tag" in text
    assert [each["pool"] for each in stack.dispatches.drain()] == ["customers", "customers=acme"]
    stack.instance._launch()
    assert run_of(stack, "acme2").waiting is not None
    assert run_of(stack, "acme2").waiting.pool == "warehouse"  # type: ignore[union-attr]


def test_limit_of_zero_is_shown_as_a_pause(stack: MemoryStack) -> None:
    assert "no run starts until the limit is raised" in done("pool", "set-limit", "warehouse", "0")

    assert "0 (paused)" in done("pool", "list")
    assert "0 (paused)" in done("pool", "show", "warehouse")
    stack.instance.finish_run(run_of(stack, "a"))
    assert run_of(stack, "b").status is Status.QUEUED
    why = shown("why", "watch", "--run", run_of(stack, "b").run_id)["summary"]
    assert f"The limit is 0, as ada set it at {timestamp(stack.instance.clock.now())}" in why
    assert "treadle pool set-limit warehouse N, or treadle pool reset-limit warehouse" in why


def test_slot_in_doubt_is_shown_and_freed(stack: MemoryStack) -> None:
    run = in_doubt(stack, "a")

    assert "1 in doubt" in done("pool", "list")
    first = shown("pool", "show", "warehouse")["holders"][0]
    assert (first["run_id"], first["is_in_doubt"]) == (run.run_id, True)
    why = shown("why", "watch", "--run", run_of(stack, "b").run_id)["summary"]
    assert f"free the slot (treadle pool free {run.run_id})" in why
    assert "slots in doubt" in done("run", "show", run.run_id)

    freed = shown("pool", "free", run.run_id)

    assert freed["is_new"] is True
    assert freed["reason"] == f"The slots that run {run.run_id} held in doubt are free: pool warehouse."
    assert run_of(stack, "a").slots == ()
    stack.instance._launch()
    assert run_of(stack, "b").status is Status.STARTED
    assert done("pool", "free", run.run_id) == f"Run {run.run_id} holds no slots.\n"
    now = stack.instance.clock.now()
    edit = OperatorEdit(now, "ada", "freed its slots in doubt of pool warehouse")
    assert run_of(stack, "a").edits == (edit,)
    assert f"{when(now)} ada freed its slots in doubt of pool warehouse" in done("run", "show", run.run_id)
    steps = shown("why", "watch", "--run", run.run_id)["steps"]
    assert {"at": now, "kind": "edit", "detail": f"ada {edit.action}", "ok": True} in steps


def test_slot_of_a_run_in_progress_is_not_freed(stack: MemoryStack) -> None:
    run = run_of(stack, "a")

    output = refused("pool", "free", run.run_id)

    assert f"Run {run.run_id} is in progress (STARTED), so its slots are not in doubt" in output
    assert run_of(stack, "a").slots == run.slots
    assert "does not exist" in refused("pool", "free", "none")


def test_only_the_slots_of_earlier_attempts_are_freed(stack: MemoryStack) -> None:
    run = run_of(stack, "a")
    [slot] = run.slots
    newer = replace(slot, number=3, attempt=2)
    stack.instance._tables.runs[run.run_id] = replace(run, attempt=2, slots=(slot, newer))

    done("pool", "free", run.run_id)

    assert run_of(stack, "a").slots == (newer,)


def test_run_with_a_higher_priority_moves_ahead_and_keeps_its_age(stack: MemoryStack) -> None:
    before = run_of(stack, "c")

    moved = shown("run", "set-priority", before.run_id, "7")

    assert (moved["is_new"], moved["reason"]) == (True, f"The priority of run {before.run_id} is 7.")
    assert waiting(stack) == ["c", "b"]
    after = run_of(stack, "c")
    assert after.tags["dagster/priority"] == "7"
    assert after.waiting is not None
    assert before.waiting is not None
    assert after.waiting.since == before.waiting.since
    stack.instance.finish_run(run_of(stack, "a"))
    assert run_of(stack, "c").status is Status.STARTED

    assert after.edits == (OperatorEdit(stack.instance.clock.now(), "ada", "set its priority to 7"),)
    assert "ada set its priority to 7" in done("run", "show", after.run_id)

    assert shown("run", "set-priority", run_of(stack, "b").run_id, "-3")["is_new"] is True
    assert "does not wait for a pool (STARTED)" in refused("run", "set-priority", before.run_id, "8")


def test_same_priority_changes_nothing_twice(stack: MemoryStack) -> None:
    run = run_of(stack, "c")
    done("run", "set-priority", run.run_id, "7")

    again = shown("run", "set-priority", run.run_id, "7")

    assert (again["is_new"], again["reason"]) == (False, f"The priority of run {run.run_id} was already 7.")
    assert len(run_of(stack, "c").edits) == 1
    assert waiting(stack) == ["c", "b"]


def test_runs_say_that_they_wait_for_a_pool(stack: MemoryStack) -> None:
    run = run_of(stack, "c")

    assert "QUEUED (waits for pool warehouse)" in done("run", "list", "--job", "load")
    text = done("run", "show", run.run_id)
    assert f"Attempt 1 of run {run.run_id} has waited for a slot of pool warehouse since" in text
    assert "it is number 2 in the queue, and 2 of 2 slots are held." in text


def test_lowered_limit_is_said_with_the_runs_beyond_it(stack: MemoryStack) -> None:
    done("pool", "set-limit", "warehouse", "1")

    text = done("run", "show", run_of(stack, "b").run_id)

    assert "2 slots are held, more than the limit of 1." in text


def test_why_says_that_a_pool_is_closed(stack: MemoryStack) -> None:
    tables, until = stack.instance._tables, stack.instance.clock.now() + 60_000
    tables.pools["warehouse"] = replace(tables.pools["warehouse"], closed_until=until)

    explained = shown("why", "watch", "--run", run_of(stack, "b").run_id)

    assert f"The pool is closed until {timestamp(until)}, because jobs have joined it" in explained["summary"]
    assert any(step["kind"] == "pool" for step in explained["steps"])
    assert "closed until" in done("pool", "list")
    assert "jobs have joined it" in done("pool", "show", "warehouse")


def test_pool_that_is_no_longer_declared_is_listed_until_its_queue_is_empty(stack: MemoryStack) -> None:
    del stack.instance._tables.pools["warehouse"]

    [found] = [each for each in shown("pool", "list") if each["name"] == "warehouse"]

    assert (found["limit"], found["waiting"]) == (None, 2)
    assert "none: no longer declared" in done("pool", "list")
    assert "the pool is no longer declared" in done("run", "show", run_of(stack, "b").run_id)


def test_why_says_when_a_run_that_waits_is_canceled(stack: MemoryStack) -> None:
    run = run_of(stack, "b")
    tags = {**run.tags, "treadle/start_timeout": "600"}
    stack.instance._tables.runs[run.run_id] = replace(run, tags=tags)
    assert run.waiting is not None
    ends_at = timestamp(run.waiting.since + 600_000)

    why = shown("why", "watch", "--run", run.run_id)["summary"]

    assert f"It is canceled if it has not started by {ends_at}" in why


def test_overlap_is_shown_where_it_is_not_the_default(stack: MemoryStack) -> None:
    latest = PoolState("job:load", 1, overlap=Overlap.LATEST)
    stack.instance._stores.pools.declare([latest], ())

    assert "overlap LATEST" in done("pool", "list")
    assert "overlap       LATEST" in done("pool", "show", "job:load")
    assert "overlap" not in done("pool", "show", "warehouse")
    assert shown("pool", "show", "job:load")["pool"]["overlap"] == "LATEST"


def test_run_is_shown_with_the_overlap_under_which_it_started(stack: MemoryStack) -> None:
    run = run_of(stack, "a")
    stack.instance._tables.runs[run.run_id] = replace(run, overlap=Overlap.SKIP)

    assert re.search(r"^overlap +SKIP$", done("run", "show", run.run_id), re.MULTILINE)


@pytest.fixture
def rated(monkeypatch: pytest.MonkeyPatch, stack: MemoryStack) -> MemoryStack:
    """A deployment with a pool of two starts per minute, for which three runs wait since ten seconds."""
    instance = TreadleInstance([watch], pools=[Pool("crm", jobs=["load"], starts_per_minute=2)])
    made = MemoryStack(instance)
    parts = made.parts
    monkeypatch.setattr(MemoryStack, "parts", property(lambda _: parts))
    instance.tick("watch")
    instance.clock.advance(10)
    return made


def test_pool_of_starts_shows_when_the_next_one_is_possible(rated: MemoryStack) -> None:
    now = rated.instance.clock.now()
    granted_at = now - 10_000

    [pool] = shown("pool", "list")

    assert (pool["key"], pool["is_per_minute"], pool["limit"]) == ("starts:crm", True, 2)
    assert (pool["held"], pool["waiting"], pool["next_start_at"]) == (2, 3, granted_at + 60_000)
    row = done("pool", "list").splitlines()[1]
    assert "2 per minute" in row
    assert row.endswith(f"next start at {timestamp(granted_at + 60_000)[:19]}Z")
    details = shown("pool", "show", "starts:crm")
    assert [each["since"] for each in details["holders"]] == [granted_at] * 2
    text = done("pool", "show", "starts:crm")
    assert "starts in 60 seconds" in text
    assert "START GRANTED" in text
    why = shown("why", "watch", "--run", details["waiters"][1]["run_id"])["summary"]
    assert "2 of 2 starts per minute were granted in the last 60 seconds, and the next is possible at " in why
    assert why.endswith(f"{timestamp(granted_at + 60_000)}.")

    rated.instance.clock.advance(50)

    [pool] = shown("pool", "list")
    assert (pool["held"], pool["next_start_at"]) == (0, None)
    assert "No start was granted in the last 60 seconds." in done("pool", "show", "starts:crm")


def test_limit_of_starts_is_paused_and_reset(rated: MemoryStack) -> None:
    assert "The limit of pool starts:crm is 0" in done("pool", "set-limit", "starts:crm", "0")
    [pool] = shown("pool", "list")
    assert (pool["is_paused"], pool["next_start_at"]) == (True, None)
    assert "0 (paused)" in done("pool", "list")
    rated.instance.clock.advance(60)
    rated.instance.reconcile()
    assert [pool["waiting"] for pool in shown("pool", "list")] == [3]

    done("pool", "reset-limit", "starts:crm")

    rated.instance.reconcile()
    assert [pool["waiting"] for pool in shown("pool", "list")] == [1]


def test_start_of_a_run_in_doubt_is_not_in_doubt(rated: MemoryStack) -> None:
    [first, *_] = shown("pool", "show", "starts:crm")["holders"]
    run = rated.instance._tables.runs[first["run_id"]]
    failure = Failure("LaunchOutcomeUnknownError", "It may have started.", assumed=True)
    rated.instance._tables.runs[run.run_id] = replace(run, status=Status.FAILURE, failure=failure)

    [pool] = shown("pool", "list")

    assert pool["in_doubt"] == 0
    assert done("pool", "free", run.run_id) == f"Run {run.run_id} holds no slots.\n"


def test_queue_that_takes_turns_is_shown_in_the_order_of_its_grants(
    monkeypatch: pytest.MonkeyPatch, stack: MemoryStack
) -> None:
    pool = Pool("warehouse", 1, jobs=["load"], turns_by="customer")
    made = MemoryStack(TreadleInstance([watch], pools=[pool]))
    parts = made.parts
    monkeypatch.setattr(MemoryStack, "parts", property(lambda _: parts))
    made.instance.tick("watch")
    keys = {run.run_id: run.run_key for run in made.instance.runs()}
    found = shown("pool", "show", "warehouse")
    order = [each["run_id"] for each in found["waiters"]]

    assert found["pool"]["turns_by"] == "customer"
    assert "turns by customer" in done("pool", "list")
    assert "turns by" in done("pool", "show", "warehouse")
    why = shown("why", "watch", "--run", order[1])["summary"]
    assert "it is number 2 in the queue, which takes turns among the values of the tag customer" in why
    started: list[str] = []
    while running := [run for run in made.instance.runs() if run.status is Status.STARTED]:
        started.append(running[0].run_id)
        made.instance.finish_run(running[0])

    assert [keys[each] for each in started[1:]] == [keys[each] for each in order]
    # Each customer has a turn before one of them has another.
    assert len({str(keys[each])[:4] == "acme" for each in started[:2]}) == 2
