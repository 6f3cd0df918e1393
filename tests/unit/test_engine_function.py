"""What operators leave to RECONCILE: its answers come back as if the command had been carried out here."""

import io
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.support.hooks import hooked
from treadle.adapters.engine import EngineFunction
from treadle.adapters.health.job_targets import roles_probe
from treadle.adapters.health.probes import taken
from treadle.definitions.errors import (
    CommandRefusedError,
    InvocationError,
    LaunchDelayedError,
    LaunchDeniedError,
    StoreError,
)
from treadle.model.deployment import CommandAnswer
from treadle.model.health import JobTarget, SkippedCheck
from treadle.model.targets import JobSettings
from treadle.operate.findings import Severity, of_target

NAME = "treadle-ReconcileFunction-1"
ROLE = "arn:aws:iam::123456789012:role/treadle/main/us-east-1/job/load-1A"
LOAD = JobSettings("load", "step_functions", "arn:load", "LoadStateMachineArn", role=ROLE)


class Lambda:
    """Lambda, and what the function answers."""

    def __init__(self) -> None:
        self.answer: Any = {}
        self.error: str | None = None
        self.refusal: tuple[str, int] | Exception | None = None
        self.calls: list[tuple[str, Any]] = []

    def invoke(self, params: dict[str, Any], **_: Any) -> Any:
        name = params["url_path"].split("/")[3]
        self.calls.append((name, json.loads(params["body"])))
        if isinstance(self.refusal, Exception):
            raise self.refusal
        if self.refusal is not None:
            error = {"Error": {"Code": self.refusal[0], "Message": "no"}, "ResponseMetadata": {}}
            return SimpleNamespace(status_code=self.refusal[1]), error
        response = {"Payload": io.BytesIO(json.dumps(self.answer).encode()), "StatusCode": 200}
        return SimpleNamespace(status_code=200), response | (
            {"FunctionError": self.error} if self.error else {}
        )


@pytest.fixture
def function() -> Iterator[Lambda]:
    made = Lambda()
    with hooked(("before-call.lambda.Invoke", made.invoke)):
        yield made


def test_commands_name_the_run_and_who_requests_it(function: Lambda) -> None:
    function.answer = {"is_new": True, "reason": "Asked it to end."}
    engine = EngineFunction(NAME)

    answers = engine.cancel("r1", "ann"), engine.refresh("r2")

    assert answers == (CommandAnswer(True, "Asked it to end."),) * 2
    assert function.calls == [
        (NAME, {"treadle": "cancel", "run_id": "r1", "by": "ann"}),
        (NAME, {"treadle": "refresh", "run_id": "r2"}),
    ]


@pytest.mark.parametrize("error", [CommandRefusedError, LaunchDeniedError, LaunchDelayedError, StoreError])
def test_error_of_a_command_is_raised_as_itself(function: Lambda, error: type[Exception]) -> None:
    function.answer = {"error": error.__name__, "reason": f"Role {ROLE} could not be assumed: AccessDenied"}

    with pytest.raises(error, match=ROLE) as raised:
        EngineFunction(NAME).cancel("r1", "ann")

    assert type(raised.value) is error


@pytest.mark.parametrize("error", ["SystemExit", "TreadleError", "os", "is_passing"])
def test_error_of_another_kind_is_one_of_the_invocation(function: Lambda, error: str) -> None:
    function.answer = {"error": error, "reason": "odd"}

    with pytest.raises(InvocationError, match="odd"):
        EngineFunction(NAME).refresh("r1")


@pytest.mark.parametrize("answer", [None, [], "done"])
def test_answer_that_is_none_is_an_error(function: Lambda, answer: Any) -> None:
    function.answer = answer

    with pytest.raises(InvocationError, match="RECONCILE failed"):
        EngineFunction(NAME).refresh("r1")


def test_function_that_fails_says_how(function: Lambda) -> None:
    function.answer, function.error = {"errorMessage": "SettingsError: TREADLE_RUNS_TABLE"}, "Unhandled"

    with pytest.raises(InvocationError, match="TREADLE_RUNS_TABLE"):
        EngineFunction(NAME).refresh("r1")


def test_function_that_may_not_be_invoked_says_which_permission_is_missing(function: Lambda) -> None:
    function.refusal = ("AccessDeniedException", 403)

    with pytest.raises(InvocationError, match=f"lambda:InvokeFunction on {NAME}") as raised:
        EngineFunction(NAME).refresh("r1")

    assert raised.value.is_denied


def test_function_that_does_not_answer_is_queried_once(function: Lambda) -> None:
    function.refusal = ReadTimeoutError(endpoint_url="lambda")

    with pytest.raises(InvocationError, match="did not respond"):
        EngineFunction(NAME).cancel("r1", "ann")

    assert len(function.calls) == 1


# ---- The doctor's examination of targets


@pytest.mark.parametrize(
    ("response", "target"),
    [
        ({"exists": True, "trouble": ""}, JobTarget("load", "arn:load", LOAD.parameter, True, "", ROLE)),
        (
            {"exists": False, "trouble": "gone"},
            JobTarget("load", "arn:load", LOAD.parameter, False, "gone", ROLE),
        ),
        (
            {"exists": True, "trouble": "", "retries": 2},
            JobTarget("load", "arn:load", LOAD.parameter, True, "", ROLE, 2),
        ),
        ({"error": "not assumed"}, JobTarget("load", "arn:load", LOAD.parameter, None, "not assumed", ROLE)),
    ],
)
def test_targets_of_jobs_with_a_role_are_as_the_engine_finds_them(
    function: Lambda, response: dict[str, Any], target: JobTarget
) -> None:
    function.answer = {"targets": {"load": {"role": ROLE, **response}}}

    assert taken(roles_probe([LOAD], EngineFunction(NAME))) == [target]
    assert function.calls == [(NAME, {"treadle": "targets"})]


def test_job_that_the_engine_does_not_know_is_reported_to_be_so(function: Lambda) -> None:
    function.answer = {"targets": {}}

    [target] = taken(roles_probe([LOAD], EngineFunction(NAME)))

    assert isinstance(target, JobTarget)
    assert (target.exists, "does not know this job" in target.error) == (None, True)


def test_doctor_that_may_not_query_the_engine_says_so(function: Lambda) -> None:
    function.refusal = ("AccessDeniedException", 403)

    [unread] = taken(roles_probe([LOAD], EngineFunction(NAME)))

    assert isinstance(unread, SkippedCheck)
    assert (unread.check, unread.action) == ("jobs", "lambda:InvokeFunction")


def test_role_that_cannot_be_assumed_is_a_problem_that_names_it() -> None:
    target = JobTarget("load", "arn:load", "P", None, "AccessDenied", ROLE)

    [finding] = of_target(target, ())

    assert finding.severity is Severity.PROBLEM
    assert ROLE in finding.message
    assert "AccessDenied" in finding.message
