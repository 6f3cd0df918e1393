"""engine/project-pipeline.yaml: what the pipeline of a project, and the roles that it makes, must not do."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.policies import Deployed, decision
from tests.template.engine_model import (
    FOLDER,
    POLICY,
    deployed,
    read_engine,
    statements,
    template_at,
    transformed,
)
from tests.template.model import ROOT
from treadle.operate.limits import MANAGED, exceeded, measure

pytestmark = pytest.mark.treadle

TEMPLATE = template_at(FOLDER / "project-pipeline.yaml")
CONTRACT = str(deployed().value(read_engine().resources("AWS::SSM::Parameter")["Contract"]["Value"]))
GIVEN = {"Engine": CONTRACT, "Project": "sales", "Prefix": "sales_"}
ACCOUNT = "us-east-1:123456789012"
IAM = "arn:aws:iam::123456789012:"
ROLE = f"{IAM}role/sales-DailyRole-1A2B"
ENTRY = f"arn:aws:ssm:{ACCOUNT}:parameter/treadle/main/{{}}"
TABLES = [f"arn:aws:dynamodb:{ACCOUNT}:table/{each}Table" for each in ("Sensors", "Ticks", "Runs", "Events")]
SENSORS, TICKS, RUNS, EVENTS = TABLES

stack = Deployed(TEMPLATE, GIVEN)


def policy(name: str) -> list[dict[str, Any]]:
    """Return a policy's statements as deployed."""
    found: list[dict[str, Any]] = stack.value(TEMPLATE.resources(POLICY)[name]["PolicyDocument"]["Statement"])
    return found


ADMINISTRATOR = {"Effect": "Allow", "Action": "*", "Resource": "*"}
BOUNDED = {"iam:PermissionsBoundary": ["RoleBoundary"]}


def pipeline(action: str, resource: str, **context: list[str]) -> str:
    """Return the decision on a call of a pipeline that is an administrator but for its policy."""
    return decision([ADMINISTRATOR, *policy("PipelinePolicy")], action, resource, context)


def role(action: str, resource: str, **context: list[str]) -> str:
    """Return the decision on a call of an evaluator whose own policies allow everything beside the engine's."""
    tags = {
        "aws:PrincipalTag/treadle:sensor": ["sales_daily"],
        "aws:PrincipalTag/treadle:project": ["sales"],
    }
    known = {"aws:PrincipalAccount": ["123456789012"], **tags, **context}
    bounded = decision(policy("RoleBoundary"), action, resource, known)
    own = decision([ADMINISTRATOR, *statements("EvaluatorPolicy")], action, resource, known)
    return own if bounded == "allowed" else bounded


def test_pipeline_policy_only_denies() -> None:
    """So that attaching it can allow nobody anything."""
    assert {each["Effect"] for each in policy("PipelinePolicy")} == {"Deny"}


def test_pipeline_registers_names_of_its_projects_prefix_only() -> None:
    for action in ("ssm:PutParameter", "ssm:DeleteParameter"):
        for name in ("sensors/sales_daily", "jobs/sales_load"):
            assert pipeline(action, ENTRY.format(name)) == "allowed"
        for name in ("sensors/payroll", "jobs/payroll_load", "sensors/sales", "v1"):
            assert pipeline(action, ENTRY.format(name)) == "explicitDeny"
        assert pipeline(action, f"arn:aws:ssm:{ACCOUNT}:parameter/sales/topic") == "allowed"


def test_pipeline_tags_roles_functions_and_queues_as_its_own_sensors_only() -> None:
    for action in ("iam:CreateRole", "iam:TagRole", "lambda:CreateFunction", "lambda:TagResource"):
        resource = ROLE if action.startswith("iam") else f"arn:aws:lambda:{ACCOUNT}:function:sales-Daily-1A2B"

        def tagged(sensor: str, action: str = action, resource: str = resource) -> str:
            tags = {"aws:RequestTag/treadle:sensor": [sensor]}
            return pipeline(action, resource, **tags, **BOUNDED)

        assert tagged("sales_daily") == "allowed"
        assert tagged("payroll") == tagged("dead-letters") == "explicitDeny"
        assert pipeline(action, resource, **BOUNDED) == "allowed"
    queue = f"arn:aws:sqs:{ACCOUNT}:sales-DailyQueue"
    for sensor, decided in (
        ("sales_daily", "allowed"),
        ("dead-letters", "allowed"),
        ("payroll", "explicitDeny"),
    ):
        assert pipeline("sqs:CreateQueue", queue, **{"aws:RequestTag/treadle:sensor": [sensor]}) == decided


