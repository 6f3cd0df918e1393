"""Least privilege: one role per function, one statement per purpose, exact actions and resources."""

from typing import Any

import pytest

from tests.template.model import FUNCTION, PATH, actions, logical_prefix, read, references, starred_resources
from treadle.adapters.dynamodb.runs import CLAIM_ATTRIBUTES
from treadle.definitions.assets import AssetKey
from treadle.definitions.errors import InvalidReportError
from treadle.engine.telling import REPORT_SOURCE, SOURCE
from treadle.ports.assets import ended_runs_key

template = read()
FUNCTIONS = template.resources(FUNCTION)
ROLES = template.resources("AWS::IAM::Role")
STATEMENTS = list(template.statements())
PRESENT = [(role, each) for role, each in STATEMENTS if "FormerJobArns" not in references(each["Resource"])]
"""What concerns the addresses that jobs have now; test_former_jobs.py is about those that they had."""
EVALUATORS = template.evaluators()
JOBS = template.jobs()
STATE_MACHINES = template.state_machines()
STARTS = {
    "states:StartExecution",
    "glue:StartJobRun",
    "batch:SubmitJob",
    "ecs:RunTask",
    "lambda:InvokeFunction",
    "sqs:SendMessage",
    "events:PutEvents",
    "iam:PassRole",
}
BUS = {
    "Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${AWS::StackName}-treadle"
}
LOCAL_CLOUD = {"StringNotEquals": {"aws:PrincipalAccount": "000000000000"}}


def role_of(function: dict[str, Any]) -> str:
    """The logical id of a function's role."""
    return str(function["Role"]["Fn::GetAtt"][0])


@pytest.mark.treadle
def test_no_role_has_a_managed_policy() -> None:
    """Every permission is readable in the template."""
    assert [name for name, role in ROLES.items() if "ManagedPolicyArns" in role] == []
    assert [name for name, function in FUNCTIONS.items() if "Policies" in function] == []


def test_no_two_functions_share_a_role() -> None:
    """Each function has a role of its own."""
    roles = [role_of(function) for function in FUNCTIONS.values()]

    assert len(set(roles)) == len(roles)


@pytest.mark.parametrize("role", ROLES)
def test_role_states_each_purpose_once(role: str) -> None:
    """One service may assume it, and each statement has a Sid that no other has."""
    (trust,) = ROLES[role]["AssumeRolePolicyDocument"]["Statement"]
    sids = [statement["Sid"] for name, statement in STATEMENTS if name == role]

    assert trust["Principal"].keys() == {"Service"}
    assert isinstance(trust["Principal"]["Service"], str)
    assert len(set(sids)) == len(sids) > 0


def test_roles_of_other_services_serve_this_account_only() -> None:
    """Scheduler and Step Functions may not be sent with these roles from another account."""
    for role in ROLES.values():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        if trust["Principal"]["Service"] != "lambda.amazonaws.com":
            assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_actions_are_exact() -> None:
    """No asterisk among actions."""
    assert [(role, s["Sid"]) for role, s in STATEMENTS if any("*" in action for action in actions(s))] == []


@pytest.mark.treadle
def test_every_asterisk_in_a_resource_has_its_reason_beside_it() -> None:
    """A comment on the line, or within the three lines above it in the same statement."""
    lines = PATH.read_text().splitlines()
    found = list(starred_resources())
    silent = []
    for number, text in found:
        start = next(n for n in range(number, -1, -1) if "Resource:" in lines[n])
        beside = [lines[number], *lines[start - 1 : number]]
        if not any(" # " in line or line.lstrip().startswith("# ") for line in beside):
            silent.append((number + 1, text))

    assert found
    assert silent == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_writes_logs_to_its_own_group_only(name: str) -> None:
    """It cannot write, create or read another group."""
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]
    granted = [
        s
        for s in template.allowed(role_of(FUNCTIONS[name]))
        if any(a.startswith("logs:") for a in actions(s))
    ]

    (logs,) = granted
    assert sorted(actions(logs)) == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert logs["Resource"] == {"Fn::GetAtt": [group, "Arn"]}


def test_traces_are_allowed_with_tracing_only() -> None:
    """X-Ray's statements depend on the parameter."""
    for role in ROLES.values():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if "xray" in str(statement):
                    assert statement["Fn::If"][0] == "TracingOn"


