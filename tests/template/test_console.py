"""The console: deployed with an issuer only, closed but for the page, and with the rights of an operator."""

from typing import Any

import pytest

from tests.support.policies import ACCOUNT, REGION, STACK, Deployed
from tests.template.model import ROOT, actions, logical_prefix, read, references

template = read()
ROUTES = template.resources("AWS::ApiGatewayV2::Route")
EVALUATORS = template.evaluators()
QUEUES = template.resources("AWS::SQS::Queue")
DEPLOYED = Deployed(template, {})
STEPS = ("Dispatch", "Launch", "Record", "Publish")
OPEN = {"GET /", "GET /{proxy+}"}


def statement(sid: str) -> dict[str, Any]:
    """What the console's role may do for one purpose."""
    [found] = [each for each in template.allowed("ConsoleRole") if each["Sid"] == sid]
    return found


def test_it_is_deployed_with_an_issuer() -> None:
    given = {"Fn::Not": [{"Fn::Equals": [{"Ref": "ConsoleIssuer"}, ""]}]}

    assert template.section("Conditions")["ConsoleIsOn"] == given


def test_without_issuer_nothing_of_it_is_deployed() -> None:
    parts = {**template.section("Resources"), **template.section("Outputs")}
    own = {name: body.get("Condition") for name, body in parts.items() if name.startswith("Console")}

    assert len(own) >= 12
    assert set(own.values()) == {"ConsoleIsOn"}
    assert [
        name for name, body in parts.items() if "ApiGateway" in body.get("Type", "") and name not in own
    ] == []


def test_an_issuer_comes_with_audience_and_client_and_roles_differ() -> None:
    """Otherwise API Gateway would take the tokens of every client, or every viewer be an operator."""
    rules = template.section("Rules")
    [together] = rules["ConsoleKnowsWhoseTokensItTakes"]["Assertions"]
    [different] = rules["ConsoleTellsOperatorsFromViewers"]["Assertions"]

    either = together["Assert"]["Fn::Or"]
    assert all(references(each) == {"ConsoleIssuer", "ConsoleAudience", "ConsoleClientId"} for each in either)
    assert references(different["Assert"]) == {"ConsoleViewerRole", "ConsoleOperatorRole"}


def test_everything_but_the_page_is_behind_the_authorizer() -> None:
    """Whose path is the more special; and what no authorizer has seen can only be read."""
    closed = {route["RouteKey"]: route for route in ROUTES.values() if route["AuthorizationType"] == "JWT"}
    rest = {route["RouteKey"]: route["AuthorizationType"] for route in ROUTES.values()}.items()

    assert closed.keys() == {"ANY /api/{proxy+}"}
    assert [route["AuthorizerId"] for route in closed.values()] == [{"Ref": "ConsoleSignIn"}]
    assert {key for key, kind in rest if kind == "NONE"} == OPEN
    assert len(ROUTES) == len(closed) + len(OPEN)


def test_the_authorizer_checks_issuer_and_audience_of_the_token_that_the_function_reads() -> None:
    [authorizer] = template.resources("AWS::ApiGatewayV2::Authorizer").values()

    assert authorizer["AuthorizerType"] == "JWT"
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    assert authorizer["JwtConfiguration"] == {
        "Issuer": {"Ref": "ConsoleIssuer"},
        "Audience": [{"Ref": "ConsoleAudience"}],
    }


def test_only_its_own_api_may_invoke_it() -> None:
    [permission] = [
        each
        for each in template.resources("AWS::Lambda::Permission").values()
        if each["FunctionName"] == {"Ref": "ConsoleFunction"}
    ]

    assert permission["SourceArn"]["Fn::Sub"].endswith(":${ConsoleApi}/*")


def test_events_come_as_the_function_reads_them() -> None:
    [integration] = template.resources("AWS::ApiGatewayV2::Integration").values()

    assert (integration["IntegrationType"], integration["PayloadFormatVersion"]) == ("AWS_PROXY", "2.0")


def test_no_other_origin_may_ask() -> None:
    [api] = template.resources("AWS::ApiGatewayV2::Api").values()

    assert "CorsConfiguration" not in api


def test_requests_are_bounded() -> None:
    [stage] = template.resources("AWS::ApiGatewayV2::Stage").values()

    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 50, "ThrottlingBurstLimit": 100}


def decision(action: str, service: str, name: str, **tags: str) -> str:
    """What IAM decides of a call of the console's on something that bears these tags."""
    context = {f"aws:ResourceTag/treadle:{key}": [value] for key, value in tags.items()}
    return DEPLOYED.decides("ConsoleRole", action, f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}", context)


