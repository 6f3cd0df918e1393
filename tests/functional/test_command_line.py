"""What the command line shows of a stack of moto's, and what it changes; the sensors' own handlers answer it."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from tests.functional.conftest import OWN, STACK, Deployment, object_created
from tests.support.stacks import Stacks
from tools.project import ROOT
from treadle.adapters.queues import SqsDeadLetters
from treadle.cli.commands import treadle as command
from treadle.definitions.assets import AssetMaterialization, AssetObservation
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus, TickStatus
from treadle.engine.identity import event_tick_id
from treadle.model.assets import AssetEvent
from treadle.model.runs import Run
from treadle.model.sensors import Completion, Edit, Lease, LeaseRequest
from treadle.model.ticks import ErrorInfo, PlannedRun, Tick, TickKind, TickTrouble
from treadle.testing.registry import sensor_text

SENSOR = "new_objects"
ANN = "arn:aws:sts::123456789012:user/moto"
NASTY = "\x1b[31mred\u202e"
"""What a terminal would obey, were it printed as it is."""


def treadle(*arguments: str, stack: str | None = STACK, answers: str | None = None) -> Result:
    """Return the outcome of a command on the stack."""
    named = [] if stack is None else ["--stack", stack]
    return CliRunner().invoke(command, [*arguments, *named], input=answers, prog_name="treadle")


def output_of(*arguments: str) -> Any:
    """Return what a command prints as JSON, behind what handlers have logged in this process."""
    done = treadle(*arguments, "--json")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    begin = next(number for number, line in enumerate(lines) if line in {"{", "[", "[]"})
    return json.loads("\n".join(lines[begin:]))


def evaluated(stack: Deployment, key: str = "a.csv") -> None:
    """Put an object, and evaluate and dispatch its event."""
    stack.invoke("sensors/new_objects", object_created(key, stack.put(key)))
    stack.dispatch_pending()


def test_list_shows_each_sensor_and_how_it_stands(stack: Deployment) -> None:
    evaluated(stack)

    shown = treadle("sensor", "list").stdout
    [view] = output_of("sensor", "list")

    assert shown.splitlines()[0].split() == [
        *("SENSOR", "KIND", "STATUS", "LAST", "TICK", "NEXT", "TICK", "LAG", "RUNS", "24H", "FAILED"),
        "LATELY",
    ]
    assert "new_objects" in shown
    assert "RUNNING" in shown
    assert shown.rstrip().endswith(" 1         0       +")
    assert (view["name"], view["kind"], view["status"], view["runs_24h"]) == (SENSOR, "s3", "RUNNING", 1)
    assert view["jobs"] == ["process_file"]


def test_sensor_whose_function_is_gone_is_listed_with_that_problem_beside_the_others(
    stack: Deployment, stacks: Stacks
) -> None:
    """Each of a project of its own; the engine's stack has none of their resources."""
    stack.register("sensors/orders", sensor_text("orders", "process_file", function="orders-Function-1X"))
    evaluated(stack)

    gone, well = output_of("sensor", "list")[::-1]
    listed = treadle("sensor", "list").stdout

    assert (well["name"], well["project"], well["problems"]) == (SENSOR, "files", [])
    assert (gone["name"], gone["project"], gone["function"]) == ("orders", "orders", "orders-Function-1X")
    assert [each["kind"] for each in gone["problems"]] == ["UNREADABLE", "REGISTRATION"]
    assert ", not found" in listed
    assert "! orders: Its function orders-Function-1X cannot be read:" in listed
    assert (
        "  Deploy project orders again. If the sensor is no longer needed, delete its entry in Parameter Store"
        in listed
    )
    assert "job process_file, but the job's project, shop, does not accept the sensor." in listed
    assert "project       files" in treadle("sensor", "show", SENSOR).stdout


def test_held_requests_of_a_sensor_that_was_removed_can_be_dropped(stack: Deployment) -> None:
    stack.invoke("sensors/new_objects", object_created("a.csv", stack.put("a.csv")))
    stack.register(f"sensors/{SENSOR}", "", "Delete")
    stack.dispatch_pending()
    [held] = stack.stores.ticks.page(SENSOR, limit=5).ticks

    done = treadle("tick", "drop", SENSOR, held.tick_id, "--reason", "removed")

    assert held.trouble is TickTrouble.HELD
    assert ": removed. RECONCILE applies it" in done.stdout
    [dropped] = stack.stores.ticks.page(SENSOR, limit=5).ticks
    assert dropped.is_dropped
    assert "has no tick t" in treadle("tick", "drop", SENSOR, "t").stderr


