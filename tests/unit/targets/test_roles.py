"""The roles that jobs bring: credentials are kept while they hold, and what STS refuses was sent to nobody."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.support.hooks import hooked
from tests.support.starts import start_of
from treadle.adapters.targets.registry import KINDS, LazyTargets
from treadle.adapters.targets.roles import MOST_CLIENTS, Roles
from treadle.definitions.errors import LaunchDelayedError, LaunchDeniedError, LaunchError
from treadle.model.targets import Start

ROLE = "arn:aws:iam::123456789012:role/treadle/main/us-east-1/job/load-1A2B"
OTHER = "arn:aws:iam::123456789012:role/treadle/main/us-east-1/job/save-1A2B"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:load"


class Aws:
    """STS, and services that know which credentials are good; moved on by the test.

    Attributes:
        now: seconds since the epoch.
        assumed: role, session name and duration of each request for credentials.
        refusal: what STS answers in place of credentials: an error's code with its status, or an exception.
        revoked: access keys that services deny.
        calls: operation and access key of each call of a service.
    """

    def __init__(self) -> None:
        self.now = 1_795_370_400.0
        self.assumed: list[tuple[str, str, int]] = []
        self.refusal: tuple[str, int] | Exception | None = None
        self.revoked: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.denial = "AccessDeniedException"

    def sts(self, params: dict[str, Any], **_: Any) -> Any:
        body = params["body"]
        self.assumed.append((body["RoleArn"], body["RoleSessionName"], int(body["DurationSeconds"])))
        if isinstance(self.refusal, Exception):
            raise self.refusal
        if self.refusal is not None:
            return _refused(*self.refusal)
        expires = datetime.fromtimestamp(self.now + 3_600, UTC)
        key = f"ASIA{len(self.assumed):016}"
        given = {"AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": expires}
        return SimpleNamespace(status_code=200), {"Credentials": given}

    def service(self, model: Any, context: dict[str, Any], request_signer: Any, **_: Any) -> Any:
        key = request_signer._credentials.access_key
        self.calls.append((model.name, key))
        if key in self.revoked:
            return _refused(self.denial, 400)
        answers: dict[str, dict[str, Any]] = {
            "StartExecution": {"executionArn": "arn:e", "startDate": datetime.fromtimestamp(self.now, UTC)},
            "DescribeStateMachine": {"type": "STANDARD"},
        }
        return SimpleNamespace(status_code=200), answers.get(model.name, {})

    def roles(self, session: str = "launch") -> Roles:
        return Roles(session, lambda: self.now)


def _refused(code: str, status: int) -> Any:
    error = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return SimpleNamespace(status_code=status), error


@pytest.fixture
def aws() -> Iterator[Aws]:
    made = Aws()
    services = ("sfn", "glue", "sqs")
    hooks: list[tuple[str, Callable[..., Any]]] = [
        (f"before-call.{each}.*", made.service) for each in services
    ]
    with hooked(("before-call.sts.AssumeRole", made.sts), *hooks):
        yield made


def test_role_is_assumed_once_for_an_hour_under_the_name_of_the_step(aws: Aws) -> None:
    roles = aws.roles("record")

    for _ in range(3):
        roles.obtain(ROLE)
        roles.call("glue", ROLE, "get_jobs")

    assert aws.assumed == [(ROLE, "record", 3_600)]
    assert aws.calls == [("GetJobs", "ASIA0000000000000001")] * 3


def test_without_role_the_process_uses_its_own_credentials(aws: Aws) -> None:
    roles = aws.roles()

    roles.obtain("")
    roles.call("glue", "", "get_jobs")

    assert (aws.assumed, aws.calls) == ([], [("GetJobs", "testing")])


def test_credentials_are_replaced_ten_minutes_before_they_expire_and_not_within_a_start(aws: Aws) -> None:
    roles = aws.roles()
    roles.obtain(ROLE)

    aws.now += 2_999
    roles.obtain(ROLE)
    before = len(aws.assumed)
    aws.now += 2
    roles.call("glue", ROLE, "get_jobs")
    within = len(aws.assumed)
    roles.obtain(ROLE)

    assert (before, within, len(aws.assumed)) == (1, 1, 2)


def test_refusal_to_replace_credentials_leaves_those_that_hold_still(aws: Aws) -> None:
    roles = aws.roles()
    roles.obtain(ROLE)
    aws.refusal = ("Throttling", 400)

    aws.now += 3_500
    roles.obtain(ROLE)
    aws.now += 101

    with pytest.raises(LaunchDelayedError):
        roles.obtain(ROLE)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (("AccessDenied", 403), LaunchDeniedError),
        (("ValidationError", 400), LaunchDeniedError),
        (("RegionDisabledException", 403), LaunchDeniedError),
        (("ExpiredToken", 403), LaunchDeniedError),
        (("Throttling", 400), LaunchDelayedError),
        (("TooManyRequests", 429), LaunchDelayedError),
        (("InternalFailure", 500), LaunchDelayedError),
        (("ServiceUnavailable", 503), LaunchDelayedError),
        (ReadTimeoutError(endpoint_url="sts"), LaunchDelayedError),
        (EndpointConnectionError(endpoint_url="sts"), LaunchDelayedError),
    ],
)
def test_whatever_sts_refuses_may_pass(aws: Aws, refusal: Any, error: type[LaunchError]) -> None:
    aws.refusal = refusal

    with pytest.raises(error, match=ROLE) as refused:
        aws.roles().obtain(ROLE)

    assert refused.value.retryable


OPTIONS: dict[str, Any] = {
    "queue": "q",
    "cluster": "c",
    "container": "m",
    "subnets": "s",
    "source": "o",
    "detail_type": "d",
}


@pytest.mark.parametrize("kind", KINDS)
def test_start_whose_role_cannot_be_assumed_was_not_sent(aws: Aws, kind: str) -> None:
    arn = MACHINE if kind == "step_functions" else "arn:aws:sqs:us-east-1:123456789012:load"
    start = with_role(start_of(kind, arn, **OPTIONS), ROLE)
    aws.refusal = ("AccessDenied", 403)
    target = LazyTargets("launch")[kind]

    with pytest.raises(LaunchDeniedError, match=ROLE):
        target.prepare(start.settings)
    with pytest.raises(LaunchDeniedError, match=ROLE):
        target.start(start)

    assert aws.calls == []


def with_role(start: Start, role: str) -> Start:
    return replace(start, settings=replace(start.settings, role=role))


def test_arn_that_is_none_is_a_denial(aws: Aws) -> None:
    with pytest.raises(LaunchDeniedError, match="RoleArn"):
        aws.roles().obtain("role")


@pytest.mark.parametrize("refusal", [("AccessDenied", 403), ("Throttling", 400)])
def test_refusal_is_remembered_for_half_a_minute_by_role(aws: Aws, refusal: tuple[str, int]) -> None:
    roles = aws.roles()
    aws.refusal = refusal

    for _ in range(1_000):
        with pytest.raises(LaunchError):
            roles.obtain(ROLE)
    count = len(aws.assumed)
    aws.refusal = None
    roles.obtain(OTHER)
    aws.now += 30
    roles.obtain(ROLE)

    assert (count, len(aws.assumed)) == (1, 3)


def test_threads_that_want_a_role_at_once_share_one_request(aws: Aws) -> None:
    roles = aws.roles()
    threads = [threading.Thread(target=roles.obtain, args=(ROLE,)) for _ in range(5)]

    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(aws.assumed) == 1


@pytest.mark.parametrize(
    "denial",
    ["AccessDeniedException", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"],
)
def test_denial_of_old_credentials_is_tried_once_more_with_new_ones(aws: Aws, denial: str) -> None:
    """The role was replaced: what was kept is of one that is gone."""
    target, aws.denial = LazyTargets("launch")["step_functions"], denial
    target._roles._now = lambda: aws.now  # type: ignore[attr-defined]
    start = with_role(start_of("step_functions", MACHINE), ROLE)
    target.start(start)
    aws.revoked = {"ASIA0000000000000001"}
    aws.now += 60

    assert target.start(start).external_id == "arn:e"
    assert aws.calls[-2:] == [
        ("StartExecution", "ASIA0000000000000001"),
        ("StartExecution", "ASIA0000000000000002"),
    ]


def test_denial_of_fresh_credentials_counts_at_once(aws: Aws) -> None:
    """Otherwise each start of a job whose role allows too little would call STS again."""
    roles = aws.roles()
    aws.revoked = {f"ASIA{number:016}" for number in range(1, 9)}

    for _ in range(10):
        with pytest.raises(ClientError):
            roles.call("glue", ROLE, "get_jobs")
        aws.now += 1

    assert (len(aws.assumed), len(aws.calls)) == (1, 10)


def test_other_errors_leave_the_credentials_alone(aws: Aws) -> None:
    roles, aws.denial = aws.roles(), "ThrottlingException"
    roles.call("sqs", ROLE, "list_queues")
    aws.now += 60
    aws.revoked = {"ASIA0000000000000001"}

    with pytest.raises(ClientError, match="Throttling"):
        roles.call("glue", ROLE, "get_jobs", once=True)
    aws.revoked = set()
    roles.call("glue", ROLE, "get_jobs")

    assert len(aws.assumed) == 1


def test_new_credentials_that_are_denied_too_are_a_denial(aws: Aws) -> None:
    roles = aws.roles()
    roles.call("glue", ROLE, "get_jobs")
    aws.now += 60
    aws.revoked = {"ASIA0000000000000001", "ASIA0000000000000002"}

    with pytest.raises(ClientError, match="AccessDenied"):
        roles.call("glue", ROLE, "get_jobs")

    assert len(aws.assumed) == 2


def test_role_that_is_gone_when_its_old_credentials_are_denied_is_a_denial(aws: Aws) -> None:
    roles = aws.roles()
    roles.call("glue", ROLE, "get_jobs")
    aws.now += 60
    aws.revoked, aws.refusal = {"ASIA0000000000000001"}, ("AccessDenied", 403)

    with pytest.raises(LaunchDeniedError, match=ROLE):
        roles.call("glue", ROLE, "get_jobs")


def test_clients_are_kept_by_role_and_the_least_recently_used_goes_first(aws: Aws) -> None:
    roles = aws.roles()
    arns = [f"{ROLE}{number}" for number in range(MOST_CLIENTS)]
    for arn in arns:
        roles.call("glue", arn, "get_jobs")
    kept = dict(roles._clients)
    roles.call("glue", arns[0], "get_jobs")

    roles.call("glue", OTHER, "get_jobs")

    gone = kept.keys() - roles._clients.keys()
    assert len(roles._clients) == MOST_CLIENTS
    assert [key[2] for key in gone] == ["ASIA0000000000000002"]
    assert all(roles._clients[key] is kept[key] for key in kept.keys() - gone)


def test_credentials_are_not_shown(aws: Aws) -> None:
    roles = aws.roles()
    roles.obtain(ROLE)

    assert "'s'" not in repr(roles._roles)
    assert "'t'" not in repr(roles._roles)
