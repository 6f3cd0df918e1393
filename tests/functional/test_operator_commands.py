"""The operator's commands on a stack of moto's, with the functions' own handlers at work on its queues."""

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from click.testing import Result

from tests.functional.conftest import STACK, Deployment, batch, object_created
from tests.support.project import run
from tests.support.stacks import Stacks
from treadle.adapters.queues import SqsDeadLetters
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.identity import timestamp
from treadle.model.batches import BatchCommit, BatchFailures, BatchItem, by_key
from treadle.model.runs import Run
from treadle.model.ticks import Tick, TickKind


def treadle(*arguments: str, answers: str | None = None) -> Result:
    """Return the outcome of a command on the stack."""
    return run(*arguments, "--stack", STACK, answers=answers)


def ended_run(stack: Deployment) -> Run:
    """Return the run of an object, launched, and aborted at its target."""
    stack.invoke("sensors/new_objects", object_created("a.csv", stack.put("a.csv")))
    stack.dispatch_pending()
    stack.launch_queued()
    return report(stack, only_run(stack), "ABORTED")


def only_run(stack: Deployment) -> Run:
    [found] = stack.stores.runs.list_by_sensor("new_objects", 5)
    return found


def report(stack: Deployment, found: Run, status: str) -> Run:
    """Return RECORD's outcome for the target's event of a run's present attempt."""
    stack.invoke("engine/record", batch(status_change(stack, found, status)))
    return only_run(stack)


def status_change(stack: Deployment, found: Run, status: str) -> dict[str, Any]:
    return {
        "time": "2026-11-22T18:00:10Z",
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": f"{stack.machine.replace(':stateMachine:', ':execution:')}:{found.launch_id}",
            "stateMachineArn": stack.machine,
            "name": found.launch_id,
            "status": status,
            "startDate": "1795370405000",
            "stopDate": "1795370410000",
        },
    }


def test_rerun_ends_as_a_second_execution_and_says_who_requested_it(stack: Deployment) -> None:
    first = ended_run(stack)

    done = treadle("run", "rerun", first.run_id)
    stack.launch_queued()

    assert (done.exit_code, done.stdout) == (0, f"Attempt 2 of run {first.run_id} is queued.\n"), done.output
    assert sorted(stack.executions()) == [f"{first.run_id}-1", f"{first.run_id}-2"]
    [allowance] = only_run(stack).allowances
    assert (allowance.attempts, allowance.by) == (2, "arn:aws:sts::123456789012:user/moto")


def test_rerun_of_a_run_under_way_is_refused_without_a_traceback(stack: Deployment) -> None:
    first = ended_run(stack)
    treadle("run", "rerun", first.run_id)

    done = treadle("run", "rerun", first.run_id)
    repeated = treadle("run", "rerun", first.run_id, "--if-attempt", "1")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"treadle: Run {first.run_id} has not ended: attempt 2 is QUEUED.")
    assert len(done.stderr.splitlines()) == 1
    assert (repeated.exit_code, "has already followed attempt 1" in repeated.stdout) == (0, True)
    assert only_run(stack).attempt == 2


def test_a_released_key_is_started_by_its_next_request(stack: Deployment) -> None:
    first = ended_run(stack)

    done = treadle("run", "release-key", "new_objects", str(first.run_key), "--by", "ann")
    assert only_run(stack).attempt == 1
    event = object_created("a.csv", stack.put("a.csv"), sequencer="02", time="2026-11-22T18:01:00Z")
    stack.invoke("sensors/new_objects", event)
    stack.dispatch_pending()
    stack.launch_queued()

    assert done.exit_code == 0, done.output
    assert "the next request for it starts attempt 2" in done.stdout
    assert sorted(stack.executions()) == [f"{first.run_id}-1", f"{first.run_id}-2"]
    assert [each.by for each in only_run(stack).allowances] == ["ann"]