def test_sensor_of_another_engine_is_shown_as_such(stack: Deployment, stacks: Stacks) -> None:
    stacks.environments[OWN] = {**stacks.environments[OWN], "TREADLE_NAMESPACE": "123456789012/us-east-1/old"}
    evaluated(stack)

    listed = treadle("sensor", "list").stdout

    assert "RUNNING, misregistered" in listed
    assert "TREADLE_NAMESPACE is '123456789012/us-east-1/old', but the engine's is" in listed


def test_function_that_does_not_load_is_shown_wherever_its_ticks_are_shown(
    stack: Deployment, stacks: Stacks
) -> None:
    def broken(event: object) -> object:
        raise ModuleNotFoundError("No module named 'requests'")

    function = f"{STACK}-NewObjectsFunction-1X"
    stacks.functions[function] = broken
    stacks.modified[function] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    message = "Its function does not load: ModuleNotFoundError: No module named 'requests'."

    listed = treadle("sensor", "list").stdout
    assert "RUNNING, does not load" in listed
    assert f"! new_objects: {message}" in listed
    assert message in treadle("sensor", "show", SENSOR).stdout
    ticks = treadle("tick", "list", SENSOR).stdout
    assert ticks.startswith("Sensor new_objects has no ticks yet.\n")
    assert message in ticks
    assert "No module named 'requests'" in treadle("why", SENSOR, "--at", "1m").stdout
    [view] = output_of("sensor", "list")
    assert [each["kind"] for each in view["problems"]] == ["NOT_LOADING"]


def test_sensor_whose_last_event_failed_is_shown_with_its_error_until_it_is_evaluated(
    stack: Deployment,
) -> None:
    now = int(datetime.now(UTC).timestamp() * 1000)
    error = ErrorInfo("AlertError", "no such topic")
    tick_id = event_tick_id(now, "a.csv")
    failed = Tick(SENSOR, tick_id, TickKind.EVENT, TickStatus.FAILURE, now, now, now, error=error, owner="1")
    stack.stores.ticks.put(failed)

    listed = treadle("sensor", "list").stdout
    assert "RUNNING, failing" in listed
    assert "AlertError: no such topic" in listed

    stack.stores.ticks.put(replace(failed, status=TickStatus.SUCCESS, error=None, attempts=2, owner="2"))
    assert "failing" not in treadle("sensor", "list").stdout


def test_list_says_that_dead_letters_wait(stack: Deployment) -> None:
    SqsDeadLetters(stack.queues["dead"]).send("{}", origin="launch", reason="nobody knows it")

    assert "! 1 dead letter: treadle dlq list" in treadle("sensor", "list").stdout


def test_stop_start_and_reset_are_shown_with_who_did_it(stack: Deployment) -> None:
    assert treadle("sensor", "stop", SENSOR, "--by", "ben").stdout == (
        "Sensor new_objects is stopped, at version 1.\n"
    )
    assert output_of("sensor", "show", SENSOR)["status"] == "STOPPED"
    assert treadle("sensor", "start", SENSOR).exit_code == 0
    shown = treadle("sensor", "show", SENSOR).stdout
    [reset] = output_of("sensor", "reset", SENSOR)
    assert reset["stored_status"] == "DECLARED_IN_CODE"

    assert "RUNNING (stored: RUNNING, default: RUNNING)" in shown
    assert f"{ANN}  start  STOPPED           RUNNING" in shown
    edits = output_of("sensor", "show", SENSOR)["edits"]
    assert [(each["by"], each["action"]) for each in edits] == [
        (ANN, "reset"),
        (ANN, "start"),
        ("ben", "stop"),
    ]


def test_sensor_that_waits_after_failures_says_until_when_it_backs_off(stack: Deployment) -> None:
    now = 1_795_370_400_000
    lease = stack.stores.sensors.acquire(
        LeaseRequest(SENSOR, "owner", now, 0, now, now + 9_000, DefaultSensorStatus.RUNNING)
    )
    assert isinstance(lease, Lease)
    waits = Completion(now, None, cursor_changed=False, failure_streak=3, last_run_key=None)
    stack.stores.sensors.commit(lease, replace(waits, resume_at=now + 60_000))

    shown = treadle("sensor", "show", SENSOR).stdout

    assert re.search(r"^backs off until +2026-11-22T18:01:00Z$", shown, re.MULTILINE)


