"""Roles of jobs: what they allow at the job's target, whom they trust, and that nobody else may do that."""

from typing import Any

import pytest

from tests.support.policies import ACCOUNT, REGION, STACK, Deployed
from tests.template.model import actions, read, references
from tests.template.test_permissions import role_of

template = read()
ROLES = template.resources("AWS::IAM::Role")
OF_JOBS = template.job_roles()
STATEMENTS = list(template.statements())
STEPS = ("dispatch", "launch", "record", "publish", "reconcile", "console")
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:m"
GIVEN = {name: MACHINE for name in template.section("Parameters") if name.endswith("StateMachineArn")}
MOVED = Deployed(template, {**GIVEN, "FormerJobArns": MACHINE.replace("m", "f")})
DEPLOYED = Deployed(template, GIVEN)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/treadle/{STACK}/{REGION}/job/x"


def engine_roles() -> dict[str, str]:
    """The logical id of each step's role."""
    functions = template.treadle_functions()
    return {step: role_of(functions[step]) for step in STEPS}


def test_each_job_on_step_functions_brings_a_role() -> None:
    jobs = template.jobs().items()

    assert OF_JOBS.keys() == {name for name, entry in jobs if entry["target"] == "step_functions"}
    assert len(set(OF_JOBS.values())) == len(OF_JOBS)


@pytest.mark.parametrize("role", OF_JOBS.values())
def test_role_of_a_job_trusts_the_roles_under_the_engines_path_and_names_none_of_them(role: str) -> None:
    """A principal that is a role becomes an id, which no redeployment of the project brings back."""
    [trust] = DEPLOYED.value(ROLES[role]["AssumeRolePolicyDocument"]["Statement"])
    path = f"role/treadle/{STACK}/{REGION}/engine/"

    assert trust["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert trust["Condition"] == {
        "ArnLike": {
            "aws:PrincipalArn": [
                f"arn:aws:iam::{ACCOUNT}:{path}*",
                "arn:aws:sts::000000000000:assumed-role/*",
            ]
        }
    }
    for step in engine_roles().values():
        assert DEPLOYED.value(ROLES[step]["Path"]) == f"/treadle/{STACK}/{REGION}/engine/"
    others = ROLES.keys() - set(engine_roles().values())
    assert not [name for name in others if "/engine/" in str(ROLES[name].get("Path"))]


@pytest.mark.parametrize("role", OF_JOBS.values())
def test_role_of_a_job_has_a_name_that_is_generated_and_a_path_that_is_not(role: str) -> None:
    """A name would be taken in the next Region, and needs a capability that no default gives."""
    assert "RoleName" not in ROLES[role]
    assert DEPLOYED.value(ROLES[role]["Path"]) == f"/treadle/{STACK}/{REGION}/job/"


@pytest.mark.parametrize("deployed", [DEPLOYED, MOVED], ids=["here", "moved"])
@pytest.mark.parametrize("role", OF_JOBS.values())
def test_only_launch_starts_a_job(deployed: Deployed, role: str) -> None:
    """Not RECORD, RECONCILE or the console, in whatever session of the role."""
    starting = [each for each in deployed.statements(role) if "states:StartExecution" in actions(each)]

    def may(session: str) -> set[str]:
        context = {"aws:userid": [f"AROAEXAMPLE:{session}"]}
        machines = {each for statement in starting for each in _listed(statement["Resource"])}
        return {deployed.decides(role, "states:StartExecution", each, context) for each in machines}

    assert len(starting) == (2 if deployed is MOVED else 1)
    assert may("launch") == {"allowed"}
    assert may("record") == may("reconcile") == may("operator") == {"implicitDeny"}
    assert deployed.decides(role, "states:StartExecution", MACHINE, {}) == "implicitDeny"


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(("step", "own"), [("launch", True), ("record", False), ("reconcile", False)])
def test_only_launch_assumes_roles_of_jobs_under_the_name_launch(step: str, own: bool) -> None:
    role = engine_roles()[step]

    def decides(session: str, assumed: str = ROLE) -> str:
        return DEPLOYED.decides(role, "sts:AssumeRole", assumed, {"sts:RoleSessionName": [session]})

    assert decides("launch") == ("allowed" if own else "implicitDeny")
    assert decides(step) == "allowed"
    assert decides("other") == ("implicitDeny" if own else "allowed")
    for other in (f"{STACK}-other/{REGION}/job", f"{STACK}/eu-west-1/job", f"{STACK}/{REGION}/engine"):
        assumed = f"arn:aws:iam::{ACCOUNT}:role/treadle/{other}/x"
        assert decides(step, assumed) == "implicitDeny"


def test_nobody_else_assumes_a_role() -> None:
    assuming = {role for role, each in STATEMENTS if "sts:AssumeRole" in actions(each)}

    assert assuming == {engine_roles()[step] for step in ("launch", "record", "reconcile")}


@pytest.mark.parametrize("step", STEPS)
def test_no_step_has_a_right_to_a_state_machine_of_its_own(step: str) -> None:
    allowed = {action for each in template.allowed(engine_roles()[step]) for action in actions(each)}

    assert not [action for action in allowed if action.startswith("states:")]


@pytest.mark.parametrize(("job", "role"), OF_JOBS.items())
def test_role_reaches_the_target_of_its_own_job_only(job: str, role: str) -> None:
    address = template.behind(template.jobs()[job]["arn"])
    own = [each for each in template.allowed(role) if "FormerJobArns" not in references(each["Resource"])]

    assert [each["Sid"] for each in own] == ["Start", "StateMachine", "Executions"]
    for each in own:
        found = {name for name in references(each["Resource"]) if not name.startswith("AWS::")}
        assert found - {"Name"} == address
    [executions] = [each for each in own if each["Sid"] == "Executions"]
    assert actions(executions) == [
        "states:DescribeExecution",
        "states:GetExecutionHistory",
        "states:StopExecution",
    ]


@pytest.mark.parametrize("role", OF_JOBS.values())
def test_what_others_started_is_listed_where_a_job_is_observed_only(role: str) -> None:
    [statement] = [each for each in template.allowed(role) if each["Sid"] == "StateMachine"]

    assert statement["Action"][1] == {
        "Fn::If": ["AnyJobIsObserved", "states:ListExecutions", {"Ref": "AWS::NoValue"}]
    }