def test_cancel_ends_the_execution_of_a_started_run(stack: Deployment) -> None:
    stack.invoke("sensors/new_objects", object_created("a.csv", stack.put("a.csv")))
    stack.dispatch_pending()
    stack.launch_queued()
    started = only_run(stack)

    done = treadle("run", "cancel", started.run_id)

    assert done.exit_code == 0, done.output
    answer = boto3.client("stepfunctions").describe_execution(executionArn=str(started.external_id))
    assert answer["status"] == "ABORTED"
    assert only_run(stack).status is Status.CANCELING
    assert report(stack, started, "ABORTED").status is Status.CANCELED


def test_cancel_of_a_run_that_waits_needs_no_target(stack: Deployment) -> None:
    stack.invoke("sensors/new_objects", object_created("a.csv", stack.put("a.csv")))
    stack.dispatch_pending()

    done = treadle("run", "cancel", only_run(stack).run_id, "--by", "ann")
    stack.launch_queued()

    assert done.exit_code == 0, done.output
    assert (only_run(stack).status, stack.executions()) == (Status.CANCELED, [])


def waiting_runs(stack: Deployment, *names: str) -> dict[str, Run]:
    """Return runs that wait for their launch, by object."""
    for name in names:
        stack.invoke("sensors/new_objects", object_created(name, stack.put(name)))
    stack.dispatch_pending()
    runs = stack.stores.runs.list_by_sensor("new_objects", 10)
    return {name: run for run in runs for name in names if name in run.run_config}


def test_runs_of_a_sensor_are_listed_and_canceled_after_a_confirmation(stack: Deployment) -> None:
    runs = waiting_runs(stack, "a.csv", "b.csv")

    refused = treadle("run", "cancel", "--sensor", "new_objects", answers="n\n")
    assert refused.exit_code == 1
    assert all(run.run_id in refused.stdout for run in runs.values())
    assert "Cancel 2 runs?" in refused.stderr
    assert {each.status for each in stack.stores.runs.list_by_sensor("new_objects", 10)} == {Status.QUEUED}

    done = treadle("run", "cancel", "--sensor", "new_objects", answers="y\n")
    stack.launch_queued()

    assert (done.exit_code, stack.executions()) == (0, []), done.output
    assert done.stdout.endswith("2 of 2 runs were canceled, or received the request to stop.\n")
    assert {each.status for each in stack.stores.runs.list_by_sensor("new_objects", 10)} == {Status.CANCELED}
    again = treadle("run", "cancel", "--sensor", "new_objects")
    assert (again.exit_code, again.stdout) == (0, "No matching runs are in progress.\n")


def test_one_run_that_cannot_be_canceled_does_not_keep_the_others_from_it(stack: Deployment) -> None:
    runs = waiting_runs(stack, "a.csv", "b.csv")
    first, second = runs["a.csv"].run_id, runs["b.csv"].run_id

    done = treadle("run", "cancel", first, "nowhere", second, first)

    assert done.exit_code == 2
    assert done.stdout.splitlines() == [
        f"Run {first} is canceled; attempt 1 has ended.",
        "NOT CANCELED: Run nowhere does not exist.",
        f"Run {second} is canceled; attempt 1 has ended.",
        "2 of 3 runs were canceled, or received the request to stop.",
    ]
    listed = json.loads(treadle("run", "cancel", first, "nowhere", "--json").stdout)
    assert [(each["run_id"], each["is_new"], each["error"]) for each in listed] == [
        (first, False, None),
        ("nowhere", False, "Run nowhere does not exist."),
    ]


def test_run_that_waits_for_its_retry_is_canceled_with_those_in_progress(stack: Deployment) -> None:
    runs = waiting_runs(stack, "a.csv", "b.csv", "c.csv")
    failed: dict[str, Any] = {"status": Status.FAILURE, "ended_at": runs["a.csv"].created_at, "next_at": None}
    stack.stores.runs.replace(replace(runs["a.csv"], **failed))
    at = runs["b.csv"].created_at + 3_600_000
    stack.stores.runs.replace(replace(runs["b.csv"], **failed | {"retry_at": at, "next_at": at}))

    chosen = treadle("run", "cancel", "--sensor", "new_objects", "--status", "STARTED", "--yes", "--json")
    assert json.loads(chosen.stdout) == []
    done = treadle("run", "cancel", "--sensor", "new_objects", "--yes")

    assert done.stdout.count("FAILURE (will retry)") == 1
    assert done.stdout.endswith("2 of 2 runs were canceled, or received the request to stop.\n"), done.output
    found = {each.run_id: each.status for each in stack.stores.runs.list_by_sensor("new_objects", 10)}
    assert [found[runs[name].run_id] for name in ("a.csv", "b.csv", "c.csv")] == [
        Status.FAILURE,
        Status.CANCELED,
        Status.CANCELED,
    ]


