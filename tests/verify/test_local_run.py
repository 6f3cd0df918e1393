"""`make verify-local`, end to end: what it shows, and that nothing is left, however it ends."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest

from tools.project import ROOT
from tools.verify import __main__ as command
from tools.verify.account import Account
from tools.verify.checks import ALL, alarms, deployment, events, functions, identity, streams
from tools.verify.model import FAILED, INTERRUPTED, SUCCESS, Check, Verdict
from tools.verify.templates import Part

pytestmark = pytest.mark.timeout(300)

NAMED_BY_CALLER = {"start-glue", "start-batch"}
"""What the local cloud could show, but for which no job is named here."""


def inventory() -> set[str]:
    """Return all that there is in the cloud, of the kinds that checks create."""

    def named(
        service: str, operation: str, field: str, key: str | None = None, **parameters: Any
    ) -> Iterator[str]:
        client: Any = boto3.client(service)  # type: ignore[call-overload]
        for each in getattr(client, operation)(**parameters).get(field, []):
            yield f"{operation} {each[key] if key else each}"

    return {
        *named("cloudformation", "describe_stacks", "Stacks", "StackName"),
        *named("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        *named("dynamodb", "list_tables", "TableNames"),
        *named("events", "list_event_buses", "EventBuses", "Name"),
        *named("events", "list_rules", "Rules", "Name"),
        *named("iam", "list_policies", "Policies", "Arn", Scope="Local"),
        *named("iam", "list_roles", "Roles", "Arn"),
        *named("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
        *named("lambda", "list_functions", "Functions", "FunctionName"),
        *named("logs", "describe_log_groups", "logGroups", "logGroupName"),
        *named("scheduler", "list_schedules", "Schedules", "Name"),
        *named("sqs", "list_queues", "QueueUrls"),
        *named("ssm", "describe_parameters", "Parameters", "Name"),
        *named("stepfunctions", "list_state_machines", "stateMachines", "name"),
    }


def begin(endpoint: str, *arguments: str) -> subprocess.Popen[str]:
    """Start the command as make does, but for another cloud."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "layers" / "treadle")}
    return subprocess.Popen(
        [sys.executable, "-m", "tools.verify", "--endpoint", endpoint, "--yes", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(process: subprocess.Popen[str], message: str) -> None:
    """Read what it prints until a line contains text."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if message in line:
            return
    raise AssertionError("".join(lines))


def verdicts(output: str) -> dict[str, tuple[str, str]]:
    """Of each line of the table the verdict and what was observed, by the check's name."""
    line = re.compile(rf"^({'|'.join(Verdict)}) +([a-z-]+) +\d+ s  (.*)$", re.MULTILINE)
    return {name: (verdict, observed) for verdict, name, observed in line.findall(output)}


def test_every_check_that_the_local_cloud_evaluates_holds_and_nothing_is_left(
    account: Account, endpoint: str
) -> None:
    before, began = inventory(), time.monotonic()

    process = begin(endpoint)
    output, _ = process.communicate()

    seconds = time.monotonic() - began
    assert process.returncode == SUCCESS, output
    shown = verdicts(output)
    assert set(shown) == {check.name for check in ALL}
    for check in ALL:
        verdict, observed = shown[check.name]
        if check.not_local:
            assert (verdict, observed) == (Verdict.NOT_TRIED, check.not_local)
        elif check.name in NAMED_BY_CALLER:
            assert verdict == Verdict.NOT_TRIED
            assert "TREADLE_VERIFY_" in observed
        else:
            assert verdict == Verdict.HELD, output
    assert inventory() == before
    assert seconds < 120


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing(account: Account, endpoint: str, number: signal.Signals) -> None:
    before = inventory()
    process = begin(endpoint)
    until(process, "all-old: held")

    process.send_signal(number)
    output, _ = process.communicate()

    assert process.returncode == INTERRUPTED, output
    assert verdicts(output)["all-old"][0] == Verdict.HELD
    assert "the run was interrupted" in output
    assert inventory() == before


def test_killed_run_is_cleaned_up_by_a_later_one(account: Account, endpoint: str) -> None:
    before = inventory()
    process = begin(endpoint)
    until(process, "contract: held")
    process.kill()
    process.communicate()
    left = inventory() - before
    assert any("treadle-verify-" in each for each in left)

    process = begin(endpoint, "--clean")
    output, _ = process.communicate()

    assert process.returncode == SUCCESS, output
    assert "Nothing is left." in output
    assert inventory() == before


def test_checks_that_the_local_cloud_cannot_show_come_to_a_verdict_of_their_own(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run here to their ends, so that on AWS none fails by a slip; what they come to means nothing."""
    monkeypatch.setattr(alarms, "WATCHED_SECONDS", 2)
    monkeypatch.setattr(events, "CHANGE_SECONDS", 2)
    monkeypatch.setattr(functions, "QUIET_SECONDS", 5)
    monkeypatch.setattr(streams, "QUIET_SECONDS", 2)
    monkeypatch.setattr(streams, "STREAM_SECONDS", 20)
    monkeypatch.setattr(functions, "LOOP_SECONDS", 20)
    monkeypatch.setattr(functions, "GIVEN_UP_SECONDS", 2)
    forced = [dataclasses.replace(check, not_local="") for check in ALL if check.not_local]
    before = inventory()

    command.verify(account, forced, yes=True)

    shown = verdicts(capsys.readouterr().out)
    unfinished = {
        name: observed for name, (verdict, observed) in shown.items() if verdict == Verdict.NOT_TRIED
    }
    assert len(shown) == len(forced)
    assert set(unfinished) == {"start-ecs"}
    assert "TREADLE_VERIFY_ECS_TASK_DEFINITION" in unfinished["start-ecs"]
    assert inventory() == before


def without_condition(account: Account) -> Part:
    made = identity.sessions(account)
    for statement in made["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
        statement.pop("Condition", None)
    return made


def without_tags(account: Account) -> Part:
    made = identity.tagged_function(account)
    del made["Resources"]["Function"]["Properties"]["Tags"]
    return made


def with_another_pattern(account: Account) -> Part:
    made = events.custom_bus(account)
    made["Resources"]["Rule"]["Properties"]["EventPattern"] = {"source": ["nobody"]}
    return made


def with_another_name(account: Account) -> Part:
    made = deployment.registered(account)
    made["Resources"]["Entry"]["Properties"]["Name"] = f"{account.path}/names/returns"
    return made


def with_another_contract(account: Account) -> Part:
    return {"Resources": {"Contract": deployment.parameter(f"{account.path}/v1", "a,b,c,d", "StringList")}}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("session-name", {"template": without_condition}, "SendMessage in the session record was allowed"),
        ("tags-of-role", {"template": without_tags}, "the role's tags are"),
        ("rule-on-bus", {"template": with_another_pattern}, "no event has arrived within 2 s"),
        ("contract", {"template": with_another_contract}, "the parts are"),
        ("taken-name", {"template": with_another_name}, "has overwritten"),
        (
            "failed-creation",
            {"run": partial(deployment.failed_creation, deletion="Retain")},
            "what it had created is still there",
        ),
    ],
)
def test_check_sees_where_its_statement_does_not_hold(
    account: Account,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    changes: dict[str, Callable[..., Any]],
    message: str,
) -> None:
    monkeypatch.setattr(events, "DELIVERY_SECONDS", 2)
    [check] = [each for each in ALL if each.name == name]
    changed: Check = dataclasses.replace(check, **changes)  # type: ignore[arg-type]
    before = inventory()

    assert command.verify(account, [changed], yes=True) == FAILED

    verdict, observed = verdicts(capsys.readouterr().out)[name]
    assert verdict == Verdict.DID_NOT_HOLD
    assert message in observed
    assert inventory() == before