def test_all_sensors_are_changed_at_once_and_none_if_one_is_not_there(stack: Deployment) -> None:
    one_is_unknown = treadle("sensor", "stop", SENSOR, "nobody")
    assert output_of("sensor", "show", SENSOR)["status"] == "RUNNING"
    all_stopped = output_of("sensor", "stop", "--all")

    assert one_is_unknown.exit_code == 2
    assert [each["status"] for each in all_stopped] == ["STOPPED"]
    assert treadle("sensor", "start", SENSOR, SENSOR).stdout == (
        "Sensor new_objects is running, at version 2.\n"
    )


@pytest.mark.parametrize("message", [(), (SENSOR, "--all")], ids=["none", "both"])
def test_change_of_sensors_wants_names_or_all(stack: Deployment, message: tuple[str, ...]) -> None:
    done = treadle("sensor", "stop", *message)

    assert (done.exit_code, "Give the names of sensors, or --all." in done.stderr) == (2, True)
    assert stack.stores.sensors.get(SENSOR).epoch == 0


def test_cursor_is_shown_set_and_cleared_unless_the_sensor_has_changed(stack: Deployment) -> None:
    assert "no cursor" in treadle("sensor", "cursor", "show", SENSOR).stdout

    assert treadle("sensor", "cursor", "set", SENSOR, "41", "--if-version", "0").exit_code == 0
    late = treadle("sensor", "cursor", "set", SENSOR, "42", "--if-version", "0")
    assert output_of("sensor", "cursor", "show", SENSOR) == {"sensor": SENSOR, "cursor": "41", "version": 1}
    assert 'cursor   "41"' in treadle("sensor", "cursor", "show", SENSOR).stdout
    assert treadle("sensor", "cursor", "clear", SENSOR).exit_code == 0

    assert (late.exit_code, late.stdout) == (2, "")
    assert late.stderr == "treadle: Sensor new_objects was changed meanwhile: its epoch is no longer 0.\n"
    assert output_of("sensor", "cursor", "show", SENSOR)["cursor"] is None


def test_state_of_another_project_is_shown_and_given_to_the_one_that_has_registered_the_sensor(
    stack: Deployment,
) -> None:
    stack.setenv(TREADLE_PROJECT="shop")
    evaluated(stack)
    stack.setenv(TREADLE_PROJECT="files")
    stack.stores.sensors.edit(SENSOR, Edit(0, "ann", sets_cursor=True, cursor="41"))

    refused = treadle("sensor", "tick", SENSOR)
    listed = treadle("sensor", "list").stdout
    adopted = treadle("sensor", "adopt", SENSOR, "--by", "ben")

    assert (refused.exit_code, "FAILURE: Sensor new_objects was not evaluated" in refused.stdout) == (1, True)
    assert "RUNNING, another project's" in listed
    assert "! new_objects: Its state belongs to project shop, and it is registered by project files" in listed
    assert adopted.stdout == "Sensor new_objects belongs to project files, at version 2.\n"
    assert output_of("sensor", "list")[0]["problems"] == []
    assert output_of("sensor", "cursor", "show", SENSOR)["cursor"] == "41"
    again = treadle("sensor", "adopt", SENSOR)
    fresh = treadle("sensor", "adopt", SENSOR, "--fresh")
    assert again.stdout == adopted.stdout
    assert fresh.stdout == "Sensor new_objects belongs to project files and has no cursor, at version 3.\n"
    shown = output_of("sensor", "show", SENSOR)
    assert shown["cursor"] is None
    edits = [(each["action"], each["before"], each["after"]) for each in shown["edits"]]
    assert edits[:2] == [("adopt_fresh", "files, cursor 41", "files"), ("adopt", "shop", "files")]


def test_preview_shows_what_would_start_and_starts_nothing(stack: Deployment, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps(object_created("a.csv", stack.put("a.csv"))))

    of_tick = treadle("sensor", "preview", SENSOR)
    of_event = output_of("sensor", "preview", SENSOR, "--event", str(event))

    assert of_tick.exit_code == 0, of_tick.output
    assert "would be" in of_tick.stdout
    assert "process_file" in of_tick.stdout
    assert [each["job"] for each in of_event["tick"]["requests"]] == ["process_file"]
    assert stack.stores.ticks.latest(SENSOR, 5) == []