def test_pipeline_tags_roles_as_of_its_own_project_only() -> None:
    for project, decided in (("sales", "allowed"), ("payroll", "explicitDeny")):
        tags = {"aws:RequestTag/treadle:project": [project]}
        assert pipeline("iam:CreateRole", ROLE, **tags, **BOUNDED) == decided


def test_pipeline_makes_roles_of_its_project_with_the_boundary_only() -> None:
    """Without it, a role could be given what the pipeline itself must not do."""
    job = f"{IAM}role/treadle/main/us-east-1/job/sales-LoadJobRole-1A2B"
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"):
        for own in (ROLE, job):
            assert pipeline(action, own, **BOUNDED) == "allowed"
            assert pipeline(action, own) == "explicitDeny"
            assert pipeline(action, own, **{"iam:PermissionsBoundary": ["other"]}) == "explicitDeny"
        for other in (
            "role/payroll-DailyRole-1A2B",
            "role/treadle/main/us-east-1/engine/x",
            "role/pipeline",
            "role/treadle/main/us-east-1/job/payroll-LoadJobRole-1A2B",
        ):
            assert pipeline(action, f"{IAM}{other}", **BOUNDED) == "explicitDeny"
    assert pipeline("iam:DeleteRolePermissionsBoundary", ROLE, **BOUNDED) == "explicitDeny"
    assert pipeline("iam:CreateUser", f"{IAM}user/x") == "explicitDeny"
    assert (
        pipeline("iam:CreatePolicyVersion", f"{IAM}policy/treadle/main/us-east-1/pipeline/x")
        == "explicitDeny"
    )


def test_pipeline_passes_and_assumes_no_role_of_others() -> None:
    schedule = f"{IAM}role/treadle/main/us-east-1/schedule/ScheduleRole"
    for passed, decided in ((ROLE, "allowed"), (schedule, "allowed"), (f"{IAM}role/admin", "explicitDeny")):
        assert pipeline("iam:PassRole", passed) == decided
    assert pipeline("sts:AssumeRole", f"{IAM}role/treadle/main/us-east-1/job/x") == "explicitDeny"


def test_pipeline_leaves_the_engine_and_other_projects_alone() -> None:
    of_engine = {"aws:ResourceTag/treadle:engine": ["main"]}
    for table in TABLES:
        assert pipeline("dynamodb:PutItem", table) == "explicitDeny"
    for name, decided in (("sales", "allowed"), ("treadle-engine", "explicitDeny")):
        assert (
            pipeline("cloudformation:CreateChangeSet", f"arn:aws:cloudformation:{ACCOUNT}:stack/{name}/1")
            == decided
        )
    for name, decided in (("sales-Daily-1A2B", "allowed"), ("payroll-Daily-1A2B", "explicitDeny")):
        for action, resource in (
            ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{ACCOUNT}:function:{name}"),
            ("sqs:SendMessage", f"arn:aws:sqs:{ACCOUNT}:{name}"),
        ):
            assert pipeline(action, resource, **of_engine) == decided
    assert pipeline("lambda:UpdateFunctionCode", f"arn:aws:lambda:{ACCOUNT}:function:web") == "allowed"


@pytest.mark.parametrize("table", [SENSORS, TICKS])
def test_role_of_the_project_touches_no_state_of_another_sensor_whatever_its_tag_says(table: str) -> None:
    for key, decided in (("sales_daily", "allowed"), ("payroll", "explicitDeny")):
        for action in ("GetItem", "PutItem", "UpdateItem", "Query"):
            context = {"dynamodb:LeadingKeys": [key], "aws:PrincipalTag/treadle:sensor": ["payroll"]}
            assert role(f"dynamodb:{action}", table, **context) == decided
    both = {"dynamodb:LeadingKeys": ["sales_daily", "payroll"]}
    assert role("dynamodb:BatchGetItem", table, **both) == "explicitDeny"
    assert role("dynamodb:Scan", table) == "explicitDeny"