def test_failed_runs_of_a_job_are_rerun_after_a_confirmation(stack: Deployment) -> None:
    runs = waiting_runs(stack, "a.csv", "b.csv", "c.csv")
    failed: dict[str, Any] = {"status": Status.FAILURE, "ended_at": runs["a.csv"].created_at, "next_at": None}
    for name in ("a.csv", "b.csv"):
        stack.stores.runs.replace(replace(runs[name], **failed))

    refused = treadle("run", "rerun", "--job", "process_file", answers="n\n")
    assert (refused.exit_code, "Rerun 2 runs?" in refused.stderr) == (1, True)
    done = treadle("run", "rerun", "--job", "process_file", "--since", "1h", "--yes")

    assert done.stdout.endswith("2 of 2 runs were rerun.\n"), done.output
    found = {each.run_id: each.attempt for each in stack.stores.runs.list_by_sensor("new_objects", 10)}
    assert [found[runs[name].run_id] for name in ("a.csv", "b.csv", "c.csv")] == [2, 2, 1]
    none = treadle("run", "rerun", "--job", "process_file", "--status", "SUCCESS")
    assert (none.exit_code, none.stdout) == (0, "No matching runs have ended.\n")


def test_one_run_that_cannot_be_rerun_does_not_keep_the_others_from_it(stack: Deployment) -> None:
    runs = waiting_runs(stack, "a.csv", "b.csv")
    first, second = runs["a.csv"].run_id, runs["b.csv"].run_id
    ended = replace(runs["b.csv"], status=Status.SUCCESS, ended_at=runs["b.csv"].created_at, next_at=None)
    stack.stores.runs.replace(ended)

    done = treadle("run", "rerun", first, second)

    assert done.exit_code == 2
    assert done.stdout.splitlines() == [
        f"NOT RERUN: Run {first} has not ended: attempt 1 is QUEUED. Cancel it, or rerun it once it has ended.",
        f"Attempt 2 of run {second} is queued.",
        "1 of 2 runs were rerun.",
    ]
    assert (
        "--if-attempt is for one run." in treadle("run", "rerun", first, second, "--if-attempt", "1").stderr
    )
    assert "Give run ids, or one of --sensor and --job." in treadle("run", "rerun").stderr


def test_only_the_selected_runs_are_canceled(stack: Deployment) -> None:
    runs = waiting_runs(stack, "a.csv", "b.csv")
    other = timestamp(max(run.created_at for run in runs.values()) + 1)

    for options in (("--status", "STARTED"), ("--since", other), ("--until", "2020-01-01T00:00:00Z")):
        nothing = treadle("run", "cancel", "--sensor", "new_objects", "--yes", *options)
        assert nothing.stdout == "No matching runs are in progress.\n", options
    done = treadle(
        "run", "cancel", "--job", runs["a.csv"].job, "--until", other, "--max", "1", "--yes", "--json"
    )

    [canceled] = json.loads(done.stdout)
    assert canceled["run"]["status"] == "CANCELED"
    statuses = sorted(each.status for each in stack.stores.runs.list_by_sensor("new_objects", 10))
    assert statuses == [Status.CANCELED, Status.QUEUED]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ((), "Give run ids, or one of --sensor and --job."),
        (("r", "--sensor", "s"), "Give run ids, or one of --sensor and --job."),
        (
            ("r", "--status", "QUEUED"),
            "--status, --since and --until select among the runs of --sensor or --job.",
        ),
        (("--sensor", "s", "--job", "j"), "name one of them"),
    ],
    ids=["nothing", "both", "status-of-an-id", "sensor-and-job"],
)
def test_selection_that_makes_no_sense_is_refused(
    stack: Deployment, given: tuple[str, ...], problem: str
) -> None:
    done = treadle("run", "cancel", *given)

    assert done.exit_code == 2
    assert problem in done.stderr