def test_preview_that_fails_shows_the_stack_and_ends_with_1(stack: Deployment, stacks: Stacks) -> None:
    answer = {
        "decision": "FAILURE",
        "reason": f"no {NASTY}",
        "stack": 'File "app.py", line 3',
        "requests": [],
    }
    stacks.functions[f"{STACK}-NewObjectsFunction-1X"] = lambda event: answer

    done = treadle("sensor", "preview", SENSOR)

    assert done.exit_code == 1
    assert 'File "app.py", line 3' in done.stdout
    assert "\\x1b[31mred\\u202e" in done.stdout
    assert "\x1b" not in done.stdout


def test_preview_and_tick_show_what_happens_to_assets(stack: Deployment, stacks: Stacks) -> None:
    earlier = {"asset_key": "old", "partition": None}
    seen = {"kind": "ASSET_OBSERVATION", "asset_key": "seen", "partition": "mon"}
    answer = {"decision": "SUCCESS", "requests": [], "asset_events": [earlier, seen]}
    stacks.functions[f"{STACK}-NewObjectsFunction-1X"] = lambda event: answer
    made = (AssetMaterialization("made"), AssetObservation(["shop", "seen"], partition="tue"))
    tick_id = "2026-11-22T18:00:05.000Z-1"
    tick = Tick(SENSOR, tick_id, TickKind.LEASED, TickStatus.SUCCESS, 1, 1, 1, asset_events=made, owner="1")
    assert stack.stores.ticks.put(tick)

    previewed = treadle("sensor", "preview", SENSOR).stdout
    shown = treadle("tick", "show", SENSOR, tick_id).stdout

    assert [line for line in ("materializes old", "observes seen mon") if line not in previewed] == []
    assert [line for line in ("materializes made", "observes shop/seen tue") if line not in shown] == []


def test_preview_says_how_much_of_a_long_answer_is_left_out(stack: Deployment, stacks: Stacks) -> None:
    del stack
    answer = {"decision": "SUCCESS", "requests": [], "left_out": {"existing_keys": 8}}
    stacks.functions[f"{STACK}-NewObjectsFunction-1X"] = lambda event: answer

    done = treadle("sensor", "preview", SENSOR)

    assert "8 more existing keys are omitted" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"), [("[]", "must hold one event"), ("{", "is not JSON")], ids=["list", "broken"]
)
def test_event_that_is_none_is_refused(stack: Deployment, tmp_path: Path, content: str, message: str) -> None:
    event = tmp_path / "event.json"
    event.write_text(content)

    done = treadle("sensor", "preview", SENSOR, "--event", str(event))

    assert done.exit_code == 2
    assert message in done.stderr


def test_tick_now_evaluates_at_once_and_a_stopped_sensor_says_so(stack: Deployment) -> None:
    stack.put("a.csv")

    first = output_of("sensor", "tick", SENSOR)
    again = treadle("sensor", "tick", SENSOR)
    treadle("sensor", "stop", SENSOR)
    stopped = treadle("sensor", "tick", SENSOR)

    assert (first["decision"], first["reason"]) == ("SUCCESS", "1 run requested")
    assert stack.stores.ticks.get(SENSOR, first["tick_id"]) is not None
    assert again.exit_code == 0, again.output
    assert stopped.exit_code == 1
    assert stopped.stdout.splitlines()[-1] == "STOPPED: Sensor new_objects is stopped; start it."


def test_ticks_are_listed_by_status_and_time_and_shown_in_full(stack: Deployment) -> None:
    evaluated(stack)
    [tick] = stack.stores.ticks.latest(SENSOR, 5)

    listed = treadle("tick", "list", SENSOR)
    shown = treadle("tick", "show", SENSOR, tick.tick_id)

    assert tick.tick_id in listed.stdout
    assert output_of("tick", "list", SENSOR)[0]["dispatched"] == {"started": 1, "existing": 0, "refused": 0}
    assert output_of("tick", "list", SENSOR, "--status", "FAILURE") == []
    assert output_of("tick", "list", SENSOR, "--since", "2026-11-22T18:00:06Z") == []
    assert len(output_of("tick", "list", SENSOR, "--since", "2026-11-22T18:00:05")) == 1
    assert len(output_of("tick", "list", SENSOR, "--at", "2026-11-22T18:00:04Z")) == 0
    assert len(output_of("tick", "list", SENSOR, "--at", "2026-11-22T18:00:05Z")) == 1
    for message in (tick.requests[0].run_id, "process_file", "QUEUED", "INFO Object s3://", "1 run, 0 keys"):
        assert message in shown.stdout
    assert output_of("tick", "show", SENSOR, tick.tick_id)["runs"][0]["status"] == "QUEUED"


