"""Access: by the start-up token, or by signing in at an issuer with the code flow and PKCE."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from aws_lambda_powertools.event_handler.exceptions import UnauthorizedError
from playwright.sync_api import Browser

from tests.console.world import World
from tests.support.browser import Visit, visiting
from tests.support.console import TOKEN, served
from tests.support.login import CLIENT_ID, Issuer, issuing
from treadle.console.app import Console
from treadle.console.static_token import Caller, Role


@dataclass
class Issued:
    """An `Access` that admits whoever has a token of the issuer, as an authorizer does."""

    issuer: Issuer

    @property
    def sign_in(self) -> Mapping[str, str]:
        return {"auth": "oidc", "issuer": self.issuer.url, "client_id": CLIENT_ID, "scope": "openid"}

    @property
    def origins(self) -> tuple[str, ...]:
        return (self.issuer.url,)

    def admit(self, headers: Mapping[str, str], context: Mapping[str, object]) -> Caller:
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.issuer.tokens:
            msg = "The token is not known."
            raise UnauthorizedError(msg)
        return Caller("ann", Role.OPERATOR)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


@pytest.fixture
def outside(browser: Browser, world: World, issuer: Issuer) -> Iterator[Visit]:
    """Somebody who has opened the console and has not signed in."""
    console = Console(lambda: world.stack.parts, Issued(issuer), world.instance.clock)
    with served(console) as server, visiting(browser, server.address) as visit:
        yield visit


def test_signing_in_leads_back_to_the_page_that_was_requested(outside: Visit, issuer: Issuer) -> None:
    outside.page.goto(f"{outside.address}#/map")
    outside.presses("Sign in")

    outside.sees_title("Map")
    assert "code=" not in outside.page.url
    assert len(issuer.tokens) == 1


def test_tokens_are_kept_for_this_tab_alone(outside: Visit, issuer: Issuer) -> None:
    outside.presses("Sign in")
    outside.sees_title("Sensors")

    [token] = issuer.tokens
    assert token in outside.page.evaluate("JSON.stringify(sessionStorage)")
    assert token not in outside.page.evaluate("JSON.stringify(localStorage) + document.cookie")
    outside.page.reload()
    outside.sees_title("Sensors")
    assert len(issuer.tokens) == 1


def test_signing_out_forgets_the_token_and_notifies_the_issuer(outside: Visit, issuer: Issuer) -> None:
    outside.presses("Sign in")
    outside.sees_title("Sensors")

    outside.presses("Sign out")

    outside.page.get_by_role("button", name="Sign in").wait_for()
    assert issuer.signed_out == 1
    assert outside.page.evaluate("sessionStorage.length") == 0


def test_a_token_that_is_known_no_more_leads_to_the_sign_in(outside: Visit, issuer: Issuer) -> None:
    outside.presses("Sign in")
    outside.sees_title("Sensors")

    issuer.tokens.clear()

    outside.page.get_by_role("button", name="Sign in").wait_for()
    outside.refused(401)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": "another"}, "was not started in this tab"),
        ({"nonce": "another"}, "belongs to another sign-in"),
        ({"error": "access_denied"}, "refused the sign-in: access_denied"),
    ],
)
def test_an_answer_to_another_sign_in_lets_nobody_in(
    outside: Visit, issuer: Issuer, changes: dict[str, str], message: str
) -> None:
    issuer.changes = changes

    outside.presses("Sign in")

    outside.sees(message)
    outside.page.get_by_role("button", name="Sign in").wait_for()


def test_a_code_without_its_verifier_gives_no_token(outside: Visit, issuer: Issuer) -> None:
    """Whoever has caught the code in the address can do nothing with it."""
    outside.page.route(
        "**/token", lambda route: route.continue_(post_data=f"code={next(iter(issuer.codes))}")
    )

    outside.presses("Sign in")

    outside.sees("The issuer gave no token: invalid_grant")
    assert issuer.tokens == set()
    outside.refused(400)


def test_the_start_up_token_leaves_the_address_bar(visit: Visit) -> None:
    visit.sees_title("Sensors")

    assert TOKEN not in visit.page.url
    assert TOKEN not in visit.page.evaluate("JSON.stringify(localStorage) + document.cookie")


def test_without_the_start_up_token_the_page_says_where_it_is(browser: Browser, world: World) -> None:
    with served(world.console()) as server, visiting(browser, server.address) as visit:
        visit.sees("does not have the token of this console")
        visit.refused(401)


def test_a_page_that_is_opened_again_before_it_has_begun_still_has_the_token(
    browser: Browser, world: World
) -> None:
    with served(world.console()) as server, visiting(browser, server.address) as visit:
        visit.page.route("**/config.json", lambda route: route.abort())
        visit.page.goto(f"{server.address}#token={TOKEN}")
        visit.page.reload()
        visit.page.unroute("**/config.json")
        visit.complaints.clear()

        visit.page.reload()

        visit.sees_title("Sensors")


def test_no_link_signs_anyone_in_where_one_signs_in(outside: Visit, issuer: Issuer) -> None:
    issuer.tokens.add("the-token-of-somebody-else")
    outside.page.goto(f"{outside.address}#token=the-token-of-somebody-else")
    outside.page.reload()

    outside.page.get_by_role("button", name="Sign in").wait_for()