@pytest.mark.parametrize(
    ("action", "service", "name"),
    [
        ("lambda:InvokeFunction", "lambda", "function:another-project-OrdersFunction-1X"),
        ("lambda:GetFunctionConfiguration", "lambda", "function:another-project-OrdersFunction-1X"),
        ("sqs:SendMessage", "sqs", "another-project-OrdersQueue-1X"),
        ("sqs:GetQueueAttributes", "sqs", "another-project-OrdersQueue-1X"),
    ],
)
def test_it_reaches_the_sensors_of_its_engine_whatever_their_project_and_nothing_else(
    action: str, service: str, name: str
) -> None:
    """Whoever may write an entry would otherwise lead an operator's click to any function or queue."""
    assert decision(action, service, name, engine=STACK, sensor="orders") == "allowed"
    assert decision(action, service, name, engine="another", sensor="orders") == "implicitDeny"
    assert decision(action, service, name, engine=STACK) == "implicitDeny", "a step of the engine"
    assert decision(action, service, name, sensor="orders") == "implicitDeny"
    assert decision(action, service, name) == "implicitDeny"


@pytest.mark.parametrize("name", EVALUATORS)
def test_each_sensor_bears_the_tags_by_which_it_is_reached(name: str) -> None:
    tags = {"treadle:engine": STACK, "treadle:sensor": name}
    queue = QUEUES.get(f"{logical_prefix(name)}Queue")

    assert DEPLOYED.value(EVALUATORS[name]["Tags"]) == tags
    if queue is not None:
        assert {each["Key"]: DEPLOYED.value(each["Value"]) for each in queue["Tags"]} == tags


def test_nothing_but_sensors_bears_the_tag_of_a_sensor() -> None:
    """The console may invoke what does."""
    of_sensors = {logical_prefix(name) for name in EVALUATORS}
    tagged = {
        name
        for name, body in template.section("Resources").items()
        if "treadle:sensor" in str(body.get("Properties", {}).get("Tags"))
    }

    assert tagged <= {f"{prefix}{end}" for prefix in of_sensors for end in ("Function", "Queue", "Role")}


def test_it_sends_to_each_queue_of_the_engine() -> None:
    assert references(statement("SendAgain")["Resource"]) == {f"{step}Queue" for step in STEPS}


@pytest.mark.parametrize("action", ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:GetItem"])
def test_it_reads_the_registry_and_never_writes_it(action: str) -> None:
    """A forged entry would let a sensor start any job."""
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/SensorsTable"
    decided = {
        key: DEPLOYED.decides("ConsoleRole", action, table, {"dynamodb:LeadingKeys": [key]})
        for key in ("#registry", "new_objects")
    }

    assert decided["new_objects"] == "allowed"
    assert decided["#registry"] == ("allowed" if action == "dynamodb:GetItem" else "explicitDeny")


def test_it_finds_schedules_and_mappings_by_what_they_invoke() -> None:
    listing = statement("SensorsSchedules")

    assert set(actions(listing)) == {"scheduler:ListSchedules", "lambda:ListEventSourceMappings"}
    assert listing["Resource"] == "*"


def test_it_invokes_no_step_of_the_engine_but_reconcile_which_takes_the_roles_of_jobs() -> None:
    invoking = [each for each in template.allowed("ConsoleRole") if "lambda:InvokeFunction" in actions(each)]

    assert [each["Sid"] for each in invoking] == ["SensorFunctions", "EngineCommands"]
    assert invoking[1]["Resource"] == {"Fn::GetAtt": ["ReconcileFunction", "Arn"]}


def test_it_starts_no_execution_itself() -> None:
    """It writes what LAUNCH then starts."""
    allowed = {action for each in template.allowed("ConsoleRole") for action in actions(each)}

    assert not allowed & {"states:StartExecution", "glue:StartJobRun", "batch:SubmitJob", "ecs:RunTask"}
    assert not allowed & {"events:PutEvents", "s3:PutObject", "dynamodb:DeleteItem", "dynamodb:Scan"}


def test_it_writes_sensors_runs_and_decisions_on_ticks_and_no_assets() -> None:
    writing = {
        each["Sid"]
        for each in template.allowed("ConsoleRole")
        if {"dynamodb:PutItem", "dynamodb:UpdateItem"} & set(actions(each))
    }

    assert writing == {"Sensors", "Runs", "Ticks"}
    [ticks] = [each for each in template.allowed("ConsoleRole") if each["Sid"] == "Ticks"]
    assert "dynamodb:PutItem" not in actions(ticks)


def test_its_handler_is_a_handler_and_nothing_else() -> None:
    lines = (ROOT / "functions/engine/console/app.py").read_text().splitlines()

    assert len(lines) <= 60