@pytest.mark.parametrize(
    ("selected", "shown"), [('["a","shop/b"]', "a, shop/b"), ("[]", "none"), (None, None)]
)
def test_ticks_and_runs_show_the_assets_that_they_select(
    stack: Deployment, selected: str | None, shown: str | None
) -> None:
    tags = {} if selected is None else {"treadle/asset_selection": selected}
    now = int(datetime.now(UTC).timestamp() * 1000)
    request = PlannedRun("r1", "k1", "process_file", "{}", tags)
    tick_id = event_tick_id(now, "a.csv")
    tick = Tick(
        SENSOR, tick_id, TickKind.EVENT, TickStatus.SUCCESS, now, now, now, requests=(request,), owner="1"
    )
    stack.stores.ticks.put(tick)
    stack.stores.runs.create(Run("r1", "process_file", SENSOR, "k1", tick_id, "{}", tags, now))

    of_tick = treadle("tick", "show", SENSOR, tick_id).stdout
    of_run = [
        line.split(maxsplit=1) for line in treadle("run", "show", "r1").stdout.splitlines() if line.strip()
    ]

    assert ("ASSETS" in of_tick) is (selected is not None)
    assert shown is None or shown in of_tick
    assert [each[1] for each in of_run if each[0] == "assets"] == ([] if shown is None else [shown])


def test_runs_are_listed_and_shown_with_what_they_reached(stack: Deployment) -> None:
    evaluated(stack)
    stack.launch_queued()
    [run] = stack.stores.runs.list_by_sensor(SENSOR, 5)

    shown = treadle("run", "show", run.run_id).stdout

    for options in (("--sensor", SENSOR), ("--job", "process_file"), ()):
        assert [each["run_id"] for each in output_of("run", "list", *options)] == [run.run_id]
    assert output_of("run", "list", "--status", "SUCCESS") == []
    for options in (("--since", "2100-01-01"), ("--until", "1h"), ("--find", "no such text")):
        assert output_of("run", "list", "--job", "process_file", *options) == []
        assert output_of("run", "list", *options) == []
    [found] = output_of("run", "list", "--since", "1h", "--until", "2100-01-01", "--find", str(run.run_key))
    assert found["run_id"] == run.run_id
    assert run.run_id in treadle("run", "list").stdout
    for message in (str(run.external_id), str(run.run_key), "QUEUED", "STARTED", "1 of 1"):
        assert message in shown
    assert output_of("run", "show", run.run_id)["launch_id"] == f"{run.run_id}-1"


def test_statuses_of_the_same_time_are_shown_in_their_order(stack: Deployment) -> None:
    evaluated(stack)
    [run] = stack.stores.runs.list_by_sensor(SENSOR, 5)
    at = run.created_at
    reached = {"2/0": {"STARTED": at, "STARTING": at}, "1/0": {"FAILURE?": at, "STARTED": at, "QUEUED": at}}
    assert stack.stores.runs.replace(replace(run, reached=reached)) is None

    lines = treadle("run", "show", run.run_id).stdout.splitlines()

    [first] = [number for number, line in enumerate(lines) if line.startswith("REACHED")]
    assert [line.split()[1:] for line in lines[first + 1 : first + 6]] == [
        ["1", "0", "QUEUED"],
        ["1", "0", "STARTED"],
        ["1", "0", "FAILURE?"],
        ["2", "0", "STARTING"],
        ["2", "0", "STARTED"],
    ]


def test_edit_of_a_run_says_as_json_whether_anything_was_done(stack: Deployment) -> None:
    evaluated(stack)
    [run] = stack.stores.runs.list_by_sensor(SENSOR, 5)

    first, second = output_of("run", "cancel", run.run_id), output_of("run", "cancel", run.run_id)

    assert (first["is_new"], second["is_new"]) == (True, False)
    assert first["run"]["status"] == DagsterRunStatus.CANCELED


