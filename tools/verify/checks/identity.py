"""IAM: sessions, trust between roles, and the roles that SAM makes."""

import json
from functools import partial
from typing import Any

from tools.verify.account import Account, client_of
from tools.verify.lab import DidNotHoldError, Lab, NotTriedError, expect_denied
from tools.verify.model import Check
from tools.verify.templates import (
    RUNTIME,
    Part,
    arn_of,
    document,
    queue,
    ref,
    role,
    statement,
    sub,
    template,
    trusting_caller,
)

USERID = (
    "IAM user guide, AWS global condition context keys, aws:userid: "
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-userid"
)
PRINCIPAL = (
    "IAM user guide, AWS JSON policy elements: Principal (IAM stores a role's unique id in a trust policy), "
    "and aws:PrincipalArn: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html"
)
SAM_TAGS = (
    "AWS SAM developer guide, AWS::Serverless::Function, Tags, and aws/serverless-application-model pull request 1194: "
    "https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html"
)
QUEUE_TAGS = (
    "Amazon SQS developer guide, ABAC condition keys for Amazon SQS: "
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-abac-condition-keys.html"
)

ROLE_KEYS = (
    "Service authorization reference, Actions, resources, and condition keys for AWS IAM (aws:RequestTag, "
    "iam:PermissionsBoundary): https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html"
)

QUEUE_POLICY = "service-role/AWSLambdaSQSQueueExecutionRole"
"""The managed policy that SAM attaches to the role of a function with an event of the type SQS."""

CALLING = """
import boto3
from botocore.exceptions import ClientError


def handler(event, context):
    if "Records" in event:
        return {}
    client = boto3.client(event["service"])
    try:
        getattr(client, event["operation"])(**event["parameters"])
    except ClientError as error:
        return {"code": error.response["Error"]["Code"], "message": str(error)}
    return {"code": ""}
"""
"""A function that sends one request, and returns the error code of the refusal."""


def sessions(account: Account) -> Part:
    """Return a role that may read a queue's attributes in any session, but send to it in one session only."""
    launching = {"StringLike": {"aws:userid": "*:launch"}}
    may = role(
        trusting_caller(account),
        statement(("sqs:SendMessage",), arn_of("Queue"), launching),
        statement(("sqs:GetQueueAttributes",), arn_of("Queue")),
    )
    return template({"Queue": queue(), "Role": may}, {"Queue": ref("Queue"), "Role": arn_of("Role")})


def session_name(lab: Lab) -> str:
    """Send in the session `launch`, and be denied in others."""
    url = lab.outputs["Queue"]

    def client_in(session: str) -> Any:
        return client_of(lab.acting_as(lab.outputs["Role"], session), "sqs")

    launch = client_in("launch")
    lab.once_allowed(
        lambda: launch.send_message(QueueUrl=url, MessageBody="x"), "the session launch may not send"
    )
    for session in ("record", "launch-record", "x@launch"):
        sqs = client_in(session)
        lab.once_allowed(partial(sqs.get_queue_attributes, QueueUrl=url), "reading attributes is denied")
        send = partial(sqs.send_message, QueueUrl=url, MessageBody="x")
        expect_denied(send, f"SendMessage in the session {session}")
    return "the session launch may send; the sessions record, launch-record and x@launch are denied"


def engine_path(account: Account) -> str:
    """Return the path of the roles that represent those of an engine's functions."""
    return f"{account.path}/engine/"


def job(account: Account) -> Part:
    """Return a role that trusts roles by their path, and one that trusts any caller with the run's secret."""
    trust = document(
        {
            "Effect": "Allow",
            "Principal": {"AWS": account.arn("iam", "root")},
            "Action": "sts:AssumeRole",
            "Condition": {
                "ArnLike": {"aws:PrincipalArn": account.arn("iam", f"role{engine_path(account)}*")}
            },
        }
    )
    path = f"{account.path}/job/"
    return template(
        {"Role": role(trust, Path=path), "Open": role(trusting_caller(account), Path=path)},
        {"Role": arn_of("Role"), "Open": arn_of("Open")},
    )