def lose_launch(stack: Deployment) -> Run:
    """Return a run whose launch message became a dead letter, as its record was not there yet; it is by now."""
    stack.invoke("sensors/new_objects", object_created("a.csv", stack.put("a.csv")))
    stack.dispatch_pending()
    [message] = stack.messages("launch")
    body = json.loads(message["Body"])
    stack.invoke("engine/launch", batch({**body, "run_id": "unknown"}, {**body, "run_id": "nor this"}))
    SqsDeadLetters(stack.queues["dead"]).send(
        message["Body"], origin="launch", reason="UnknownEventError: no run"
    )
    return only_run(stack)


def test_a_dead_letter_is_redriven_and_handled(stack: Deployment) -> None:
    lost = lose_launch(stack)

    dry_run = treadle("dlq", "redrive", "--dry-run")
    done = treadle("dlq", "redrive", "--origin", "launch")
    stack.launch_queued()

    assert dry_run.exit_code == done.exit_code == 0, dry_run.output + done.output
    assert dry_run.stdout.splitlines()[-1] == "Dry run, nothing was done: 3 SENT."
    assert (
        f"SENT    launch: {lost.run_id} 1: To the queue of launch. It was given up as Unknown" in done.stdout
    )
    assert done.stdout.splitlines()[-1] == "3 SENT."
    assert stack.executions() == [lost.launch_id]
    # Those that still name no run become dead letters again, each once.
    dead_letters = stack.messages("dead")
    assert len(dead_letters) == 2
    assert all(
        "names an unknown run" in each["MessageAttributes"]["reason"]["StringValue"] for each in dead_letters
    )


def test_a_tick_that_dispatch_gave_up_is_redriven_and_handled(stack: Deployment) -> None:
    stack.invoke("sensors/new_objects", object_created("a.csv", stack.put("a.csv")))
    [tick] = stack.stores.ticks.latest("new_objects", 5)
    keys = {"sensor": {"S": tick.sensor}, "tick_id": {"S": tick.tick_id}}
    stack.invoke(
        "engine/dispatch", {"Records": [{"dynamodb": {"Keys": keys, "NewImage": {"a": {"S": "b"}}}}]}
    )

    done = treadle("dlq", "redrive")
    bodies = [message["Body"] for message in stack.messages("dispatch")]
    stack.invoke("engine/dispatch", batch(*bodies))

    assert done.exit_code == 0, done.output
    assert only_run(stack).tick_id == tick.tick_id


def test_the_event_of_a_sensor_goes_back_to_the_sensors_own_queue(stack: Deployment) -> None:
    event = {"source": "made.by.a.test", "detail-type": "Nobody Knows"}
    stack.invoke("sensors/new_objects", batch(event))

    assert treadle("dlq", "redrive", "--origin", "sensor new_objects").exit_code == 0

    [message] = stack.messages("own")
    assert json.loads(message["Body"]) == event


def test_an_event_that_a_rule_could_not_deliver_goes_to_its_queue(stack: Deployment) -> None:
    first = ended_run(stack)
    treadle("run", "rerun", first.run_id)
    stack.launch_queued()
    arn = boto3.client("sqs").get_queue_attributes(
        QueueUrl=stack.queues["record"], AttributeNames=["QueueArn"]
    )
    written = {"RULE_ARN": "arn:aws:events:::rule/r", "TARGET_ARN": arn["Attributes"]["QueueArn"]}
    boto3.client("sqs").send_message(
        QueueUrl=stack.queues["dead"],
        MessageBody=json.dumps(status_change(stack, only_run(stack), "ABORTED")),
        MessageAttributes={n: {"DataType": "String", "StringValue": value} for n, value in written.items()},
    )

    done = treadle("dlq", "redrive")
    stack.invoke("engine/record", batch(*(message["Body"] for message in stack.messages("record"))))

    assert done.exit_code == 0, done.output
    assert (only_run(stack).attempt, only_run(stack).status) == (2, Status.CANCELED)