def test_assets_are_listed_and_shown(stack: Deployment) -> None:
    events = [
        AssetEvent("shop/orders", f"e{n}", "ASSET_MATERIALIZATION", n * 1_000, '{"rows":3}') for n in (1, 2)
    ]
    observed = AssetEvent("#observed/prices", "e1", "ASSET_OBSERVATION", 5_000, '{"rows":9}')
    stack.stores.events.append([*events, observed])

    assert [each["storage_id"] for each in output_of("asset", "list")] == [2]
    assert [each["storage_id"] for each in output_of("asset", "show", "shop/orders")] == [2, 1]
    assert "shop/orders" in treadle("asset", "list").stdout
    assert "1970-01-01T00:00:02Z" in treadle("asset", "show", "shop/orders").stdout
    assert "The asset has no materializations." in treadle("asset", "show", "prices").stdout
    assert [each["asset_key"] for each in output_of("asset", "list", "--observations")] == ["prices"]
    assert [each["body"] for each in output_of("asset", "show", "prices", "--observations")] == ['{"rows":9}']
    assert "ASSET_OBSERVATION" in treadle("asset", "show", "prices", "--observations").stdout
    assert (
        "The asset has no observations." in treadle("asset", "show", "shop/orders", "--observations").stdout
    )


def test_dead_letters_are_listed_shown_and_stay(stack: Deployment) -> None:
    body = json.dumps({"run_id": "r", "attempt": 1, "note": NASTY}, ensure_ascii=False)
    SqsDeadLetters(stack.queues["dead"]).send(body, origin="launch", reason=f"ValueError: {NASTY}")

    [dead_letter] = output_of("dlq", "list")
    listed = treadle("dlq", "list").stdout
    shown = treadle("dlq", "show", dead_letter["message_id"])
    full = output_of("dlq", "show", dead_letter["message_id"])

    assert (dead_letter["origin"], dead_letter["subject"], dead_letter["action"]) == ("launch", "r 1", "SENT")
    assert "31mred\\u202e" in listed
    assert "31mred\\u202e" in shown.stdout
    assert not set("\x1b\u202e") & set(listed + shown.stdout)
    assert full["body"] == body
    assert full["attributes"]["origin"] == "launch"
    assert len(stack.messages("dead")) == 1


def test_dead_letters_of_a_project_are_listed_and_sent_again_too(stack: Deployment) -> None:
    stack.queues["files-dead"] = boto3.client("sqs").create_queue(QueueName="files-dead")["QueueUrl"]
    fields = {"kind": "s3", "function": OWN, "queue": stack.queues["own"], "log_group": "/files"}
    entry = sensor_text("files", "process_file", dead_letters=stack.queues["files-dead"], **fields)
    stack.register("sensors/new_objects", entry)
    body = json.dumps(object_created("a.csv", "e1"))
    SqsDeadLetters(stack.queues["files-dead"]).send(body, origin="sensor new_objects", reason="no")
    SqsDeadLetters(stack.queues["dead"]).send("{}", origin="launch", reason="no")

    assert [each["project"] for each in output_of("dlq", "list")] == [None, "files"]
    assert [each["project"] for each in output_of("dlq", "list", "--project", "")] == [None]
    [dead_letter] = output_of("dlq", "list", "--project", "files")
    assert "a.csv" in treadle("dlq", "list", "--project", "files").stdout
    assert "project     files" in treadle("dlq", "show", dead_letter["message_id"]).stdout
    assert "! 2 dead letters: treadle dlq list" in treadle("sensor", "list").stdout
    assert "'fiels' has no dead-letter queue; these have: files" in (
        treadle("dlq", "list", "--project", "fiels").stderr
    )

    assert [each["action"] for each in output_of("dlq", "redrive", "--project", "files")] == ["SENT"]
    assert len(stack.messages("own")) == len(stack.messages("dead")) == 1
    assert stack.messages("files-dead") == []


def test_sensor_of_an_engine_that_is_gone_is_listed_with_what_to_do(
    stack: Deployment, stacks: Stacks
) -> None:
    stacks.environments[OWN] = {**stacks.environments[OWN], "TREADLE_ENGINE_ID": "c0ffee"}
    evaluated(stack)

    listed = treadle("sensor", "list").stdout

    assert "misregistered" in listed
    assert "TREADLE_ENGINE_ID is 'c0ffee', but the engine's is '0b1c'" in listed
    assert "Deploy project files with the engine's current contract" in listed


def test_dead_letter_that_is_not_there_is_refused(stack: Deployment) -> None:
    done = treadle("dlq", "show", "nobody")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "There is no dead letter nobody" in done.stderr