@pytest.mark.parametrize("sensor", EVALUATORS)
def test_evaluator_touches_its_own_sensor_and_ticks_only(sensor: str) -> None:
    """Keys are its own; nothing reads or writes across keys; calls that carry no key are denied."""
    role = role_of(EVALUATORS[sensor])
    tables = {"SensorsTable": {sensor, f"{sensor}#cursor"}, "TicksTable": {sensor}}
    (denied,) = [s for name, s in STATEMENTS if name == role and s["Sid"] == "NeverWithoutKey"]

    for table, keys in tables.items():
        granted = [s for s in template.allowed(role) if table in references(s["Resource"])]
        (statement,) = granted
        assert set(actions(statement)) <= {
            f"dynamodb:{action}"
            for action in ("GetItem", "BatchGetItem", "PutItem", "UpdateItem", "ConditionCheckItem")
        }
        leading = statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
        assert set(leading) == keys
        assert set(actions(statement)) <= set(actions(denied))
        assert table in references(denied["Resource"])
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {"Null": {"dynamodb:LeadingKeys": "true"}, **LOCAL_CLOUD}


def outcomes(keys: str) -> dict[str, Any]:
    """Objects of the bucket of outcomes, whether the stack has created it or taken it over."""
    bucket = {"Fn::If": ["CreateOutcomesBucket", {"Ref": "OutcomesBucket"}, {"Ref": "OutcomesBucketName"}]}
    return {"Fn::Sub": [f"arn:${{AWS::Partition}}:s3:::${{Bucket}}/{keys}", {"Bucket": bucket}]}


@pytest.mark.parametrize("sensor", EVALUATORS)
def test_evaluator_writes_outcomes_of_its_own_ticks_only(sensor: str) -> None:
    """One object for each evaluation, under the sensor's name; it reads none."""
    granted = [
        s
        for s in template.allowed(role_of(EVALUATORS[sensor]))
        if "OutcomesBucket" in references(s["Resource"])
    ]

    (statement,) = granted
    assert actions(statement) == ["s3:PutObject"]
    assert statement["Resource"] == outcomes(f"ticks/{sensor}/*")


def test_only_dispatch_reconcile_and_the_console_read_outcomes() -> None:
    """They read them, and write none."""
    evaluators = {role_of(function) for function in EVALUATORS.values()}
    others = [
        (role, s)
        for role, s in STATEMENTS
        if "OutcomesBucket" in references(s["Resource"]) and role not in evaluators
    ]

    assert {role for role, _ in others} == {
        role_of(FUNCTIONS[f"{step}Function"]) for step in ("Dispatch", "Reconcile", "Console")
    }
    for _, statement in others:
        assert actions(statement) == ["s3:GetObject"]
        assert statement["Resource"] == outcomes("ticks/*")


def reads_runs(role: str) -> None:
    """The role may read runs, by key or by an index of theirs, and neither write them nor read all."""
    read_runs, find_runs = [s for s in template.allowed(role) if "RunsTable" in references(s["Resource"])]

    assert actions(read_runs) == ["dynamodb:GetItem", "dynamodb:BatchGetItem"]
    assert actions(find_runs) == ["dynamodb:Query"]
    for indexes in find_runs["Resource"]["Fn::If"][1:]:
        names = [each["Fn::Sub"].rpartition("/index/")[2] for each in indexes]
        assert names == ["by_job", "by_job_end", "by_sensor"]


@pytest.mark.parametrize("sensor", EVALUATORS)
def test_evaluator_learns_of_runs_only_whether_they_can_start_again(sensor: str) -> None:
    """It reads three attributes by key, and writes no run; or it is let read runs by key and by index."""
    role = role_of(EVALUATORS[sensor])
    if any(s["Sid"] == "ReadRuns" for s in template.allowed(role)):
        reads_runs(role)
        return
    (known,) = [s for s in template.allowed(role) if "RunsTable" in references(s["Resource"])]
    (denied,) = [s for name, s in STATEMENTS if name == role and s["Sid"] == "NeverWholeRuns"]

    assert actions(known) == ["dynamodb:BatchGetItem"]
    assert known["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:Attributes": list(CLAIM_ATTRIBUTES)}
    }
    assert (denied["Effect"], denied["Action"], denied["Resource"]) == (
        "Deny",
        known["Action"],
        known["Resource"],
    )
    assert denied["Condition"] == {"Null": {"dynamodb:Attributes": "true"}, **LOCAL_CLOUD}