def engine(account: Account, path: str) -> Part:
    """Return a role that may assume those under the path of jobs.

    Args:
        account: where it is created.
        path: of the role.
    """
    jobs = account.arn("iam", f"role{account.path}/job/*")
    may = role(trusting_caller(account), statement(("sts:AssumeRole",), jobs), Path=path)
    return template({"Role": may}, {"Role": arn_of("Role")})


def recreated_roles(lab: Lab) -> str:
    """Assume a job's role with an engine's role, with that role recreated, and not with one elsewhere."""
    account, target = lab.account, lab.outputs["Role"]

    def assume(role_arn: str, what: str) -> None:
        sts = client_of(lab.acting_as(role_arn), "sts")
        lab.once_allowed(lambda: sts.assume_role(RoleArn=target, RoleSessionName="launch"), what)

    seen = set()
    for label in ("the engine's role", "the engine's role, created again,"):
        made = lab.deploy("engine", engine(account, engine_path(account)))
        if not made.is_complete:
            raise NotTriedError(f"the stack of the engine's role failed: {made.reason}")
        seen.add(made.outputs["Role"])
        assume(made.outputs["Role"], f"{label} cannot assume the job's")
        lab.stacks.delete([made.name])
    stranger = lab.deploy("other", engine(account, f"{account.path}/engine-2/"))
    if not stranger.is_complete:
        raise NotTriedError(f"the stack of another role failed: {stranger.reason}")
    sts = client_of(lab.acting_as(stranger.outputs["Role"]), "sts")
    lab.once_allowed(
        lambda: sts.assume_role(
            RoleArn=lab.outputs["Open"], RoleSessionName="launch", ExternalId=account.secret
        ),
        "a role under another path cannot assume even a role that does not ask for a path",
    )
    expect_denied(
        lambda: sts.assume_role(RoleArn=target, RoleSessionName="launch"),
        "AssumeRole by a role under another path",
    )
    return f"{len(seen)} roles, one after the other, could assume the job's role; one under another path was denied"


def sam(resources: dict[str, Part], outputs: dict[str, Any]) -> Part:
    """Return a template that SAM transforms.

    Args:
        resources: by logical id.
        outputs: values by name.
    """
    return template(resources, outputs, Transform="AWS::Serverless-2016-10-31")


def evaluator(account: Account, name: str, **properties: Any) -> dict[str, Part]:
    """Return a function as a project writes it, whose role SAM makes, with a log group of the run.

    Args:
        account: where it is created.
        name: the log group's, and the sensor's in the tag.
        properties: more properties.
    """
    return {
        "Logs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": f"{account.path}/{name}", "RetentionInDays": 1},
        },
        "Function": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": RUNTIME,
                "Architectures": ["arm64"],
                "Handler": "index.handler",
                "InlineCode": CALLING,
                "Timeout": 10,
                "LoggingConfig": {"LogGroup": ref("Logs")},
                "Tags": {"treadle:sensor": name},
                **properties,
            },
        },
    }


def tagged_function(account: Account) -> Part:
    """Return a function with a tag."""
    return sam(evaluator(account, "alpha"), {"Role": ref("FunctionRole")})


def tags_of_role(lab: Lab) -> str:
    """Search for a function's tag on the role that SAM makes for it."""
    found = lab.client("iam").list_role_tags(RoleName=lab.outputs["Role"])["Tags"]
    tags = {tag["Key"]: tag["Value"] for tag in found}
    if tags.get("treadle:sensor") != "alpha":
        raise DidNotHoldError(f"the role's tags are {tags}")
    return "the role has the function's tag treadle:sensor"