def test_role_of_the_project_can_do_what_an_evaluator_does() -> None:
    """All that the engine's policy allows a sensor of the prefix."""
    for key in ("sales_daily", "sales_daily#cursor", "#engine"):
        assert role("dynamodb:GetItem", SENSORS, **{"dynamodb:LeadingKeys": [key]}) == "allowed"
    assert role("dynamodb:PutItem", TICKS, **{"dynamodb:LeadingKeys": ["sales_daily"]}) == "allowed"
    for table in (RUNS, EVENTS):
        keys = {"dynamodb:LeadingKeys": ["k"], "dynamodb:Attributes": ["run_id"]}
        assert role("dynamodb:BatchGetItem", table, **keys) == "allowed"
        assert role("dynamodb:PutItem", table, **keys) == "explicitDeny"
    bucket = "arn:aws:s3:::PayloadBucket/ticks/sales_daily/1"
    assert role("s3:PutObject", bucket) == "allowed"
    assert role("s3:GetObject", bucket) == "explicitDeny"
    assert role("s3:GetObject", "arn:aws:s3:::sales-bucket/a") == "allowed"
    for sensor, decided in (
        ("sales_daily", "allowed"),
        ("dead-letters", "allowed"),
        ("payroll", "explicitDeny"),
    ):
        tags = {"aws:ResourceTag/treadle:engine": ["main"], "aws:ResourceTag/treadle:sensor": [sensor]}
        assert role("sqs:SendMessage", f"arn:aws:sqs:{ACCOUNT}:q", **tags) == decided


def test_role_of_the_project_reaches_no_part_of_the_engine() -> None:
    of_engine = {"aws:ResourceTag/treadle:engine": ["main"]}
    assert role("sqs:SendMessage", f"arn:aws:sqs:{ACCOUNT}:RecordQueue", **of_engine) == "explicitDeny"
    assert (
        role("lambda:InvokeFunction", f"arn:aws:lambda:{ACCOUNT}:function:x", **of_engine) == "explicitDeny"
    )
    assert role("ssm:PutParameter", ENTRY.format("sensors/sales_daily")) == "explicitDeny"
    assert role("sts:AssumeRole", f"{IAM}role/treadle/main/us-east-1/job/x") == "explicitDeny"
    assert role("iam:TagRole", ROLE) == "implicitDeny"


def test_boundary_holds_without_the_policies_of_evaluators() -> None:
    """A project can make a role that has none of these, and allow it everything."""

    def bounded(action: str, resource: str, **context: list[str]) -> str:
        return decision(policy("RoleBoundary"), action, resource, context)

    of_engine = {"aws:ResourceTag/treadle:engine": ["main"]}
    queue = f"arn:aws:sqs:{ACCOUNT}:RecordQueue"
    assert bounded("dynamodb:Scan", SENSORS) == bounded("dynamodb:Scan", TICKS) == "explicitDeny"
    assert bounded("sqs:ReceiveMessage", queue, **of_engine) == "explicitDeny"
    assert bounded("sqs:ReceiveMessage", f"arn:aws:sqs:{ACCOUNT}:web") == "allowed"


def test_role_of_an_ecs_job_passes_roles_of_its_project_only() -> None:
    assert role("iam:PassRole", f"{IAM}role/sales-TaskRole-1A2B") == "allowed"
    assert role("iam:PassRole", f"{IAM}role/admin") == "implicitDeny"


def test_policies_fit_with_the_longest_names() -> None:
    longest = {
        "Engine": CONTRACT.replace("main", "e" * 32).split(","),
        "Project": "p" * 20,
        "Prefix": "s" * 32,
    }
    found = measure(TEMPLATE.data, longest)

    assert exceeded(found) == []
    assert {use.subject for use in found if use.limit is MANAGED} == {"RoleBoundary", "PipelinePolicy"}


def test_every_name_that_the_shipped_project_gives_is_as_the_policy_expects() -> None:
    """Roles of jobs are under the path of jobs, and CloudFormation names everything after the stack."""
    for resource in template_at(ROOT / "template.yaml").section("Resources").values():
        properties = resource.get("Properties", {})
        assert not {"RoleName", "FunctionName", "QueueName"} & properties.keys()
        if resource["Type"] == "AWS::IAM::Role":
            assert properties["Path"] == {"Fn::Select": [19, {"Ref": "Engine"}]}


def test_globals_of_a_project_give_the_boundary_to_the_roles_of_its_functions(tmp_path: Path) -> None:
    """As the guide says; roles that are written out, and those of state machines, need a line each."""
    text, line = (ROOT / "template.yaml").read_text(), "Globals:\n  Function:\n"
    assert text.count(line) == 1
    path = tmp_path / "template.yaml"
    path.write_text(text.replace(line, f"{line}    PermissionsBoundary: {IAM}policy/boundary\n"))

    roles = {
        name: each["Properties"]
        for name, each in transformed(path)["Resources"].items()
        if each["Type"] == "AWS::IAM::Role"
    }
    without = {name for name, each in roles.items() if "PermissionsBoundary" not in each}

    assert without == {"ProcessFileJobRole", "ProcessLargeFileJobRole", "SummarizeRole"}
    for each in roles.values():
        tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
        assert "RoleName" not in each
        if "treadle:sensor" in tags:
            assert tags["treadle:project"] == {"Ref": "AWS::StackName"}