def test_logs_show_messages_without_metrics_and_without_what_a_terminal_obeys(stack: Deployment) -> None:
    now = int(datetime.now(UTC).timestamp() * 1000)
    lines = [
        "START RequestId: 1",
        json.dumps({"level": "INFO", "message": f"Object {NASTY}", "decision": "SUCCESS"}),
        json.dumps({"_aws": {"Timestamp": 1}, "TicksSucceeded": 1}),
    ]
    logs, group = boto3.client("logs"), f"/aws/lambda/{STACK}/new_objects"
    stream = f"2026/11/29/{OWN}[$LATEST]8f2d"
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": now + n, "message": line} for n, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    shown = treadle("logs", SENSOR)
    old = treadle("logs", SENSOR, "--until", "1h", "--since", "2h")
    as_json = treadle("logs", SENSOR, "--json").stdout

    assert [line.split("Z ", 1)[1] for line in shown.stdout.splitlines()] == [
        "START RequestId: 1",
        "INFO Object \\x1b[31mred\\u202e decision=SUCCESS",
    ]
    assert (old.exit_code, old.stdout) == (0, "")
    assert [json.loads(line)["text"] for line in as_json.splitlines()] == lines[:2]


@pytest.mark.parametrize(
    "message",
    [
        ("sensor", "show", "nobody"),
        ("sensor", "stop", "nobody"),
        ("sensor", "start", "nobody"),
        ("sensor", "tick", "nobody"),
        ("sensor", "adopt", "nobody"),
        ("sensor", "cursor", "set", "nobody", "1"),
        ("tick", "list", "nobody"),
        ("logs", "nobody"),
    ],
    ids=" ".join,
)
def test_unknown_sensor_is_refused_and_nothing_is_stored_of_it(
    stack: Deployment, message: tuple[str, ...]
) -> None:
    done = treadle(*message)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "treadle: Stack 'shop' has no sensor 'nobody'; it has: new_objects.\n"
    assert stack.stores.sensors.get("nobody").epoch == 0


