"""The stacks beside an engine: its console, and the forwarding of its events. Both have it from its contract."""

import re
from typing import Any

import pytest

from tests.support.policies import Deployed, decision
from tests.template.engine_model import FOLDER, ROLE, deployed, read_engine, template_at
from tests.template.model import actions
from tests.template.shared import accepts
from treadle.engine.publish.bus_events import ASSET_MATERIALIZED, ASSET_OBSERVED, RUN_STATUS_CHANGED
from treadle.model.contract import PARTS
from treadle.operate.limits import INLINE, PARAMETERS, exceeded, measure

CONSOLE, FORWARD = template_at(FOLDER / "console.yaml"), template_at(FOLDER / "forward.yaml")
BOTH = {"console": CONSOLE, "forward": FORWARD}
CONTRACT = str(deployed().value(read_engine().resources("AWS::SSM::Parameter")["Contract"]["Value"]))
SIGN_IN = {
    "Issuer": "https://login.example.com",
    "Audience": "treadle",
    "ClientId": "treadle",
    "RequiredScope": "treadle/operate",
}
ROUTES = CONSOLE.resources("AWS::ApiGatewayV2::Route")
ACCOUNT = "us-east-1:123456789012"


class _Contract(Deployed):
    """A stack beside the engine, with the engine's contract."""

    def _ref(self, name: str) -> Any:
        return CONTRACT.split(",") if name == "Engine" else super()._ref(name)


console, forward = (
    _Contract(CONSOLE, SIGN_IN),
    _Contract(FORWARD, {"ForwardToBusArn": "arn:aws:events:eu-west-1:210987654321:event-bus/x"}),
)


def decided(action: str, resource: str, **context: list[str]) -> str:
    """Return the decision on a call of the console."""
    return decision(console.statements("ConsoleRole"), action, resource, context)


@pytest.mark.parametrize("name", BOTH)
def test_parts_of_the_contract_are_taken_from_their_places(name: str) -> None:
    """The comment at the template's head says which are used."""
    text = (FOLDER / f"{name}.yaml").read_text()
    used = {int(place) for place in re.findall(r"!Select \[(\d+), !Ref Engine\]", text)}
    header = "".join(line for line in text.splitlines()[:12] if line.startswith("#"))

    assert used
    for place in used:
        assert re.search(rf"\b{place}\b", header), f"{place} {PARTS[place]}"
    assert max(used) < len(PARTS)


@pytest.mark.parametrize("name", BOTH)
def test_parameters_explain_themselves_and_defaults_are_within_bounds(name: str) -> None:
    template = BOTH[name]
    interface = template.section("Metadata")["AWS::CloudFormation::Interface"]
    grouped = [each for group in interface["ParameterGroups"] for each in group["Parameters"]]

    assert sorted(grouped) == sorted(template.section("Parameters")) == sorted(interface["ParameterLabels"])
    for parameter, body in template.section("Parameters").items():
        assert len(body["Description"]) > 20, parameter
        if parameter != "Engine":
            assert body["ConstraintDescription"]
            assert accepts(
                body,
                str(
                    body.get(
                        "Default", SIGN_IN.get(parameter, "arn:aws:events:eu-west-1:210987654321:event-bus/x")
                    )
                ),
            )


@pytest.mark.parametrize("name", BOTH)
def test_every_role_has_the_permissions_boundary(name: str) -> None:
    for role in BOTH[name].resources(ROLE).values():
        assert role["PermissionsBoundary"]["Fn::If"][0] == "HasPermissionsBoundary"


def test_console_is_far_from_each_limit() -> None:
    found = measure(CONSOLE.data, {"Engine": CONTRACT.replace("main", "e" * 32).split(","), **SIGN_IN})
    [policies] = [use.used for use in found if (use.limit, use.subject) == (INLINE, "ConsoleRole")]
    [parameters] = [use.used for use in found if use.limit is PARAMETERS]

    assert exceeded(found) == []
    assert policies < 7_000
    assert parameters <= 14


# ---- The API


def test_everything_but_the_page_is_behind_the_authorizer() -> None:
    closed = {route["RouteKey"]: route for route in ROUTES.values() if route["AuthorizationType"] == "JWT"}
    rest = {route["RouteKey"] for route in ROUTES.values() if route["AuthorizationType"] == "NONE"}

    assert closed.keys() == {"ANY /api/{proxy+}"}
    assert [route["AuthorizerId"] for route in closed.values()] == [{"Ref": "SignIn"}]
    assert rest == {"GET /", "GET /{proxy+}"}
    assert len(ROUTES) == 3


def test_a_required_scope_keeps_out_tokens_that_say_only_who_somebody_is() -> None:
    api = ROUTES["ApiRoute"]

    assert console.value(api)["AuthorizationScopes"] == ["treadle/operate"]
    assert "AuthorizationScopes" not in _Contract(CONSOLE, {**SIGN_IN, "RequiredScope": ""}).value(api)


def test_authorizer_checks_issuer_and_audience() -> None:
    [authorizer] = CONSOLE.resources("AWS::ApiGatewayV2::Authorizer").values()

    assert authorizer["AuthorizerType"] == "JWT"
    assert authorizer["JwtConfiguration"] == {"Issuer": {"Ref": "Issuer"}, "Audience": [{"Ref": "Audience"}]}
    assert "Default" not in CONSOLE.section("Parameters")["Issuer"]
    assert "Default" not in CONSOLE.section("Parameters")["Audience"]


def test_open_routes_are_bounded_more_tightly_than_the_api() -> None:
    """What they cost in a month of floods, they cost whoever owns the account."""
    [stage] = CONSOLE.resources("AWS::ApiGatewayV2::Stage").values()
    limits = stage["RouteSettings"]

    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == 50
    assert limits.keys() == {"GET /", "GET /{proxy+}"}
    assert sum(each["ThrottlingRateLimit"] for each in limits.values()) <= 25


