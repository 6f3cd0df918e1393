"""Who has the engine's policies for evaluators: found by IAM, and wrong unless it is the role of the sensor's function."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from treadle.adapters import clients
from treadle.adapters.health.evaluator_policies import holders_probe
from treadle.adapters.health.probes import Vital, run_probes
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import DeployedSensor
from treadle.model.health import PolicyHolder, SkippedCheck
from treadle.operate.findings import Finding, Severity
from treadle.operate.policy_holders import of_holders

LAMBDA = {"Service": "lambda.amazonaws.com"}
DAILY, OTHER = (f"arn:aws:iam::123456789012:role/{name}" for name in ("daily", "other"))


@pytest.fixture
def iam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "ACCESS_KEY_ID": "t",
        "SECRET_ACCESS_KEY": "t",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    clients.forget()
    with mock_aws():
        yield boto3.client("iam")
    clients.forget()


def policy(iam: Any, name: str) -> str:
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    }
    arn: str = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    return arn


def role(iam: Any, name: str, *policies: str, principal: object = LAMBDA, **tags: str) -> str:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
    arn: str = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        Tags=[{"Key": f"treadle:{key}", "Value": value} for key, value in tags.items()],
    )["Role"]["Arn"]
    for each in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=each)
    return arn


def probed(*policies: str) -> list[Vital]:
    return run_probes([holders_probe(policies)])


def test_roles_users_and_groups_with_any_of_the_policies_are_found_once(iam: Any) -> None:
    evaluator, reader = policy(iam, "evaluator"), policy(iam, "reader")
    daily = role(iam, "daily", evaluator, reader, sensor="daily", project="shop")
    role(iam, "beside", policy(iam, "another"), sensor="daily")
    open_role = role(iam, "open", reader, principal={**LAMBDA, "AWS": ["123456789012"]})
    iam.create_user(UserName="ann")
    iam.attach_user_policy(UserName="ann", PolicyArn=evaluator)
    iam.create_group(GroupName="team")
    iam.attach_group_policy(GroupName="team", PolicyArn=evaluator)

    assert probed(evaluator, reader) == [
        PolicyHolder("team", "group"),
        PolicyHolder("ann", "user"),
        PolicyHolder(daily, "role", "daily"),
        PolicyHolder(open_role, "role", "", ("123456789012",)),
    ]


@pytest.mark.parametrize("denied", ["list_entities_for_policy", "get_role"])
def test_what_the_caller_may_not_read_is_reported_with_the_permission(iam: Any, denied: str) -> None:
    entities = {"PolicyRoles": [{"RoleName": "daily"}], "PolicyUsers": [], "PolicyGroups": []}
    with Stubber(clients.client("iam")) as stub:
        if denied == "get_role":
            stub.add_response("list_entities_for_policy", entities)
        stub.add_client_error(denied, "AccessDenied", "no")

        [found] = probed("arn:aws:iam::123456789012:policy/evaluator")

    assert isinstance(found, SkippedCheck)
    action = {"list_entities_for_policy": "ListEntitiesForPolicy", "get_role": "GetRole"}[denied]
    assert (found.check, found.action) == ("sensor roles", f"iam:{action}")


def sensor(name: str, role: str) -> DeployedSensor:
    return DeployedSensor(name, "schedule", "", (), DefaultSensorStatus.RUNNING, 60, role=role)


def judged(*holders: PolicyHolder, sensors: tuple[DeployedSensor, ...] = ()) -> list[Finding]:
    return list(of_holders(holders, sensors or (sensor("daily", DAILY),)))


def test_roles_of_the_sensors_own_functions_are_in_order() -> None:
    assert judged(PolicyHolder(DAILY, "role", "daily")) == []


def test_role_with_the_tag_of_another_roles_sensor_is_a_problem() -> None:
    """It could overwrite that sensor's cursor, and request runs in its name."""
    [found] = judged(PolicyHolder(DAILY, "role", "daily"), PolicyHolder(OTHER, "role", "daily"))

    assert (found.severity, found.subject) == (Severity.PROBLEM, "sensor daily")
    assert OTHER in found.message
    assert DAILY in found.message


def test_tag_that_two_roles_share_is_a_problem_also_where_no_function_is_known() -> None:
    holders = PolicyHolder(DAILY, "role", "daily"), PolicyHolder(OTHER, "role", "daily")

    for sensors in (sensor("daily", ""), sensor("hourly", "arn")):
        [found] = judged(*holders, sensors=(sensors,))
        assert found.severity is Severity.PROBLEM
        assert found.message.startswith(f"Roles {DAILY} and {OTHER} have the same tag")
    assert judged(holders[0], sensors=(sensor("daily", ""),)) == []


def test_role_of_a_sensor_that_is_not_registered_is_a_warning() -> None:
    """Its stack may be at work on it."""
    [found] = judged(PolicyHolder(OTHER, "role", "unknown"))

    assert (found.severity, found.subject) == (Severity.WARNING, "sensor unknown")


def test_role_without_the_tag_is_a_warning() -> None:
    [found] = judged(PolicyHolder(OTHER, "role"))

    assert (found.severity, found.subject) == (Severity.WARNING, f"role {OTHER}")


@pytest.mark.parametrize("kind", ["user", "group"])
def test_people_with_the_policies_are_a_problem(kind: str) -> None:
    [found] = judged(PolicyHolder("ann", kind))

    assert (found.severity, found.subject) == (Severity.PROBLEM, f"{kind} ann")


def test_role_that_others_than_lambda_may_assume_is_a_warning() -> None:
    """Such a session can also bring a tag of its own, which outranks the role's."""
    [found] = judged(PolicyHolder(DAILY, "role", "daily", ("123456789012",)))

    assert (found.severity, found.subject) == (Severity.WARNING, "sensor daily")
    assert "can be assumed by 123456789012" in found.message
