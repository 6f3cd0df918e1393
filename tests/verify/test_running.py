"""Runs of checks on a local cloud: what they create, and that it is deleted however they end."""

import dataclasses
import json
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tools.verify import __main__ as command
from tools.verify import account as accounts
from tools.verify.account import LOCAL_ACCOUNT, Account
from tools.verify.checks import deployment
from tools.verify.cleaning import clean
from tools.verify.lab import DidNotHoldError, Lab, NotTriedError
from tools.verify.model import (
    FAILED,
    INTERRUPTED,
    LEFT_BEHIND,
    NOTHING_TRIED,
    SUCCESS,
    Check,
    Verdict,
)
from tools.verify.running import Run
from tools.verify.stacks import Stacks
from tools.verify.templates import queue, ref, template

DID_NOT_HOLD, NOT_TRIED = Verdict.DID_NOT_HOLD, Verdict.NOT_TRIED
ENTRY = deployment.parameter("/treadle-verify/aaaaaa/entry")


def with_queue(_: Account) -> dict[str, Any]:
    return template({"Queue": queue()}, {"Queue": ref("Queue")})


def a_check(run: Callable[[Lab], str], name: str = "some-check", **fields: Any) -> Check:
    return Check(name, "a statement", "a step", "https://aws/page", run, with_queue, **fields)


def raising(error: BaseException) -> Callable[[Lab], str]:
    def run(_: Lab) -> str:
        raise error

    return run


def stack_names() -> list[str]:
    return [each["StackName"] for each in boto3.client("cloudformation").describe_stacks()["Stacks"]]


@pytest.mark.parametrize(
    ("error", "verdict", "message"),
    [
        (DidNotHoldError("it did that"), DID_NOT_HOLD, "it did that"),
        (NotTriedError("there is none"), NOT_TRIED, "there is none"),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutEvents"),
            NOT_TRIED,
            "the caller is not permitted: .*PutEvents",
        ),
        (
            ClientError({"Error": {"Code": "Throttling", "Message": "slow"}}, "PutEvents"),
            NOT_TRIED,
            "AWS refused: .*slow",
        ),
        (KeyError("x"), NOT_TRIED, "the check failed with KeyError: 'x'"),
    ],
)
def test_one_check_that_raises_keeps_no_other_from_being_tried(
    account: Account,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    verdict: Verdict,
    message: str,
) -> None:
    checks = [a_check(raising(error)), a_check(lambda lab: lab.outputs["Queue"], "after")]

    status = command.verify(account, checks, yes=True)

    first, second = capsys.readouterr().out.split("\n\n")[1].splitlines()[:2]
    assert re.match(rf"{verdict} +some-check +0 s  {message}", first)
    assert re.match(r"held +after +0 s  http", second)
    assert status == (FAILED if verdict is DID_NOT_HOLD else SUCCESS)
    assert stack_names() == []


