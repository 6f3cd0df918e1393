"""The console: deployed with an issuer only, closed but for the page, and with the rights of an operator."""

from typing import Any

import pytest

from tests.template.model import ROOT, actions, logical_prefix, read, references

template = read()
ROUTES = template.resources("AWS::ApiGatewayV2::Route")
EVALUATORS = template.evaluators()
FUNCTIONS = [f"{logical_prefix(name)}Function" for name in EVALUATORS]
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


@pytest.mark.parametrize(
    ("sid", "resources"),
    [
        ("SensorFunctions", set(FUNCTIONS)),
        (
            "SendAgain",
            {f"{step}Queue" for step in STEPS} | {f"{logical_prefix(name)}Queue" for name in EVALUATORS},
        ),
    ],
)
def test_it_reaches_each_sensor_and_nothing_else(sid: str, resources: set[str]) -> None:
    present = template.section("Resources").keys()

    assert references(statement(sid)["Resource"]) - {"AWS::NoValue"} == resources & present


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
