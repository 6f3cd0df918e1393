"""Least privilege of the engine's functions: one role each, one statement per purpose, exact actions and resources."""

import json
import re

import pytest

from tests.support.policies import decision
from tests.template.engine_model import (
    FUNCTION,
    PATH,
    POLICY,
    ROLE,
    all_statements,
    deployed,
    read_engine,
    statements,
)
from tests.template.model import actions
from treadle.engine.publish.bus_events import SOURCE

template = read_engine()
ROLES = template.resources(ROLE)
FUNCTIONS = template.resources(FUNCTION)
STATEMENTS = list(all_statements())
ROLE_OF = {name: function["Role"]["Fn::GetAtt"][0] for name, function in FUNCTIONS.items()}
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/treadle-main"
JOB_ROLE = "arn:aws:iam::{}:role/treadle/main/us-east-1/job/shop-LoadRole-1A2B"


def test_every_role_is_under_a_path_that_others_know_it_by() -> None:
    """Trust policies of jobs, and the bus's policy, name paths: a role's generated name, or its id, would not last."""
    paths = {name: role["Path"]["Fn::Sub"] for name, role in ROLES.items()}

    assert {paths[role] for role in ROLE_OF.values()} == {"/treadle/${EngineName}/${AWS::Region}/engine/"}
    assert paths["ScheduleRole"] == "/treadle/${EngineName}/${AWS::Region}/schedule/"
    assert "RoleName" not in str(ROLES)
    assert "ManagedPolicyName" not in str(template.resources(POLICY))


def test_no_policy_names_a_role_as_principal() -> None:
    """AWS would keep the role's unique id: a role that is made again under its name is another one."""
    principals = re.findall(r'"Principal": ({[^}]*}|"[^"]*")', json.dumps(template.section("Resources")))

    assert principals
    assert not [each for each in principals if "Role" in each or ":role/" in each]


def test_each_function_has_a_role_of_its_own() -> None:
    assert len(set(ROLE_OF.values())) == len(FUNCTIONS)


@pytest.mark.parametrize("holder", [*ROLES, *template.resources(POLICY)])
def test_each_purpose_is_stated_once(holder: str) -> None:
    sids = [statement["Sid"] for name, statement in STATEMENTS if name == holder]

    assert len(set(sids)) == len(sids) > 0


def test_actions_are_exact_and_known_to_iam() -> None:
    """No asterisk in what is allowed; SendMessage covers batches."""
    named = {action for _, statement in STATEMENTS for action in actions(statement)}
    allowed = [each for _, each in STATEMENTS if each["Effect"] == "Allow"]

    assert not [action for statement in allowed for action in actions(statement) if "*" in action]
    assert not [action for action in named if action.startswith("sqs:") and action.endswith("Batch")]


def test_every_asterisk_in_a_resource_has_its_reason_beside_it() -> None:
    """On the line, or within the three above it."""
    lines = PATH.read_text().splitlines()
    starred = [
        number
        for number, line in enumerate(lines)
        if "*" in line.partition("#")[0] and re.search(r"(NotResource|Resource):|^\s+- !Sub (arn|\$)", line)
    ]
    silent = [
        number + 1
        for number in starred
        if not any(" # " in line or line.lstrip().startswith("# ") for line in lines[number - 4 : number + 1])
    ]

    assert starred
    assert silent == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_writes_logs_to_the_engines_group_only(name: str) -> None:
    (logs,) = [each for each in statements(ROLE_OF[name]) if "logs:PutLogEvents" in actions(each)]

    assert sorted(actions(logs)) == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert "EngineLogs" in str(logs["Resource"])


# ---- Jobs


def may_assume(step: str, session: str, account: str = "123456789012", **given: str) -> str:
    """Return whether a step's function may assume a job's role under a session name."""
    found = statements(ROLE_OF[f"{step}Function"], deployed(**given))
    context = {"sts:RoleSessionName": [session], "aws:ResourceAccount": [account]}
    return decision(found, "sts:AssumeRole", JOB_ROLE.format(account), context)


def test_only_launch_assumes_a_jobs_role_to_start_it() -> None:
    """The role's statement that starts the job holds for sessions named launch."""
    assert may_assume("Launch", "launch") == "allowed"
    assert may_assume("Launch", "describe") == "implicitDeny"
    for step in ("Record", "Reconcile"):
        assert may_assume(step, "launch") == "implicitDeny"
        assert may_assume(step, "describe") == "allowed"
    for step in ("Dispatch", "Publish"):
        assert may_assume(step, "launch") == may_assume(step, "describe") == "implicitDeny"


def test_roles_of_jobs_are_assumed_in_the_given_accounts_only() -> None:
    """An entry of the registry that names a stranger's role would carry run configs out."""
    others = {"JobAccounts": "210987654321,333333333333"}

    assert may_assume("Launch", "launch", "210987654321", **others) == "allowed"
    assert may_assume("Launch", "launch", "123456789012", **others) == "allowed"
    assert may_assume("Launch", "launch", "444444444444", **others) == "implicitDeny"
    assert may_assume("Launch", "launch", "210987654321") == "implicitDeny"
    assert may_assume("Record", "describe", "210987654321", **others) == "allowed"
    assert may_assume("Record", "launch", "210987654321", **others) == "implicitDeny"