def test_each_request_is_logged_with_who_made_it() -> None:
    [stage] = CONSOLE.resources("AWS::ApiGatewayV2::Stage").values()

    assert stage["AccessLogSettings"]["DestinationArn"] == {"Fn::GetAtt": ["AccessLogs", "Arn"]}
    for field in ("requestId", "routeKey", "status", "authorizer.claims.sub"):
        assert f"$context.{field}" in stage["AccessLogSettings"]["Format"]


def test_only_its_own_api_invokes_it_and_no_other_origin_calls_it() -> None:
    [permission] = CONSOLE.resources("AWS::Lambda::Permission").values()
    [api] = CONSOLE.resources("AWS::ApiGatewayV2::Api").values()

    assert permission["SourceArn"]["Fn::Sub"].endswith(":${Api}/*")
    assert "CorsConfiguration" not in api


# ---- Its role


def tags(**values: str) -> dict[str, list[str]]:
    return {f"aws:ResourceTag/treadle:{name}": [value] for name, value in values.items()}


@pytest.mark.parametrize("given", [{}, {"engine": "other", "sensor": "daily"}, {"sensor": "daily"}])
def test_it_reaches_nothing_that_an_entry_of_the_registry_could_make_up(given: dict[str, str]) -> None:
    """An entry may name the payment team's function or queue: without the engine's tag it is out of reach."""
    function, queue = f"arn:aws:lambda:{ACCOUNT}:function:pay", f"arn:aws:sqs:{ACCOUNT}:pay"

    assert decided("lambda:InvokeFunction", function, **tags(**given)) == "implicitDeny"
    assert decided("lambda:GetFunctionConfiguration", function, **tags(**given)) == "implicitDeny"
    assert decided("sqs:SendMessage", queue, **tags(**given)) == "implicitDeny"


def test_it_invokes_sensors_of_its_engine_and_no_step_but_reconcile() -> None:
    sensor, step = (f"arn:aws:lambda:{ACCOUNT}:function:{name}" for name in ("shop-Daily", "LaunchFunction"))
    reconcile = CONTRACT.split(",")[PARTS.index("reconcile_function")]

    assert decided("lambda:InvokeFunction", sensor, **tags(engine="main", sensor="daily")) == "allowed"
    assert decided("lambda:InvokeFunction", step, **tags(engine="main")) == "implicitDeny"
    assert decided("lambda:InvokeFunction", reconcile, **tags(engine="main")) == "allowed"
    assert decided("lambda:GetFunctionConfiguration", step, **tags(engine="main")) == "allowed"


def test_it_starts_no_job_and_assumes_no_role() -> None:
    allowed = {action for each in console.statements("ConsoleRole") for action in actions(each)}

    assert not allowed & {"states:StartExecution", "glue:StartJobRun", "batch:SubmitJob", "ecs:RunTask"}
    assert not allowed & {
        "sts:AssumeRole",
        "events:PutEvents",
        "s3:PutObject",
        "dynamodb:DeleteItem",
        "dynamodb:Scan",
    }
    assert not [action for action in allowed if "*" in action or action.endswith("MessageBatch")]


def test_it_writes_neither_the_registry_nor_the_engines_id() -> None:
    sensors = f"arn:aws:dynamodb:{ACCOUNT}:table/SensorsTable"

    def written(key: str) -> str:
        return decided("dynamodb:PutItem", sensors, **{"dynamodb:LeadingKeys": [key]})

    assert written("daily") == "allowed"
    assert {written(key) for key in ("#registry", "#engine", "#late")} == {"explicitDeny"}


def test_it_takes_dead_letters_of_its_engines_projects_and_of_no_sensors_queue() -> None:
    queue = f"arn:aws:sqs:{ACCOUNT}:shop-DeadLetters"

    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"):
        assert decided(action, queue, **tags(engine="main", sensor="dead-letters")) == "allowed"
        assert decided(action, queue, **tags(engine="other", sensor="dead-letters")) == "implicitDeny"
        assert decided(action, queue, **tags(engine="main", sensor="daily")) == "implicitDeny"


def test_it_searches_the_given_buckets_only() -> None:
    given = _Contract(CONSOLE, {**SIGN_IN, "WatchedBucketArns": "arn:aws:s3:::a,arn:aws:s3:::b"})
    found = list(given.statements("ConsoleRole"))

    assert decision(found, "s3:ListBucket", "arn:aws:s3:::b", {}) == "allowed"
    assert decision(found, "s3:ListBucket", "arn:aws:s3:::c", {}) == "implicitDeny"
    assert decided("s3:ListBucket", "arn:aws:s3:::a") == "implicitDeny"


# ---- Forwarding


def test_what_others_have_sent_is_not_forwarded() -> None:
    """Or two engines that forward to each other would send an event round for ever."""
    pattern = forward.value(FORWARD.resources("AWS::Events::Rule")["ForwardRule"]["EventPattern"])
    own = CONTRACT.split(",")[PARTS.index("namespace")]

    assert pattern["detail"] == {"namespace": [own], "origin": [own, {"exists": False}]}
    assert pattern["source"] == ["treadle"]
    assert pattern["detail-type"] == [RUN_STATUS_CHANGED, ASSET_MATERIALIZED, ASSET_OBSERVED]


def test_engine_lets_roles_that_forward_speak_for_other_engines() -> None:
    bus = read_engine().resources("AWS::Events::EventBus")["Bus"]["Policy"]
    denied = deployed().value(bus["Statement"])[0]["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    [role] = FORWARD.resources(ROLE).values()

    assert f"arn:aws:iam::123456789012:role{role['Path']}*" in denied
