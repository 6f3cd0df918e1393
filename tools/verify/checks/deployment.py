"""CloudFormation: first deployments that fail, the contract in a parameter, and names that it generates."""

import json
import re
import time
from typing import Any

from botocore.exceptions import ClientError

from tools.verify.account import Account
from tools.verify.lab import DidNotHoldError, Lab, NotTriedError
from tools.verify.model import Check
from tools.verify.templates import (
    Part,
    arn_of,
    function,
    queue,
    ref,
    role_of_functions,
    template,
)
from treadle.adapters.aws_errors import code_of

RETAINING = (
    "AWS CloudFormation user guide, DeletionPolicy attribute, RetainExceptOnCreate: "
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html"
)
PARAMETERS = (
    "AWS CloudFormation user guide, SSM parameter types: "
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-supplied-parameter-types.html"
)
VALIDATION = (
    "AWS CloudFormation user guide, Validate stack deployments: "
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html"
)
NAMES = (
    "AWS CloudFormation user guide, Name type: "
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-name.html"
)

PARAMETER_QUOTAS = (
    "AWS General Reference, AWS Systems Manager endpoints and quotas (Parameter Store API transactions per second): "
    "https://docs.aws.amazon.com/general/latest/gr/ssm.html"
)
STACK_QUOTAS = (
    "AWS CloudFormation user guide, Understand CloudFormation quotas: "
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"
)

LONGEST_STACK_NAME = 32
MOST_ENTRIES, MOST_RESOURCES = 120, 500
CONTRACT = ["1", "engine-id", "namespace", "arn:aws:sqs:eu-central-1:123456789012:dead-letters"]


def parameter(name: str | Part, value: str = "1", kind: str = "String", **attributes: Any) -> Part:
    """Return a parameter.

    Args:
        name: its name.
        value: its value.
        kind: its type.
        attributes: of the resource, such as its deletion policy.
    """
    properties = {"Name": name, "Value": value, "Type": kind}
    return {"Type": "AWS::SSM::Parameter", "Properties": properties, **attributes}


def taken(account: Account) -> Part:
    """Return a parameter whose name another stack also uses."""
    return template({"Taken": parameter(f"{account.path}/taken")})


def failing(account: Account, deletion: str = "RetainExceptOnCreate") -> Part:
    """Return a template that fails: first a parameter, then one whose name is taken.

    Args:
        account: where it is deployed.
        deletion: the deletion policy of the first.
    """
    kept = parameter(f"{account.path}/retained", DeletionPolicy=deletion, UpdateReplacePolicy="Retain")
    return template({"Kept": kept, "Taken": parameter(f"{account.path}/taken", DependsOn="Kept")})


def failed_creation(lab: Lab, deletion: str = "RetainExceptOnCreate") -> str:
    """Let a first deployment fail, and check what remains.

    Args:
        lab: the check's.
        deletion: the deletion policy of the resource that is created.
    """
    # Validated, it would be refused before anything is created.
    stack = lab.deploy("failing", failing(lab.account, deletion), is_validated=False)
    if stack.is_complete:
        raise NotTriedError("the deployment that should fail did not")
    if not lab.stacks.has_created(stack.name, "Kept"):
        raise NotTriedError(f"the deployment failed before it created anything: {stack.reason}")
    if _exists(lab, f"{lab.account.path}/retained"):
        raise DidNotHoldError(f"the stack is {stack.status}, and what it had created is still there")
    return f"the stack is {stack.status}, and what it had created is gone"


def _exists(lab: Lab, name: str) -> bool:
    ssm = lab.client("ssm")
    try:
        ssm.get_parameter(Name=name)
    except ssm.exceptions.ParameterNotFound:
        return False
    return True


def registered(account: Account) -> Part:
    """Return a contract, and an entry that a first project has registered under it.

    Args:
        account: where.
    """
    path = f"{account.path}/names"
    contract_of = parameter(f"{path}/v1", f"1,{path}", "StringList")
    return template({"Contract": contract_of, "Entry": parameter(f"{path}/orders", "first")})


def registering(account: Account) -> Part:
    """Return a second project, which registers the same name.

    Args:
        account: where.
    """
    engine_parameter = {
        "Type": "AWS::SSM::Parameter::Value<List<String>>",
        "Default": f"{account.path}/names/v1",
    }
    name = {"Fn::Sub": ["${Path}/orders", {"Path": {"Fn::Select": ["1", ref("Engine")]}}]}
    return template({"Entry": parameter(name, "second")}, Parameters={"Engine": engine_parameter})