def queues(account: Account) -> Part:
    """Return a function with SAM's permissions for a queue, three queues, and a policy that denies two."""
    others = {
        "StringNotEquals": {"aws:ResourceTag/treadle:sensor": "${aws:PrincipalTag/treadle:sensor}"},
    }
    policy = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"PolicyDocument": document(statement(("sqs:*",), "*", others, "Deny"))},
    }
    function = evaluator(
        account,
        "alpha-queues",
        Policies=[ref("Policy"), sub(f"arn:${{AWS::Partition}}:iam::aws:policy/{QUEUE_POLICY}")],
    )
    return sam(
        {
            "Policy": policy,
            "Own": queue(VisibilityTimeout=60, Tags=[{"Key": "treadle:sensor", "Value": "alpha-queues"}]),
            "Foreign": queue(Tags=[{"Key": "treadle:sensor", "Value": "beta"}]),
            "Untagged": queue(),
            **function,
        },
        {
            "Function": ref("Function"),
            "Own": ref("Own"),
            "OwnArn": arn_of("Own"),
            "Foreign": ref("Foreign"),
            "Untagged": ref("Untagged"),
        },
    )


def mapping(function: str, queue_arn: str) -> Part:
    """Return an event source mapping.

    Args:
        function: its name.
        queue_arn: the queue's.
    """
    properties = {"FunctionName": function, "EventSourceArn": queue_arn, "BatchSize": 1}
    return template({"Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}})


def foreign_queues(lab: Lab) -> str:
    """Let a function's own queue invoke it, and receive, as the function, from that queue and from others."""

    def code(queue_name: str) -> str:
        request = {
            "service": "sqs",
            "operation": "receive_message",
            "parameters": {"QueueUrl": lab.outputs[queue_name]},
        }
        return str(lab.invoke(lab.outputs["Function"], request)["code"])

    def refusal(queue_name: str) -> str | None:
        return code(queue_name) or None

    # Lambda creates a mapping only for a role that may receive from its queue.
    mapped = lab.deploy("mapping", mapping(lab.outputs["Function"], lab.outputs["OwnArn"]))
    if not mapped.is_complete:
        raise DidNotHoldError(f"a mapping of the own queue cannot be created: {mapped.reason}")
    if lab.eventually(lambda: True if code("Own") == "" else None, lab.settling) is None:
        raise DidNotHoldError(f"the function may not receive from its own queue: {code('Own')}")
    for name, label in (("Foreign", "another sensor's queue"), ("Untagged", "a queue without a tag")):
        # The denying policy is attached separately, so it may take effect later than the one that allows.
        if lab.eventually(partial(refusal, name), lab.settling) is None:
            raise DidNotHoldError(f"the function may receive from {label}")
    return "the function may receive from its own queue, and neither from another sensor's nor from one without a tag"


def pipeline(account: Account) -> Part:
    """Return a role that may tag roles, give them policies and write parameters, limited to a prefix.

    Args:
        account: where.
    """
    roles = account.arn("iam", f"role{account.path}/pipeline/*")
    entries = account.arn("ssm", f"parameter{account.path}/pipeline/")
    tag = "aws:RequestTag/treadle:sensor"
    other_sensors = {"Null": {tag: "false"}, "StringNotLike": {tag: "alpha_*"}}
    unbounded = {"StringNotEquals": {"iam:PermissionsBoundary": ref("Boundary")}}
    may = role(
        trusting_caller(account),
        statement(("iam:TagRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy"), roles),
        statement(("ssm:PutParameter", "ssm:DeleteParameter"), f"{entries}*"),
        statement(("iam:TagRole",), "*", other_sensors, "Deny"),
        statement(("iam:PutRolePolicy",), "*", unbounded, "Deny"),
        {"Effect": "Deny", "Action": "ssm:PutParameter", "NotResource": f"{entries}alpha_*"},
    )
    boundary = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"PolicyDocument": document(statement(("sqs:SendMessage",), "*"))},
    }
    nobody = document(
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    )
    path = f"{account.path}/pipeline/"
    return template(
        {
            "Boundary": boundary,
            "Role": may,
            "Bounded": role(nobody, Path=path, PermissionsBoundary=ref("Boundary")),
            "Unbounded": role(nobody, Path=path),
        },
        {"Role": arn_of("Role"), "Bounded": ref("Bounded"), "Unbounded": ref("Unbounded")},
    )


