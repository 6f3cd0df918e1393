"""Glue jobs: requests to Glue, and what its responses mean; requests are checked against its model."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.support.starts import LAUNCH_ID, NOON, RUN_ID, start_of, stubbed, values_of
from treadle.adapters.targets import glue
from treadle.adapters.targets.glue import GlueTarget, why_no_argument
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure
from treadle.model.targets import Execution

JOB = "arn:aws:glue:us-east-1:123456789012:job/load"
ARGUMENTS = {
    "--treadle-launch-id": LAUNCH_ID,
    "--treadle-run-config": '{"a":1}',
    "--treadle-run-id": RUN_ID,
    "--treadle-tags": '{"t":"1"}',
}


def run_of(state: str, *, began: int = NOON, **fields: Any) -> dict[str, Any]:
    """Return a run as Glue reports it."""
    return {"Id": "jr_1", "JobRunState": state, "StartedOn": moment(began), **fields}


def moment(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


@pytest.mark.parametrize("address", [JOB, "load"])
def test_run_is_started_with_config_ids_and_tags_as_arguments(address: str) -> None:
    with stubbed("glue", once=True) as stub:
        stub.add_response("start_job_run", {"JobRunId": "jr_1"}, {"JobName": "load", "Arguments": ARGUMENTS})
        execution = GlueTarget().start(start_of("glue", address))

    assert (execution.external_id, execution.target) == (f"{address}/jr_1", address)
    assert execution.status is Status.STARTED
    assert execution.started_at > 0


def test_listed_values_of_the_run_config_become_arguments_and_others_do_not() -> None:
    config = {"day": "2026-11-25", "limit": -5, "deep": {"b": 1, "a": [True]}, "none": None, "other": "x"}
    listed = {"--day": "2026-11-25", "--limit": "-5", "--deep": '{"a":[true],"b":1}'}
    start = start_of("glue", JOB, config=config, arguments="day, limit,deep,none,,missing")

    with stubbed("glue", once=True) as stub:
        arguments = {**ARGUMENTS, **listed, "--treadle-run-config": start.run_config}
        stub.add_response("start_job_run", {"JobRunId": "jr_1"}, {"JobName": "load", "Arguments": arguments})
        GlueTarget().start(start)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("extra-py-files", "which code the job runs"),
        ("extra-anything-new", "which code the job runs"),
        ("scriptLocation", "which code the job runs"),
        ("additional-python-modules", "which code the job runs"),
        ("job-language", "which code the job runs"),
        ("class", "which code the job runs"),
        ("conf", "which code the job runs"),
        ("TempDir", "one of Glue's own settings"),
        ("JOB_NAME", "one of Glue's own settings"),
        ("enable-glue-datacatalog", "one of Glue's own settings"),
        ("treadle-launch-id", "Treadle sets it itself"),
        ("two words", "a name must begin with a letter"),
        ("--day", "a name must begin with a letter"),
    ],
)
def test_argument_that_says_what_runs_is_refused_whatever_the_config(name: str, reason: str) -> None:
    start = start_of("glue", JOB, config={name: "s3://evil/x.py"}, arguments=f"day,{name}")

    with pytest.raises(LaunchRejectedError, match=reason) as refused:
        GlueTarget().start(start)

    assert f"The arguments of job 'nightly_load' list {name!r}" in str(refused.value)


@pytest.mark.parametrize("name", ["day", "job", "classes", "table-name", "jobs_of_day"])
def test_argument_of_the_jobs_own_may_be_listed(name: str) -> None:
    assert why_no_argument(name) is None


@pytest.mark.parametrize("value", ["--extra-py-files=s3://evil/x.py", "-x", "--"])
def test_value_that_a_command_line_would_take_for_an_option_is_refused(value: str) -> None:
    with pytest.raises(LaunchRejectedError, match="'day' begins with a hyphen"):
        GlueTarget().start(start_of("glue", JOB, config={"day": value}, arguments="day"))


@pytest.mark.parametrize("config", ["text", [1], 5])
def test_run_config_that_is_no_object_travels_whole(config: Any) -> None:
    start = start_of("glue", JOB, config=config, arguments="day")

    with stubbed("glue", once=True) as stub:
        arguments = {**ARGUMENTS, "--treadle-run-config": start.run_config}
        stub.add_response("start_job_run", {"JobRunId": "jr_1"}, {"JobName": "load", "Arguments": arguments})
        GlueTarget().start(start)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ConcurrentRunsExceededException", 400, LaunchDelayedError),
        ("ResourceNumberLimitExceededException", 400, LaunchDelayedError),
        ("EntityNotFoundException", 400, LaunchRejectedError),
        ("InvalidInputException", 400, LaunchRejectedError),
        ("InternalServiceException", 500, LaunchUncertainError),
        ("OperationTimeoutException", 400, LaunchUncertainError),
        ("AccessDeniedException", 400, LaunchDeniedError),
    ],
)
def test_refused_start_is_distinguished(code: str, status: int, error: type[Exception]) -> None:
    with stubbed("glue", once=True) as stub:
        stub.add_client_error("start_job_run", code, "the message", status)
        with pytest.raises(error, match="the message") as refused:
            GlueTarget().start(start_of("glue", JOB))

    assert type(refused.value) is error


def page_of(stub: Stubber, runs: list[dict[str, Any]], token: str | None = None, after: str = "") -> None:
    expected = {"JobName": "load", "MaxResults": 200, **({"NextToken": after} if after else {})}
    stub.add_response("get_job_runs", {"JobRuns": runs, **({"NextToken": token} if token else {})}, expected)


def test_attempt_is_found_by_its_launch_id_on_a_later_page() -> None:
    other = run_of("RUNNING", Arguments={"--treadle-launch-id": f"{RUN_ID}-2"})
    ours = run_of("SUCCEEDED", Arguments=ARGUMENTS, CompletedOn=moment(NOON + 9), Id="jr_7")
    with stubbed("glue") as stub:
        page_of(stub, [other, run_of("RUNNING")], "more")
        page_of(stub, [other, ours], after="more")
        found = GlueTarget().resolve(start_of("glue", JOB))

    assert found == Execution(f"{JOB}/jr_7", JOB, Status.SUCCESS, NOON, NOON + 9, launch_id=LAUNCH_ID)


def test_first_of_glues_own_retries_is_the_attempt() -> None:
    first = run_of("FAILED", Arguments=ARGUMENTS, Id="jr_7")
    retry = run_of("RUNNING", Arguments=ARGUMENTS, Id="jr_7_attempt_1", began=NOON + 60_000)
    with stubbed("glue") as stub:
        page_of(stub, [retry, first])
        found = GlueTarget().resolve(start_of("glue", JOB))

    assert found is not None
    assert found.external_id == f"{JOB}/jr_7"


def test_search_ends_at_runs_that_are_older_than_the_attempt() -> None:
    old = run_of("RUNNING", began=NOON - 300_001, Arguments=ARGUMENTS)
    with stubbed("glue") as stub:
        page_of(stub, [run_of("RUNNING", began=NOON - 300_000), old], "more")

        assert GlueTarget().resolve(start_of("glue", JOB)) is None


def test_job_with_too_many_runs_since_is_not_taken_for_one_without_the_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(glue, "PAGES", 2)
    with stubbed("glue") as stub:
        page_of(stub, [run_of("RUNNING")], "more")
        page_of(stub, [run_of("RUNNING")], "still more", after="more")
        with pytest.raises(LaunchDelayedError, match="may be older"):
            GlueTarget().resolve(start_of("glue", JOB))


def test_search_that_is_not_answered_finds_nothing_out() -> None:
    with stubbed("glue") as stub:
        stub.add_client_error("get_job_runs", "InternalServiceException", "sorry", 500)
        with pytest.raises(LaunchDelayedError, match="could not be listed"):
            GlueTarget().resolve(start_of("glue", JOB))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("WAITING", Status.STARTED),
        ("STARTING", Status.STARTED),
        ("RUNNING", Status.STARTED),
        ("STOPPING", Status.STARTED),
        ("STOPPED", Status.CANCELED),
        ("SUCCEEDED", Status.SUCCESS),
        ("FAILED", Status.FAILURE),
        ("ERROR", Status.FAILURE),
        ("TIMEOUT", Status.FAILURE),
        ("EXPIRED", Status.FAILURE),
    ],
)
def test_run_stands_as_glue_says(state: str, status: Status) -> None:
    response = run_of(state, CompletedOn=moment(NOON + 9), ErrorMessage="x" * 3_000)
    with stubbed("glue") as stub:
        stub.add_response("get_job_run", {"JobRun": response}, {"JobName": "load", "RunId": "jr_1"})
        execution = GlueTarget().describe(f"{JOB}/jr_1")

    ended = status is not Status.STARTED
    failed = status in {Status.FAILURE, Status.CANCELED}
    assert execution == Execution(
        f"{JOB}/jr_1",
        JOB,
        status,
        NOON,
        NOON + 9 if ended else None,
        Failure(state, "x" * 2_000) if failed else None,
    )


def test_every_state_of_the_model_has_its_status() -> None:
    assert values_of("glue", "JobRunState") == set(glue.STATUSES)


@pytest.mark.parametrize(
    ("code", "error"),
    [("EntityNotFoundException", LaunchRejectedError), ("ThrottlingException", LaunchDelayedError)],
)
def test_run_that_glue_does_not_report_is_gone_or_queried_again(code: str, error: type[Exception]) -> None:
    with stubbed("glue") as stub:
        stub.add_client_error("get_job_run", code)
        with pytest.raises(error):
            GlueTarget().describe(f"{JOB}/jr_1")


def test_run_is_canceled_by_its_id() -> None:
    with stubbed("glue") as stub:
        expected_params = {"JobName": "load", "JobRunIds": ["jr_1"]}
        done = {"SuccessfulSubmissions": [{"JobName": "load", "JobRunId": "jr_1"}], "Errors": []}
        stub.add_response("batch_stop_job_run", done, expected_params)
        GlueTarget().cancel(f"{JOB}/jr_1")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("EntityNotFoundException", LaunchRejectedError),
        ("InvalidInputException", LaunchRejectedError),
        ("InternalServiceException", LaunchDelayedError),
    ],
)
def test_run_that_cannot_be_canceled_says_why(code: str, error: type[Exception]) -> None:
    detail = {"ErrorCode": code, "ErrorMessage": "the message"}
    with stubbed("glue") as stub:
        refused = {"SuccessfulSubmissions": [], "Errors": [{"JobRunId": "jr_1", "ErrorDetail": detail}]}
        stub.add_response("batch_stop_job_run", refused)
        with pytest.raises(error, match="the message"):
            GlueTarget().cancel(f"{JOB}/jr_1")


def test_recent_runs_are_those_that_began_since_whoever_started_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glue, "PAGES", 1)
    old = run_of("RUNNING", began=NOON - 1, Id="jr_0")
    with stubbed("glue") as stub:
        page_of(stub, [run_of("RUNNING", Id="jr_2", began=NOON + 5)], "more")
        page_of(stub, [run_of("SUCCEEDED", Arguments=ARGUMENTS, Id="jr_1"), old], "yet more", after="more")
        found = list(GlueTarget().recent(start_of("glue", JOB).settings, NOON))

    assert [(each.at, each.execution.external_id, each.execution.launch_id) for each in found] == [
        (NOON + 5, f"{JOB}/jr_2", None),
        (NOON, f"{JOB}/jr_1", LAUNCH_ID),
    ]


def test_pages_of_recent_runs_are_read_as_they_are_requested() -> None:
    with stubbed("glue") as stub:
        page_of(stub, [run_of("RUNNING")], "more")
        first = next(GlueTarget().recent(start_of("glue", JOB).settings, NOON))

    assert first.at == NOON