def test_only_launch_starts_jobs() -> None:
    """StartExecution is LAUNCH's, on exactly the configured state machines."""
    starting = [(role, s) for role, s in PRESENT if "states:StartExecution" in actions(s)]

    ((role, statement),) = starting
    assert role == role_of(template.named_functions()["launch"])
    assert references(statement["Resource"]) - {"AWS::NoValue"} == STATE_MACHINES


@pytest.mark.parametrize("job", JOBS)
def test_launch_may_start_each_job_at_its_address_and_nowhere_else(job: str) -> None:
    """Whatever the kind, an action that starts something names the job's own parameter, without an asterisk."""
    address = template.behind(JOBS[job]["arn"])
    starting = [
        s
        for s in template.allowed(role_of(template.named_functions()["launch"]))
        if STARTS & set(actions(s)) and address & references(s["Resource"])
    ]

    assert starting
    assert not [s for s in starting if "*" in str(s["Resource"])]


def test_launch_passes_roles_to_ecs_tasks_only() -> None:
    """A role that could be passed elsewhere would lend its rights to whoever may start that."""
    for _, statement in STATEMENTS:
        if "iam:PassRole" in actions(statement):
            assert statement["Condition"] == {
                "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
            }
            assert statement["Resource"].keys() == {"Ref"}


def test_reconcile_reads_two_indexes_and_no_table_as_a_whole() -> None:
    """What is late is found by the sparse indexes; a scan, or another index, it cannot even ask for."""
    allowed = template.allowed(role_of(FUNCTIONS["ReconcileFunction"]))
    querying = [s["Resource"] for s in allowed if "dynamodb:Query" in actions(s)]

    pending, watched = querying
    assert [each["Fn::Sub"].rpartition("/index/")[2] for each in pending["Fn::If"][1:]] == ["pending"] * 2
    assert "TicksTable" in references(pending)
    assert [each["Fn::Sub"].rpartition("/index/")[2] for each in watched["Fn::If"][1:]] == ["watched"] * 2
    assert not [s for s in allowed if "dynamodb:Scan" in actions(s)]


@pytest.mark.parametrize("function", ["launch", "record", "reconcile"])
def test_executions_of_every_job_can_be_looked_at(function: str) -> None:
    """LAUNCH, RECORD and RECONCILE describe executions of exactly the configured state machines."""
    role = role_of(template.named_functions()[function])
    (statement,) = [s for r, s in PRESENT if r == role and "states:DescribeExecution" in actions(s)]

    found = references(statement["Resource"])
    assert {name for name in found if not name.startswith("AWS::")} - {"Name"} == STATE_MACHINES


def test_reconcile_lists_executions_where_a_job_is_observed_only() -> None:
    """Of exactly the configured state machines; nobody else lists any."""
    [(role, statement)] = [each for each in STATEMENTS if "states:ListExecutions" in actions(each[1])]
    policies = template.resources("AWS::IAM::Role")[role]["Policies"]
    [conditional] = [
        each["Fn::If"]
        for each in policies[0]["PolicyDocument"]["Statement"]
        if each.get("Fn::If", [0, 0])[1] == statement
    ]

    assert role == "ReconcileRole"
    assert references(statement["Resource"]) - {"AWS::NoValue"} == STATE_MACHINES
    assert conditional[0] == "AnyStateMachineIsListed"
    assert template.section("Conditions")["AnyStateMachineIsListed"] == {
        "Fn::And": [{"Condition": "AnyStateMachineIsGiven"}, {"Condition": "AnyJobIsObserved"}]
    }


def test_status_changes_of_every_job_are_heard() -> None:
    """The rule's pattern names exactly the configured state machines."""
    pattern = template.resources("AWS::Events::Rule")["StateMachinesRule"]["EventPattern"]

    assert references(pattern) - {"AWS::NoValue"} == STATE_MACHINES


def test_only_evaluators_dispatch_reconcile_and_the_console_write_ticks() -> None:
    """Nobody else does; the console reads them, and notes on one that its operator has dropped what it waits for."""
    writers = {
        role
        for role, s in STATEMENTS
        if "TicksTable" in references(s["Resource"])
        and not set(actions(s)) <= {"dynamodb:GetItem", "dynamodb:Query"}
    }
    engine = ("DispatchFunction", "ReconcileFunction", "ConsoleFunction")

    assert writers == {role_of(each) for each in (*EVALUATORS.values(), *map(FUNCTIONS.__getitem__, engine))}