def project_pipeline(lab: Lab) -> str:
    """Tag roles, give them policies and write parameters, of the pipeline's prefix and of others.

    Args:
        lab: the check's.
    """
    session = lab.acting_as(lab.outputs["Role"])
    iam, ssm = client_of(session, "iam"), client_of(session, "ssm")
    bounded, unbounded = lab.outputs["Bounded"], lab.outputs["Unbounded"]

    def tag(sensor: str) -> Any:
        return iam.tag_role(RoleName=bounded, Tags=[{"Key": "treadle:sensor", "Value": sensor}])

    def give(role_name: str) -> Any:
        policy = json.dumps(document(statement(("sqs:SendMessage",), "*")))
        return iam.put_role_policy(RoleName=role_name, PolicyName="more", PolicyDocument=policy)

    def register(name: str) -> Any:
        path = f"{lab.account.path}/pipeline/{name}"
        return ssm.put_parameter(Name=path, Value="x", Type="String", Overwrite=True)

    lab.once_allowed(partial(tag, "alpha_daily"), "tagging a role as an own sensor is denied")
    expect_denied(partial(tag, "beta"), "TagRole with another sensor's name")
    lab.once_allowed(partial(give, bounded), "giving a policy to a role with the boundary is denied")
    iam.delete_role_policy(RoleName=bounded, PolicyName="more")
    expect_denied(partial(give, unbounded), "PutRolePolicy on a role without the boundary")
    lab.once_allowed(partial(register, "alpha_daily"), "writing an own parameter is denied")
    ssm.delete_parameter(Name=f"{lab.account.path}/pipeline/alpha_daily")
    expect_denied(partial(register, "beta"), "PutParameter of another name")
    return "own tags, roles and parameters are allowed; another tag, a role without the boundary and another parameter are denied"


CHECKS = (
    Check(
        "session-name",
        "A condition on aws:userid keeps a permission to sessions of one name",
        "a job's role: only LAUNCH's session may start",
        USERID,
        session_name,
        sessions,
    ),
    Check(
        "recreated-roles",
        "Trust by ArnLike on aws:PrincipalArn holds for roles that are created again under the same path",
        "trust of jobs' roles in the engine's, which may be rebuilt",
        PRINCIPAL,
        recreated_roles,
        job,
        not_local="the local cloud's aws:PrincipalArn of a role is the session's, without the role's path",
    ),
    Check(
        "tags-of-role",
        "SAM puts a function's tags on the role that it makes for it",
        "the tag treadle:sensor, by which one managed policy serves all evaluators",
        SAM_TAGS,
        tags_of_role,
        tagged_function,
    ),
    Check(
        "foreign-queues",
        "A denial by aws:ResourceTag keeps a function that SAM gave rights on all queues to its own",
        "the managed policy of evaluators, beside AWSLambdaSQSQueueExecutionRole",
        QUEUE_TAGS,
        foreign_queues,
        queues,
        not_local="the local cloud sets no aws:ResourceTag for queues, and substitutes no variables in policies",
        dollars=0.001,
    ),
    Check(
        "project-pipeline",
        "Denials by aws:RequestTag, iam:PermissionsBoundary and the names of parameters keep a pipeline to its prefix",
        "engine/project-pipeline.yaml, the policy of a project's pipeline",
        ROLE_KEYS,
        project_pipeline,
        pipeline,
        not_local="the local cloud sets neither aws:RequestTag nor iam:PermissionsBoundary for roles",
    ),
)