def test_a_dead_letter_whose_queue_is_gone_fails_the_command_and_stays(stack: Deployment) -> None:
    lose_launch(stack)
    boto3.client("sqs").delete_queue(QueueUrl=stack.queues["launch"])

    done = treadle("dlq", "redrive", "--max", "1")

    assert done.exit_code == 2
    assert "FAILED" in done.stdout
    assert "There may be more: run the command again." in done.stdout
    assert len(stack.messages("dead")) == 3


def test_what_others_wrote_cannot_steer_the_terminal(stack: Deployment) -> None:
    body = json.dumps({"detail": {"object": {"key": "\x1b[2J\u202egnp.exe\n"}}})
    boto3.client("sqs").send_message(QueueUrl=stack.queues["dead"], MessageBody=body)

    done = treadle("dlq", "redrive", "--dry-run")

    assert r"\x1b[2J\u202egnp.exe\n" in done.stdout
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "rerun", "r"),
        ("run", "release-key", "new_objects", "k"),
        ("run", "cancel", "r"),
        (
            "dlq",
            "redrive",
        ),
    ],
    ids=" ".join,
)
def test_an_unknown_stack_is_one_clear_line(stack: Deployment, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "--stack", "nowhere")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("treadle: Stack 'nowhere' cannot be read: ")
    assert "AWS_PROFILE and AWS_DEFAULT_REGION select the account and Region" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_stack_of_another_template_is_refused(stack: Deployment, stacks: Stacks) -> None:
    stacks.resources["other"] = {"Queue": ("AWS::SQS::Queue", "https://other")}

    done = run("dlq", "redrive", "--stack", "other")

    assert done.exit_code == 2
    assert "has no DispatchFunction: it was not created from Treadle's template" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "rerun", "nowhere"), "Run nowhere does not exist."),
        (("run", "cancel", "nowhere"), "Run nowhere does not exist."),
        (("run", "release-key", "new_objects", "k"), "Run key 'k' of sensor new_objects is free"),
    ],
    ids=["rerun", "cancel", "release"],
)
def test_what_is_not_there_is_refused(stack: Deployment, arguments: tuple[str, ...], expected: str) -> None:
    done = treadle(*arguments)

    assert (done.exit_code, done.stderr.startswith(f"treadle: {expected}")) == (2, True), done.output


def test_open_batches_are_listed_with_the_reason_why_one_fails(stack: Deployment) -> None:
    assert treadle("sensor", "batches", "new_objects").stdout == (
        "No item waits for a batch of sensor new_objects.\n"
    )
    batches, at = stack.stores.batches, 1_795_370_405_000
    items = [BatchItem(name, "ann", at + number, 10, '"x"') for number, name in enumerate("ab")]
    batches.accept("new_objects", items)
    batches.open("new_objects", "ann", at, 60_000, None)
    lease = batches.acquire("new_objects", by_key("ann"), "closer", at, at + 1)
    assert lease is not None
    tick = Tick("new_objects", "t", TickKind.EVENT, TickStatus.FAILURE, at, at, at)
    batches.commit(lease, BatchCommit(tick, BatchFailures(1, at + 30_000, reason="no such column")))
    batches.finish(lease, at + 30_000, at)

    shown = treadle("sensor", "batches", "new_objects")
    [listed] = json.loads(treadle("sensor", "batches", "new_objects", "--json").stdout)["batches"]

    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["BY", "ITEMS", "BYTES", "OLDEST", "ITEM", "CLOSES", "AT", "FAILURES"],
        ["ann", "2", "20", "2026-11-22T18:00:05Z", "2026-11-22T18:00:35Z", "1", "in", "a", "row"],
        ["!", "ann:", "no", "such", "column"],
    ]
    assert (listed["by"], listed["items"], listed["failures"]) == ("ann", 2, 1)