def test_only_those_who_tell_speak_as_treadle() -> None:
    """On the stack's own bus, and under Treadle's own source only; the example's job reports under its."""
    speaking = {
        role: statement
        for role, statement in STATEMENTS
        if statement["Effect"] == "Allow" and statement["Resource"] == BUS
    }
    silenced = {role: s for role, s in STATEMENTS if s["Sid"] == "NeverAsAnotherSource"}
    sources = {
        **dict.fromkeys(("DispatchRole", "RecordRole", "PublishRole", "ReconcileRole"), SOURCE),
        "SummarizeStateMachineRole": REPORT_SOURCE,
    }

    assert speaking.keys() == silenced.keys() == sources.keys()
    for role, statement in speaking.items():
        assert actions(statement) == ["events:PutEvents"]
        assert (silenced[role]["Effect"], silenced[role]["Resource"]) == ("Deny", BUS)
        assert silenced[role]["Condition"]["StringNotEquals"] == {
            "events:source": sources[role],
            **LOCAL_CLOUD["StringNotEquals"],
        }


@pytest.mark.parametrize("role", ["DispatchRole", "RecordRole", "ReconcileRole"])
def test_who_records_assets_touches_no_ends_of_runs(role: str) -> None:
    """Appending needs three actions; no asset's key begins as those of ended runs do."""
    (events,) = [s for s in template.allowed(role) if "EventsTable" in references(s["Resource"])]
    (denied,) = [s for name, s in STATEMENTS if name == role and s["Sid"] == "NeverEndedRuns"]

    assert set(actions(events)) == {f"dynamodb:{name}" for name in ("BatchGetItem", "PutItem", "UpdateItem")}
    assert (denied["Effect"], denied["Resource"]) == ("Deny", events["Resource"])
    assert set(actions(denied)) == set(actions(events))
    assert denied["Condition"] == {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": ["#ended/*"]}}
    assert ended_runs_key("any_job").startswith("#ended/")
    with pytest.raises(InvalidReportError):
        AssetKey(ended_runs_key("any_job"))


def test_publish_numbers_ended_runs_and_touches_no_asset() -> None:
    """Keys of ended runs only, and no call without a key; of runs it reads one at a time."""
    allowed = template.allowed("PublishRole")
    (numbers,) = [s for s in allowed if "EventsTable" in references(s["Resource"])]
    (runs,) = [s for s in allowed if "RunsTable" in references(s["Resource"]) and s["Sid"] != "RunsStream"]
    (denied,) = [s for role, s in STATEMENTS if role == "PublishRole" and s["Sid"] == "NeverWithoutKey"]

    assert numbers["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["#ended/*"]}}
    assert ended_runs_key("any_job").startswith("#ended/")
    assert (denied["Effect"], denied["Resource"]) == ("Deny", numbers["Resource"])
    assert set(actions(denied)) == set(actions(numbers))
    assert denied["Condition"] == {"Null": {"dynamodb:LeadingKeys": "true"}, **LOCAL_CLOUD}
    assert actions(runs) == ["dynamodb:GetItem"]


def test_dispatch_may_write_every_queue_it_fills() -> None:
    """A function's own queue URLs come with the permission to send.

    The console buries nothing: whoever asked is told what failed.
    """
    for name, function in template.treadle_functions().items():
        if name == "console":
            continue
        sent = {
            r
            for s in template.allowed(role_of(function))
            if "sqs:SendMessage" in actions(s)
            for r in references(s)
        }
        variables = template.environment(function)
        queues = [variables[v]["Ref"] for v in variables if v.endswith("QUEUE_URL")]
        assert set(queues) <= sent, name


@pytest.mark.parametrize("sensor", template.scheduled())
def test_schedules_may_tick_each_sensor_that_has_one(sensor: str) -> None:
    """Scheduler's role names each such evaluator, and only those."""
    (tick,) = [s for role, s in STATEMENTS if role == "ScheduleRole" and s["Sid"] == "TickSensors"]

    assert {"Fn::GetAtt": [f"{logical_prefix(sensor)}Function", "Arn"]} in tick["Resource"]
    assert len(tick["Resource"]) == len(template.scheduled())