def taken_name(lab: Lab) -> str:
    """Deploy a project with a name that another one has registered, and look at the message.

    Args:
        lab: the check's.
    """
    stack = lab.stacks.create_by_change_set(f"{lab.stack_name}-second", registering(lab.account))
    name = f"{lab.account.path}/names/orders"
    if lab.client("ssm").get_parameter(Name=name)["Parameter"]["Value"] != "first":
        raise DidNotHoldError(f"the stack is {stack.status}, and has overwritten the other one's parameter")
    if "already exists" not in stack.reason:
        raise DidNotHoldError(f"the stack is {stack.status}: {stack.reason}")
    return f"the stack is {stack.status}: {stack.reason}"


def engine(account: Account) -> Part:
    """Return a contract as an engine writes it."""
    return template({"Contract": parameter(f"{account.path}/v1", ",".join(CONTRACT), "StringList")})


def project(path: str) -> Part:
    """Return a project, whose outputs are the parts of the contract that it uses.

    Args:
        path: the contract's.
    """
    return template(
        {"Entry": parameter(f"{path}/entry", "x")},
        {f"Part{number}": {"Fn::Select": [str(number), ref("Engine")]} for number in range(len(CONTRACT))},
        Parameters={"Engine": {"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": path}},
    )


def contract(lab: Lab) -> str:
    """Deploy a project on a contract, and one on a contract that does not exist."""
    stack = lab.deploy("project", project(f"{lab.account.path}/v1"))
    if not stack.is_complete:
        raise DidNotHoldError(f"a project cannot be deployed: {stack.reason}")
    taken = [stack.outputs[f"Part{number}"] for number in range(len(CONTRACT))]
    if taken != CONTRACT:
        raise DidNotHoldError(f"the parts are {taken}")
    try:
        refused = lab.deploy("newer", project(f"{lab.account.path}/v2"))
    except ClientError as error:
        if code_of(error) != "ValidationError":
            raise
        return f"a project takes the parts by !Select; without the contract it is refused: {error.response['Error']['Message'][:100]}"
    if refused.is_complete:
        raise DidNotHoldError("a project was deployed without its contract")
    return f"a project takes the parts by !Select; without the contract it ends {refused.status}: {refused.reason[:100]}"


def patterned(path: str, pattern: str) -> Part:
    """Return a project whose parameter for the contract has a pattern.

    Args:
        path: the contract's.
        pattern: the parameter's.
    """
    engine_parameter = {
        "Type": "AWS::SSM::Parameter::Value<List<String>>",
        "Default": path,
        "AllowedPattern": pattern,
    }
    entry = parameter(f"{path}/patterned", "x")
    return template(
        {"Entry": entry},
        {"Version": {"Fn::Select": ["0", ref("Engine")]}},
        Parameters={"Engine": engine_parameter},
    )


def pattern_of_name(lab: Lab) -> str:
    """Deploy with a pattern that the contract's name matches, and its value does not."""
    path = f"{lab.account.path}/pattern/v1"
    try:
        stack = lab.deploy("project", patterned(path, "^/treadle-verify/.*$"))
    except ClientError as error:
        if code_of(error) != "ValidationError":
            raise
        raise DidNotHoldError(
            f"a pattern of the name is refused: {error.response['Error']['Message'][:120]}"
        ) from error
    if not stack.is_complete:
        raise DidNotHoldError(f"with a pattern of the name the stack ends {stack.status}: {stack.reason}")
    return "a pattern that matches the name, and not the value, is accepted"


def entries(account: Account) -> Part:
    """Return as many parameters as a project of 60 sensors and 60 jobs has."""
    return template(
        {f"Entry{number}": parameter(f"{account.path}/entries/e{number}") for number in range(MOST_ENTRIES)}
    )


def many_entries(lab: Lab) -> str:
    """Create the entries of a large project at once."""
    began = time.monotonic()
    stack = lab.deploy("all", entries(lab.account))
    seconds = time.monotonic() - began
    if not stack.is_complete:
        raise DidNotHoldError(f"the stack ends {stack.status} after {seconds:.0f} s: {stack.reason}")
    return f"{MOST_ENTRIES} parameters were created in {seconds:.0f} s"