def test_stack_is_found_by_its_variable_and_by_samconfig(
    stack: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    unnamed = treadle("sensor", "list", stack=None)
    (tmp_path / "samconfig.toml").write_text(f'[default.deploy.parameters]\nstack_name = "{STACK}"\n')
    by_file = treadle("sensor", "list", stack=None)
    monkeypatch.setenv("TREADLE_STACK", "other")
    by_variable = treadle("sensor", "list", stack=None)
    by_option = treadle("sensor", "list")

    assert (unnamed.exit_code, "Which stack?" in unnamed.stderr) == (2, True)
    assert by_file.exit_code == 0, by_file.output
    assert by_option.exit_code == 0, by_option.output
    assert by_variable.exit_code == 2
    assert "Stack 'other' cannot be read" in by_variable.stderr


def test_every_command_on_a_stack_can_print_json() -> None:
    """Programs use all commands that query a stack."""
    import click

    def commands(
        group: click.Group, message: tuple[str, ...] = ()
    ) -> list[tuple[tuple[str, ...], click.Command]]:
        found: list[tuple[tuple[str, ...], click.Command]] = []
        for name, each in group.commands.items():
            found += (
                commands(each, (*message, name))
                if isinstance(each, click.Group)
                else [((*message, name), each)]
            )
        return found

    without = [
        " ".join(message)
        for message, each in commands(command)
        if {"stack"} <= {option.name for option in each.params}
        and "as_json" not in {p.name for p in each.params}
    ]

    assert without == ["console"]


def test_sensor_that_is_held_as_a_loop_is_listed_and_released(stack: Deployment) -> None:
    stack.stores.ticks.hold_loop(SENSOR, 1_795_370_400_000, "30 objects in a row", 0)
    stack.invoke("sensors/new_objects", object_created("a.csv", stack.put("a.csv")))
    stack.dispatch_pending()
    [held] = stack.stores.ticks.page(SENSOR, limit=5).ticks
    listed = treadle("sensor", "list").stdout

    released = treadle("sensor", "release", SENSOR, "--by", "ben").stdout

    assert "looks like a loop: 30 objects in a row" in (held.held or "")
    assert stack.stores.runs.list_by_sensor(SENSOR, 5) == []
    assert "RUNNING, held as a loop" in listed
    assert f"What is held starts with: treadle sensor release {SENSOR}" in listed
    assert (
        released == f"Sensor {SENSOR} is released, and 1 of its ticks are dispatched within about a minute.\n"
    )
    stack.invoke("engine/reconcile", {})
    assert len(stack.stores.runs.list_by_sensor(SENSOR, 5)) == 1
    assert [(each["by"], each["action"]) for each in output_of("sensor", "show", SENSOR)["edits"]] == [
        ("ben", "release_loop")
    ]
    assert output_of("sensor", "show", SENSOR)["problems"] == []
    assert "is not held as a loop" in treadle("sensor", "release", SENSOR).stderr


def test_what_a_text_names_is_explained_without_its_sensor(stack: Deployment) -> None:
    evaluated(stack)
    [run] = stack.stores.runs.list_by_sensor(SENSOR, 5)
    explained = treadle("why", SENSOR, "--run", run.run_id).stdout

    assert run.run_id in explained
    for arguments in (
        (run.run_id[:8],),
        (run.run_id,),
        (run.run_key,),
        ("--run", run.run_id[:8]),
        ("--key", run.run_key),
        (SENSOR, "--run", run.run_id[:4]),
    ):
        assert treadle("why", *map(str, arguments)).stdout == explained
    location = "s3://treadle-watched-bucket/a.csv"
    assert run.run_id in treadle("why", location).stdout
    assert "Nothing was found for 'nobody'" in treadle("why", "nobody").stderr
    assert "Give the sensor, or what to search for." in treadle("why", "--at", "2h").stderr


def test_a_run_is_named_by_the_first_characters_of_its_id(stack: Deployment) -> None:
    evaluated(stack)
    [run] = stack.stores.runs.list_by_sensor(SENSOR, 5)
    short = run.run_id[:6]

    assert run.run_id in treadle("run", "show", short).stdout
    assert output_of("run", "show", short)["run_id"] == run.run_id
    assert f"Run {run.run_id} is canceled" in treadle("run", "cancel", short).stdout
    assert f"Attempt 2 of run {run.run_id} is queued." in treadle("run", "rerun", short).stdout
    assert "No run's id begins with 0000" in treadle("run", "show", "0000").stderr


def test_dead_letters_are_deleted_once_that_is_confirmed(stack: Deployment) -> None:
    for reason in ("first", "second", "third"):
        SqsDeadLetters(stack.queues["dead"]).send('{"what": "garbage"}', origin="launch", reason=reason)
    SqsDeadLetters(stack.queues["dead"]).send("{}", origin="dispatch", reason="other")
    first = next(each["message_id"] for each in output_of("dlq", "list") if each["error"] == "first")

    refused = treadle("dlq", "delete", first, answers="n\n")
    assert (refused.exit_code, len(output_of("dlq", "list"))) == (1, 4)
    assert first in refused.stdout
    assert "Delete 1 dead letter for good?" in refused.stderr

    done = treadle("dlq", "delete", first, answers="y\n")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 DELETED.")
    assert first not in {each["message_id"] for each in output_of("dlq", "list")}
    assert [each["action"] for each in output_of("dlq", "delete", "--origin", "launch", "--yes")] == [
        "DELETED",
        "DELETED",
    ]
    assert [each["error"] for each in output_of("dlq", "list")] == ["other"]


def test_what_to_delete_must_be_named_and_there(stack: Deployment) -> None:
    assert "Give message ids, or one or both of --project and --origin." in treadle("dlq", "delete").stderr
    gone = treadle("dlq", "delete", "nobody", "--yes")
    assert (gone.exit_code, "There is no dead letter nobody" in gone.stderr) == (2, True)
    none = treadle("dlq", "delete", "--origin", "launch")
    assert (none.exit_code, none.stdout) == (0, "There are no matching dead letters.\n")


def test_parameters_are_shown_with_their_deployed_values(stack: Deployment, stacks: Stacks) -> None:
    stacks.parameters[STACK] = [
        {"ParameterKey": "NewObjectsBucket", "ParameterValue": "landing"},
        {"ParameterKey": "AlertEmail", "ParameterValue": ""},
    ]
    place = ("--root", str(ROOT))
    lines = treadle("params", *place).stdout.splitlines()
    cells = [re.split(r" {2,}", line.strip()) for line in lines if line.startswith("  ")]
    shown = {each[0]: each[1] for each in cells}

    assert shown["PARAMETER"] == "VALUE"
    assert (shown["NewObjectsBucket"], shown["AlertEmail"]) == ("landing", "''")
    assert shown["LogRetentionDays"] == "not deployed"
    assert {each["name"]: each["value"] for each in output_of("params", *place)}["AlertEmail"] == ""
    offline = json.loads(treadle("params", *place, "--json", stack=None).stdout)
    assert all("value" not in each for each in offline)
    unknown = treadle("params", *place, stack="unknown")
    assert (unknown.exit_code, "Stack 'unknown' cannot be read" in unknown.stderr) == (2, True)
