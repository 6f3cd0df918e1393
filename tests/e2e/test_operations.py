"""Operators' changes of the deployed stack by the command line: a rerun, a release, a redrive."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from click.testing import Result

from tests.e2e.deployment import (
    JOB,
    MALFORMED_CSV,
    SENSOR,
    STEPS,
    Deployed,
    eventually,
    fresh_key,
    launch_message,
    run_record,
)
from tests.support.project import run
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Run

PATIENCE = 100
"""Seconds for a job from upload to recorded end, on a machine that has much else to do."""


POOL, LIMIT = "e2e", 2


@pytest.fixture
def open_pool(deployed: Deployed) -> Iterator[None]:
    """A pool of runs with a tag: no process knows the registry without it, and the time that it is closed for has passed.

    In these minutes, runs in progress that have the tag may end; there are none.
    """
    ssm, name = deployed.client("ssm"), f"/treadle/{deployed.contract['engine']}/pools/{POOL}"
    entry = {"project": deployed.name, "limit": str(LIMIT), "tag": POOL}
    ssm.put_parameter(Name=name, Value=json.dumps(entry), Type="String")
    state = eventually(lambda: deployed.stores.pools.state(POOL), "the pool is declared", seconds=PATIENCE)
    assert state is not None
    assert state.closed_until is not None
    deployed.restart(*map(str.capitalize, STEPS))
    deployed.stores.pools.declare([replace(state, closed_until=int(time.time() * 1000))], [])

    def is_open() -> bool:
        """Let RECONCILE check the pools, as its schedule is off."""
        deployed.client("lambda").invoke(FunctionName=deployed.function("Reconcile"), Payload=b"{}")
        state = deployed.stores.pools.state(POOL)
        return state is not None and state.closed_until is None

    eventually(is_open, "the pool is open", seconds=PATIENCE, pause=1)
    yield
    ssm.delete_parameter(Name=name)


def treadle(deployed: Deployed, *arguments: str) -> Result:
    """Return the outcome of a command on the stack, which must succeed."""
    done = run(*arguments, "--stack", deployed.name)
    assert done.exit_code == 0, done.output
    return done


def failed_run(deployed: Deployed) -> Run:
    """Return the run of an object that the job cannot read."""
    key = fresh_key()
    deployed.upload(key, MALFORMED_CSV)
    eventually(
        lambda: [each for each in deployed.runs_of(key) if each.ended_at is not None],
        "the run has failed",
        seconds=PATIENCE,
    )
    failed = deployed.ended_run(key)
    assert (failed.status, failed.attempt) == (Status.FAILURE, 1)
    return failed


def ended_again(deployed: Deployed, failed: Run) -> Run:
    """Return the run once its second attempt has ended."""

    def probe() -> Run | None:
        found = deployed.stores.runs.get(failed.run_id)
        return found if found and found.attempt == 2 and found.ended_at is not None else None

    found = eventually(probe, "the second attempt has ended", seconds=PATIENCE)
    assert found is not None
    return found


def test_a_failed_run_that_is_rerun_ends_as_a_second_attempt(deployed: Deployed) -> None:
    failed = failed_run(deployed)

    treadle(deployed, "run", "rerun", failed.run_id, "--if-attempt", "1")
    treadle(deployed, "run", "rerun", failed.run_id, "--if-attempt", "1")

    again = ended_again(deployed, failed)
    assert again.status is Status.FAILURE
    assert sorted(deployed.executions(failed)) == [f"{failed.run_id}-1", f"{failed.run_id}-2"]
    [allowance] = again.allowances
    assert (allowance.attempts, allowance.by) == (2, deployed.client("sts").get_caller_identity()["Arn"])


def test_a_released_key_is_started_again_by_the_next_tick(deployed: Deployed) -> None:
    failed = failed_run(deployed)
    deployed.let_time_pass()
    deployed.tick()
    known = deployed.stores.runs.get(failed.run_id)
    assert known is not None
    # Its reaction may be noted meanwhile; how far it has come stays.
    assert (known.attempt, known.reached) == (failed.attempt, failed.reached)

    treadle(deployed, "run", "release-key", SENSOR, str(failed.run_key), "--by", "ann")
    deployed.let_time_pass()
    answer = deployed.tick()

    assert answer.value["decision"] == "SUCCESS"
    again = ended_again(deployed, failed)
    assert [each.by for each in again.allowances] == ["ann"]
    assert sorted(deployed.executions(failed)) == [f"{failed.run_id}-1", f"{failed.run_id}-2"]


@pytest.mark.parametrize("origin_filter", ["launch", None], ids=["one origin", "all origins"])
def test_a_dead_letter_is_redriven_and_handled(deployed: Deployed, origin_filter: str | None) -> None:
    """Of a run that was not recorded when its message came, and is by now."""
    lost = run_record()
    deployed.send("Launch", launch_message(lost))
    origin = () if origin_filter is None else ("--origin", origin_filter)
    eventually(
        lambda: lost.run_id in treadle(deployed, "dlq", "redrive", "--dry-run", *origin).stdout,
        "the message is a dead letter",
        pause=1,
    )
    deployed.stores.runs.create(lost)

    printed = treadle(deployed, "dlq", "redrive", *origin).stdout

    assert f"SENT    launch: {lost.run_id} 1: To the queue of launch." in printed
    eventually(lambda: deployed.executions(lost) == [lost.launch_id], "the run is launched", seconds=60)
    assert deployed.dead_letters(lost.run_id) == []


def test_a_message_that_sqs_gave_up_goes_back_to_the_queue_it_came_from(deployed: Deployed) -> None:
    """As after a function that never answered: the cloud moves it, and says from which queue."""
    lost, sqs = run_record(), deployed.client("sqs")
    deployed.stores.runs.create(lost)
    source = deployed.physical_id("LaunchQueue")
    policy = sqs.get_queue_attributes(QueueUrl=source, AttributeNames=["RedrivePolicy"])["Attributes"]
    often = int(json.loads(policy["RedrivePolicy"])["maxReceiveCount"])
    mapping = deployed.client("lambda").list_event_source_mappings(
        FunctionName=deployed.outputs["LaunchFunctionName"]
    )["EventSourceMappings"][0]["UUID"]
    deployed.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        deployed.send("Launch", json.dumps({**json.loads(launch_message(lost)), "mark": str(uuid4())}))

        def moved() -> bool:
            for _ in range(often):
                sqs.receive_message(QueueUrl=source, VisibilityTimeout=0)
            return (
                lost.run_id in treadle(deployed, "dlq", "redrive", "--dry-run", "--origin", "launch").stdout
            )

        eventually(moved, "the message is a dead letter")
    finally:
        deployed.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)

    printed = treadle(deployed, "dlq", "redrive", "--origin", "launch").stdout

    assert f"SENT    launch: {lost.run_id} 1: To the queue of launch." in printed
    eventually(lambda: deployed.executions(lost) == [lost.launch_id], "the run is launched", seconds=60)


def test_a_backfill_starts_one_run_per_partition_and_ends(deployed: Deployed) -> None:
    """By the permissions that DISPATCH, PUBLISH and RECONCILE have for it, and once only."""
    keys = sorted(f"day-{uuid4().hex[:8]}" for _ in range(3))
    name = f"e2e-{uuid4().hex[:8]}"
    given = [option for key in keys for option in ("--partition", key)]
    start = ("backfill", "start", JOB, *given, "--name", name, "--limit", "2", "--json")

    treadle(deployed, *start)
    treadle(deployed, *start)

    def has_ended() -> bool:
        found = json.loads(treadle(deployed, "backfill", "show", name, "--json").stdout)
        counts = found.get("backfill", found)["counts"]
        return bool(sum(counts.get(state, 0) for state in ("SUCCESS", "FAILURE", "CANCELED")) == len(keys))

    eventually(has_ended, "the backfill has ended", seconds=3 * PATIENCE, pause=1)
    runs = json.loads(treadle(deployed, "run", "list", "--backfill", name, "--json").stdout)
    assert sorted(each["partition_key"] for each in runs) == keys
    assert {each["attempt"] for each in runs} == {1}


def test_a_pool_never_has_more_executions_in_progress_than_its_limit(
    deployed: Deployed, open_pool: None
) -> None:
    """By the target's own times; and by the permissions that the engine's functions have for pools."""
    keys = [f"pooled-{uuid4().hex[:8]}" for _ in range(4 * LIMIT)]
    name = f"pooled-{uuid4().hex[:8]}"
    given = [option for key in keys for option in ("--partition", key)]

    treadle(deployed, "backfill", "start", JOB, *given, "--name", name, "--tag", f"{POOL}=true")

    def ended() -> list[Run]:
        listed = json.loads(treadle(deployed, "run", "list", "--backfill", name, "--json").stdout)
        runs = deployed.stores.runs.get_many([each["run_id"] for each in listed]).values()
        return [run for run in runs if run.status.is_finished]

    eventually(lambda: len(ended()) == len(keys), "all runs have ended", seconds=3 * PATIENCE, pause=1)
    times = []
    for each in ended():
        assert each.pools == (POOL,)
        found = deployed.client("stepfunctions").describe_execution(executionArn=each.external_id)
        times += [(found["startDate"], 1), (found["stopDate"], -1)]
    in_progress = [sum(change for _, change in sorted(times)[: at + 1]) for at in range(len(times))]
    assert max(in_progress) == LIMIT
    assert (deployed.stores.pools.holders(POOL), deployed.stores.pools.waiters(POOL, 1)) == ([], [])
