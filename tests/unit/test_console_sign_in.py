"""Who comes into the deployed console: nobody whom API Gateway has not checked, nobody without a role."""

import base64
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from aws_lambda_powertools.event_handler.exceptions import ForbiddenError, UnauthorizedError

from tests.support.issuer import AUDIENCE, ISSUER, URL, authorized, token
from treadle.console.oidc import Issuer, OidcAuth
from treadle.console.static_token import Caller, Role

ACCESS = OidcAuth(ISSUER)


def admitted(given: str, context: Any = None, issuer: Issuer = ISSUER) -> Caller:
    """Whom a token lets in that the authorizer has checked."""
    found = authorized(given) if context is None else context
    return OidcAuth(issuer).admit({"authorization": f"Bearer {given}"}, found)


def test_an_operator_is_let_in_under_the_tokens_subject() -> None:
    assert admitted(token()) == Caller("ann", Role.OPERATOR)


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["treadle-viewer"], Role.VIEWER),
        (["treadle-viewer", "treadle-operator"], Role.OPERATOR),
        ("treadle-viewer", Role.VIEWER),
        ("treadle-operator", Role.OPERATOR),
    ],
)
def test_the_claim_gives_the_role(groups: object, role: Role) -> None:
    assert admitted(token(groups=groups)).role is role


@pytest.mark.parametrize(
    "groups",
    [
        None,
        [],
        "",
        ["staff"],
        ["TREADLE-OPERATOR"],
        ["staff treadle-operator"],
        "staff treadle-operator",
        "[treadle-operator]",
        {"treadle-operator": True},
        [["treadle-operator"]],
        7,
    ],
)
def test_without_a_known_role_nobody_is_let_in(groups: object) -> None:
    """Also where a group's name only contains that of another, as the authorizer's text would show it."""
    with pytest.raises(ForbiddenError, match="claim groups has neither treadle-viewer nor treadle-operator"):
        admitted(token(groups=groups))


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["treadle-operator"]}}),
        ("https://example.com/roles", {"https://example.com/roles": ["treadle-operator"]}),
        ("scope", {"scope": "openid treadle-operator"}),
        ("cognito:groups", {"cognito:groups": ["treadle-operator"]}),
    ],
)
def test_the_claim_may_be_any_that_issuers_use(claim: str, claims: dict[str, Any]) -> None:
    issuer = replace(ISSUER, role_claim=claim)

    assert admitted(token(groups=None, **claims), issuer=issuer).role is Role.OPERATOR


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"authorizer": None},
        {"authorizer": {}},
        {"authorizer": {"jwt": {}}},
        {"authorizer": {"jwt": {"claims": None}}},
        {"authorizer": {"jwt": {"claims": {}}}},
        {"authorizer": {"lambda": {"sub": "ann"}}},
        {"authorizer": {"iam": {"userArn": "arn:aws:iam::123456789012:user/ann"}}},
    ],
)
def test_nobody_is_let_in_whom_the_authorizer_has_not_checked(context: Any) -> None:
    """Not even with a token that is as it should be."""
    with pytest.raises(UnauthorizedError):
        admitted(token(), context)


def test_a_token_other_than_the_checked_one_is_refused() -> None:
    with pytest.raises(UnauthorizedError, match="not the one that API Gateway has verified"):
        admitted(token(sub="bob"), authorized(token()))


@pytest.mark.parametrize(
    "claims",
    [
        {"issuer": "https://evil.example"},
        {"issuer": f"{URL}/"},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another"]},
        {"aud": AUDIENCE[:-1]},
        {"expires_in": -120},
        {"exp": None},
        {"exp": "4102444800"},
        {"exp": float("nan")},
        {"sub": None},
        {"sub": ""},
        {"sub": "a" * 256},
    ],
)
def test_a_wrong_authorizer_lets_nobody_in(claims: dict[str, Any]) -> None:
    """What it should have checked is checked once more."""
    with pytest.raises(UnauthorizedError):
        admitted(token(**claims))


@pytest.mark.parametrize("claims", [{"aud": ["other", AUDIENCE]}, {"aud": None, "client_id": AUDIENCE}])
def test_a_token_may_have_several_audiences_or_cognitos_form(claims: dict[str, Any]) -> None:
    assert admitted(token(**claims)).role is Role.OPERATOR


@pytest.mark.parametrize("value", ["[]", "7", "null", "{", "[" * 100_000, '"x"'])
def test_what_is_no_token_is_refused(value: str) -> None:
    given = f"e30.{base64.urlsafe_b64encode(value.encode()).decode().rstrip('=')}.x"

    with pytest.raises(UnauthorizedError):
        admitted(given, authorized(token()))


@pytest.mark.parametrize("given", ["", "x", "a.b", "a.b.c.d", "e30.\u00e9.x", "e30.!!.x"])
def test_what_has_no_tokens_form_is_refused(given: str) -> None:
    with pytest.raises(UnauthorizedError):
        admitted(given, authorized(token()))


def test_the_page_receives_how_to_sign_in_and_no_secret() -> None:
    assert json.loads(json.dumps(ACCESS.sign_in)) == {
        "auth": "oidc",
        "issuer": URL,
        "client_id": "page",
        "scope": "openid",
    }


@pytest.mark.parametrize(
    ("token_origin", "origins"),
    [
        ("", ("https://login.example",)),
        ("https://login.example", ("https://login.example",)),
        ("https://sign-in.example", ("https://login.example", "https://sign-in.example")),
    ],
)
def test_the_page_connects_to_where_one_signs_in(token_origin: str, origins: tuple[str, ...]) -> None:
    assert OidcAuth(replace(ISSUER, token_origin=token_origin)).origins == origins


def test_a_token_is_let_in_for_as_long_as_clocks_may_differ() -> None:
    given = token(expires_in=-30)

    assert (
        OidcAuth(ISSUER, time.time).admit({"authorization": f"Bearer {given}"}, authorized(given)).name
        == "ann"
    )