def resource_limit(lab: Lab) -> str:
    """Let CloudFormation validate a template with the maximum number of resources, and one with one more."""
    cloudformation = lab.client("cloudformation")

    def validate(count: int) -> None:
        resources = {f"Q{number}": {"Type": "AWS::SQS::Queue"} for number in range(count)}
        cloudformation.validate_template(TemplateBody=json.dumps({"Resources": resources}))

    validate(MOST_RESOURCES)
    try:
        validate(MOST_RESOURCES + 1)
    except ClientError as error:
        if code_of(error) != "ValidationError":
            raise
        return (
            f"{MOST_RESOURCES} are accepted, one more is refused: {error.response['Error']['Message'][:100]}"
        )
    raise DidNotHoldError(f"a template with {MOST_RESOURCES + 1} resources is accepted")


def long_names(_: Account) -> Part:
    """Return resources that CloudFormation names, each under a long logical id."""
    suffix = "OfASensorWithALongName"
    trust = {"Service": "scheduler.amazonaws.com"}
    schedule = {
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ScheduleExpression": "rate(1 day)",
            "State": "DISABLED",
            "Target": {"Arn": arn_of(f"Queue{suffix}"), "RoleArn": arn_of(f"SchedulesRole{suffix}")},
        },
    }
    rule = {
        "Type": "AWS::Events::Rule",
        "Properties": {"EventPattern": {"source": ["treadle-verify"]}, "State": "DISABLED"},
    }
    schedules_role: Part = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": trust, "Action": "sts:AssumeRole"}],
            }
        },
    }
    return template(
        {
            f"SchedulesRole{suffix}": schedules_role,
            f"FunctionsRole{suffix}": role_of_functions(),
            f"Queue{suffix}": queue(),
            f"Function{suffix}": function(
                "def handler(event, context):\n    return {}\n", f"FunctionsRole{suffix}"
            ),
            f"Rule{suffix}": rule,
            f"Schedule{suffix}": schedule,
        }
    )


def names(lab: Lab) -> str:
    """Create a stack with a name of 32 characters, and search for it in the names of its resources."""
    name = lab.stacks.name_of("").ljust(LONGEST_STACK_NAME, "n")
    lab.stacks.create(name, long_names(lab.account))
    stack = lab.stacks.wait(name)
    if not stack.is_complete:
        raise NotTriedError(f"the stack failed: {stack.reason}")
    # A queue's id is its URL; other ids may have the group or bus before a bar.
    physical = {key: re.split(r"[/|]", each)[-1] for key, each in lab.stacks.resources(name).items()}
    cut = [each for each in physical.values() if not each.startswith(f"{name}-")]
    if cut:
        raise DidNotHoldError(f"the stack's name is cut off in {', '.join(cut)}")
    longest = max(physical.values(), key=len)
    return f"the names of {len(physical)} resources begin with the whole name of the stack, such as {longest}"


CHECKS = (
    Check(
        "failed-creation",
        "RetainExceptOnCreate leaves nothing behind when the first deployment fails",
        "tables and buckets of a stack whose creation is rolled back",
        RETAINING,
        failed_creation,
        taken,
        dollars=0,
    ),
    Check(
        "taken-name",
        'A second stack cannot take the name of a parameter; its message has "already exists"',
        "each sensor and each job exists once on an engine",
        VALIDATION,
        taken_name,
        registered,
        dollars=0,
    ),
    Check(
        "contract",
        "A project takes parts of a StringList parameter by !Select, and is refused where there is none",
        "the contract between an engine and its projects",
        PARAMETERS,
        contract,
        engine,
        dollars=0,
    ),
    Check(
        "pattern-of-name",
        "AllowedPattern of a parameter of an SSM type is about the name that is given, not the value behind it",
        "a project cannot test the contract's version by a pattern; another version has another path",
        PARAMETERS,
        pattern_of_name,
        lambda account: template(
            {"Contract": parameter(f"{account.path}/pattern/v1", ",".join(CONTRACT), "StringList")}
        ),
        not_local="the local cloud matches the value",
        dollars=0,
    ),
    Check(
        "many-entries",
        f"A stack creates {MOST_ENTRIES} parameters at once, in spite of the rate limit of PutParameter",
        "the entries of a project of 60 sensors and 60 jobs",
        PARAMETER_QUOTAS,
        many_entries,
        not_local="the local cloud limits no rates",
        dollars=0,
    ),
    Check(
        "resource-limit",
        f"A template has at most {MOST_RESOURCES} resources",
        "how many sensors and jobs fit into a project",
        STACK_QUOTAS,
        resource_limit,
        not_local="the local cloud has no quotas",
        dollars=0,
    ),
    Check(
        "long-names",
        f"Generated names keep the whole name of a stack of {LONGEST_STACK_NAME} characters",
        "permissions and queue policies by <stack>-*",
        NAMES,
        names,
        not_local="the local cloud generates names in its own way",
        dollars=0,
    ),
)