def test_interrupted_run_deletes_what_it_created_and_shows_what_is_known(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    def interrupted(_: Lab) -> str:
        seen.append(stack_names())
        raise KeyboardInterrupt

    checks = [a_check(lambda _: "fine", "before"), a_check(interrupted), a_check(lambda _: "fine", "after")]

    assert command.verify(account, checks, yes=True) == INTERRUPTED

    out = capsys.readouterr().out
    assert len(seen[0]) == 3
    assert stack_names() == []
    assert re.search(r"^held +before", out, re.MULTILINE)
    for name in ("some-check", "after"):
        assert re.search(rf"^could not be tried +{name} +0 s  the run was interrupted", out, re.MULTILINE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_request_to_end_deletes_what_was_created(account: Account, number: signal.Signals) -> None:
    def ended(_: Lab) -> str:
        os.kill(os.getpid(), number)
        raise AssertionError

    before = signal.getsignal(number)

    assert command.verify(account, [a_check(ended)], yes=True) == INTERRUPTED
    assert stack_names() == []
    assert signal.getsignal(number) is before


def test_everything_is_tagged_and_named_after_the_run(account: Account) -> None:
    run = Run(account, Stacks(account), [a_check(lambda _: "fine")], lambda _: None)

    run.execute()

    [stack] = boto3.client("cloudformation").describe_stacks()["Stacks"]
    assert stack["StackName"] == f"treadle-verify-{account.run}-some-check"
    assert stack["Tags"] == [{"Key": "treadle:verify", "Value": account.run}]


def test_without_a_terminal_or_consent_nothing_is_created(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.verify(account, [a_check(raising(ValueError()))], yes=False) == NOTHING_TRIED

    out = capsys.readouterr().out
    for message in (
        "Account 000000000000, Region us-east-1",
        "1 checks create 1 stacks",
        "at most $0.01",
        "--yes",
    ):
        assert message in out
    assert stack_names() == []


def test_jobs_of_the_caller_that_are_started_are_in_the_plan(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_VERIFY_GLUE_JOB", "arn:aws:glue:eu-central-1:1:job/mine")

    command.verify(account, [], yes=False)

    assert (
        "A run of your own is started: glue: arn:aws:glue:eu-central-1:1:job/mine" in capsys.readouterr().out
    )


def test_check_that_the_local_cloud_cannot_show_is_not_tried_there(account: Account) -> None:
    local = dataclasses.replace(account, id=LOCAL_ACCOUNT)
    checks = [a_check(raising(ValueError()), not_local="it has no such thing")]
    run = Run(local, Stacks(local), checks, lambda _: None)

    run.execute()

    assert [(each.verdict, each.observed) for each in run.results] == [(NOT_TRIED, "it has no such thing")]
    assert stack_names() == []


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            template({"Kept": ENTRY, "Taken": {**ENTRY, "DependsOn": "Kept"}}),
            "its stack ended ROLLBACK_COMPLETE: Taken: ",
        ),
        ({"Resources": {"Queue": {"Type": "AWS::SQS::Kueue"}}}, "its stack was refused: "),
    ],
)
def test_check_whose_stack_fails_is_not_tried(account: Account, made: dict[str, Any], message: str) -> None:
    checks = [dataclasses.replace(a_check(lambda _: "fine"), template=lambda _: made)]
    run = Run(account, Stacks(account, pause=0.3), checks, lambda _: None)

    run.execute()

    assert run.results[0].verdict is NOT_TRIED
    assert run.results[0].observed.startswith(message)


def left_by(account: Account, run: str) -> None:
    """Create what a killed run leaves behind."""
    killed = dataclasses.replace(account, run=run)
    Stacks(killed).create(f"{killed.name}-check", with_queue(killed))
    boto3.client("ssm").put_parameter(Name=f"{killed.path}/retained", Value="x", Type="String")
    for name in (f"{killed.path}/check", f"/aws/lambda/{killed.name}-check-Function-1"):
        boto3.client("logs").create_log_group(logGroupName=name)


def what_is_left() -> set[str]:
    parameters = boto3.client("ssm").describe_parameters()["Parameters"]
    groups = boto3.client("logs").describe_log_groups()["logGroups"]
    return {
        *stack_names(),
        *(each["Name"] for each in parameters),
        *(each["logGroupName"] for each in groups),
    }


def test_clean_deletes_what_all_killed_runs_have_left_and_nothing_else(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    left_by(account, "aaaaaa")
    left_by(account, "bbbbbb")
    cloudformation: Any = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName="treadle-verify-untagged", TemplateBody=json.dumps(with_queue(account))
    )
    boto3.client("ssm").put_parameter(Name="/treadle/main/v1", Value="x", Type="String")
    boto3.client("logs").create_log_group(logGroupName="/aws/lambda/treadle-Function")

    assert command.clean_up(account, command.EVERY_RUN, yes=True) == SUCCESS

    assert what_is_left() == {"treadle-verify-untagged", "/treadle/main/v1", "/aws/lambda/treadle-Function"}
    out = capsys.readouterr().out
    assert "treadle-verify-aaaaaa-check  CREATE_COMPLETE  of run aaaaaa, created " in out
    assert "Nothing is left." in out


def test_clean_of_one_run_leaves_the_others(account: Account) -> None:
    left_by(account, "aaaaaa")
    left_by(account, "bbbbbb")

    assert command.clean_up(account, "aaaaaa", yes=True) == SUCCESS

    left = what_is_left()
    assert len(left) == 4
    assert all("bbbbbb" in name for name in left)


def test_clean_needs_consent(account: Account) -> None:
    left_by(account, "aaaaaa")

    assert command.clean_up(account, command.EVERY_RUN, yes=False) == NOTHING_TRIED
    assert len(what_is_left()) == 4


def test_stack_that_cannot_be_deleted_is_named_and_the_others_go(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    left_by(account, "aaaaaa")
    left_by(account, "bbbbbb")
    boto3.client("cloudformation").update_termination_protection(
        StackName="treadle-verify-aaaaaa-check", EnableTerminationProtection=True
    )

    assert command.clean_up(account, command.EVERY_RUN, yes=True) == LEFT_BEHIND

    assert what_is_left() == {"treadle-verify-aaaaaa-check"}
    out = capsys.readouterr().out
    assert re.search(r"not deleted: treadle-verify-aaaaaa-check: .*[Tt]ermination", out)
    assert "make verify-aws ARGS=--clean" in out


def test_what_cannot_be_deleted_for_want_of_a_connection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at the endpoint; the table of the run must still come, and say what may be left."""
    monkeypatch.setattr(accounts, "_RETRIES", {"mode": "standard", "max_attempts": 1})
    with accounts.pointing_at("http://127.0.0.1:9"):
        account = Account(
            boto3.Session(), LOCAL_ACCOUNT, "arn:aws:iam::000000000000:root", "aws", "us-east-1"
        )

        left = clean(Stacks(account), account.run)

    assert left.keys() == {"stacks", "parameters", "log groups"}
    assert all("Could not connect" in reason for reason in left.values())