def test_a_role_beside_those_of_jobs_is_not_assumed() -> None:
    found = statements(ROLE_OF["LaunchFunction"])
    for path in (
        "treadle/main-eu/us-east-1/job/x",
        "treadle/main/eu-west-1/job/x",
        "treadle/main/us-east-1/x",
        "admin",
    ):
        resource = f"arn:aws:iam::123456789012:role/{path}"
        assert (
            decision(found, "sts:AssumeRole", resource, {"sts:RoleSessionName": ["launch"]}) == "implicitDeny"
        )


def test_engine_starts_nothing_by_its_own_permissions() -> None:
    """Whatever starts a job is in the job's role; Scheduler's role invokes sensors, as RECONCILE's does for batches."""
    starts = ("states:", "glue:", "batch:", "ecs:", "iam:", "lambda:")
    found = [
        (holder, action)
        for holder, statement in STATEMENTS
        for action in actions(statement)
        if action.startswith(starts) and holder in ROLE_OF.values()
    ]
    [invoking] = [each for each in statements("ReconcileRole") if each["Sid"] == "SensorsWithBatches"]
    [scheduled] = [each for each in statements("ScheduleRole") if each["Sid"] == "Sensors"]

    assert found == [("ReconcileRole", "lambda:InvokeFunction")]
    assert invoking == {**scheduled, "Sid": "SensorsWithBatches"}


def test_scheduler_invokes_sensors_of_this_engine_only() -> None:
    """A project's schedules pass this role; the engine's functions but RECONCILE are no sensors."""
    found = statements("ScheduleRole")
    function = "arn:aws:lambda:us-east-1:123456789012:function:shop-NewFiles-1A2B"

    def decided(**tags: str) -> str:
        context = {f"aws:ResourceTag/treadle:{name}": [value] for name, value in tags.items()}
        return decision(found, "lambda:InvokeFunction", function, context)

    assert decided(engine="main", sensor="new_files") == "allowed"
    assert decided(engine="main") == "implicitDeny"
    assert decided(engine="other", sensor="new_files") == "implicitDeny"
    assert decided() == "implicitDeny"
    (trust,) = ROLES["ScheduleRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


# ---- What RECONCILE notes beside the states of sensors


def test_reconcile_reads_states_of_sensors_and_writes_none() -> None:
    found = statements(ROLE_OF["ReconcileFunction"])
    sensors = "arn:aws:dynamodb:us-east-1:123456789012:table/SensorsTable"

    def decided(action: str, *keys: str) -> str:
        return decision(found, f"dynamodb:{action}", sensors, {"dynamodb:LeadingKeys": [*keys]})

    assert decided("BatchGetItem", "daily", "hourly") == "allowed"
    for key in ("#registry", "#engine", "#late"):
        assert decided("GetItem", key) == decided("PutItem", key) == "allowed"
    for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem"):
        assert decided(action, "daily") == "implicitDeny"


# ---- Events


def published(sources: list[str], step: str = "Publish") -> str:
    """Return the decision on one request with entries of these sources."""
    return decision(
        statements(ROLE_OF[f"{step}Function"]), "events:PutEvents", BUS, {"events:source": sources}
    )


@pytest.mark.parametrize("step", ["Dispatch", "Record", "Publish", "Reconcile"])
def test_engine_publishes_batches_as_itself_only(step: str) -> None:
    """A request has up to ten entries, each with its source: one of another source is one too many."""
    assert published([SOURCE] * 10, step) == "allowed"
    assert published(["other"], step) == "explicitDeny"
    assert published([SOURCE, "treadle.report"], step) == "explicitDeny"


def test_launch_publishes_nothing() -> None:
    assert published([SOURCE], "Launch") == "implicitDeny"


def on_bus(
    sources: list[str],
    principal: str,
    account: str = "123456789012",
    kind: str = "Asset Materialized",
    **given: str,
) -> str:
    """Return the decision of the bus's own policy."""
    policy = deployed(**given).value(template.resources("AWS::Events::EventBus")["Bus"]["Policy"])
    context = {
        "events:source": sources,
        "events:detail-type": [kind],
        "aws:PrincipalArn": [principal],
        "aws:PrincipalAccount": [account],
    }
    named = [
        each
        for each in policy["Statement"]
        if each["Principal"] == "*" or account in each["Principal"]["AWS"]
    ]
    return decision(named, "events:PutEvents", BUS, context)


ENGINE = "arn:aws:iam::123456789012:role/treadle/main/us-east-1/engine/x-PublishRole-1A2B"
FORGER = "arn:aws:iam::123456789012:role/forger"


def test_nobody_else_in_the_account_publishes_as_treadle() -> None:
    """Not even as one entry of several: forged materializations would start jobs."""
    assert on_bus([SOURCE], ENGINE) == "implicitDeny"  # what its identity allows counts
    assert on_bus([SOURCE], FORGER) == "explicitDeny"
    assert on_bus(["treadle.report", SOURCE], FORGER) == "explicitDeny"
    assert on_bus(["treadle.report"], FORGER) == "implicitDeny"
    assert on_bus([SOURCE], ENGINE.replace("/main/", "/other/")) == "explicitDeny"
    assert on_bus([SOURCE], "arn:aws:iam::123456789012:role/treadle/forward/x") == "implicitDeny"


def test_joined_accounts_publish_as_treadle_and_as_nobody_else() -> None:
    joined, stranger = "210987654321", "333333333333"
    role = f"arn:aws:iam::{joined}:role/any"

    assert on_bus([SOURCE, SOURCE], role, joined, JoinedAccounts=joined) == "allowed"
    assert on_bus([SOURCE], role, joined, "Asset Observed", JoinedAccounts=joined) == "allowed"
    assert on_bus([SOURCE], role, joined, "Sensor Paused", JoinedAccounts=joined) == "implicitDeny"
    assert on_bus([SOURCE, "treadle.report"], role, joined, JoinedAccounts=joined) == "implicitDeny"
    assert (
        on_bus([SOURCE], f"arn:aws:iam::{stranger}:role/any", stranger, JoinedAccounts=joined)
        == "implicitDeny"
    )


# ---- Stores


REGISTRY = "arn:aws:dynamodb:us-east-1:123456789012:table/SensorsTable"


def on_sensors(step: str, action: str, *keys: str) -> str:
    context = {"dynamodb:LeadingKeys": list(keys)} if keys else {}
    return decision(statements(ROLE_OF[f"{step}Function"]), f"dynamodb:{action}", REGISTRY, context)


def test_functions_read_the_registrys_copy_and_only_reconcile_writes_it() -> None:
    for step in ("Dispatch", "Launch", "Record", "Reconcile"):
        assert on_sensors(step, "GetItem", "#registry") == "allowed"
        assert on_sensors(step, "GetItem", "new_files") == "implicitDeny"
    for step in ("Dispatch", "Launch", "Record", "Publish"):
        assert on_sensors(step, "PutItem", "#registry") == "implicitDeny"
    assert on_sensors("Reconcile", "PutItem", "#registry") == "allowed"
    assert on_sensors("Reconcile", "PutItem", "new_files") == "implicitDeny"
    assert on_sensors("Reconcile", "PutItem") == "explicitDeny"
    assert on_sensors("Publish", "GetItem", "#registry") == "implicitDeny"


def test_only_reconcile_lists_what_projects_have_registered() -> None:
    listing = [
        (holder, each["Resource"])
        for holder, each in STATEMENTS
        if "ssm:GetParametersByPath" in actions(each)
    ]

    assert listing == [
        (
            "ReconcileRole",
            [
                "arn:aws:ssm:us-east-1:123456789012:parameter/treadle/main",
                "arn:aws:ssm:us-east-1:123456789012:parameter/treadle/main/*",
            ],
        )
    ]


def test_only_publish_numbers_the_ends_of_runs() -> None:
    events = "arn:aws:dynamodb:us-east-1:123456789012:table/EventsTable"
    for step in ("Dispatch", "Record", "Reconcile"):
        found = statements(ROLE_OF[f"{step}Function"])
        assert (
            decision(found, "dynamodb:PutItem", events, {"dynamodb:LeadingKeys": ["summaries"]}) == "allowed"
        )
        assert (
            decision(found, "dynamodb:PutItem", events, {"dynamodb:LeadingKeys": ["#ended/load"]})
            == "explicitDeny"
        )
    found = statements(ROLE_OF["PublishFunction"])
    assert decision(found, "dynamodb:PutItem", events, {"dynamodb:LeadingKeys": ["#ended/load"]}) == "allowed"
    assert (
        decision(found, "dynamodb:PutItem", events, {"dynamodb:LeadingKeys": ["summaries"]}) == "implicitDeny"
    )
    assert decision(found, "dynamodb:PutItem", events, {}) == "explicitDeny"


def test_keys_are_usable_where_they_are_given_only() -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0000"
    for holder in [*ROLE_OF.values(), "EvaluatorPolicy"]:
        assert decision(statements(holder), "kms:Decrypt", key, {}) == "implicitDeny"
        assert decision(statements(holder, deployed(KmsKeyArns=key)), "kms:Decrypt", key, {}) == "allowed"


def test_traces_are_allowed_where_they_are_sent_only() -> None:
    for holder in ROLE_OF.values():
        assert decision(statements(holder), "xray:PutTraceSegments", "*", {}) == "implicitDeny"
        debug = statements(holder, deployed(Monitoring="debug"))
        assert decision(debug, "xray:PutTraceSegments", "*", {}) == "allowed"
