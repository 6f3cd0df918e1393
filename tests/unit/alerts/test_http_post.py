"""Posting to a service: again where that helps, in the time there is, and never a trace of the secret."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.alerts import Service, server_tls, serving, shown
from treadle.definitions.errors import AlertDelayedError, AlertError
from treadle.integrations.alerts.http import Post, Remaining, Route

SECRET_PATH = "/hooks/T0P-SECRET?code=hush"


def left(seconds: float) -> Remaining:
    """Time that runs out."""
    ends = time.monotonic() + seconds
    return lambda: ends - time.monotonic()


def post(service: Service, **options: Any) -> Post:
    return Post("Pager", f"{service.url}{SECRET_PATH}", **options)


def test_json_is_posted_once_and_the_answer_given(service: Service) -> None:
    service.answer(202, "taken")

    answer = post(service, headers={"X-Team": "data"}).send({"text": "süß 🚂"}, left(5))

    [received] = service.received
    assert (answer, received.body, received.path) == ("taken", {"text": "süß 🚂"}, SECRET_PATH)
    assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    assert received.headers["X-Team"] == "data"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_service_that_has_too_much_to_do_is_queried_again(service: Service, status: int) -> None:
    service.answer(status)
    service.answer(200, "taken")

    assert post(service).send({"n": 1}, left(10)) == "taken"
    assert [received.body for received in service.received] == [{"n": 1}, {"n": 1}]
    assert service.received[1].at - service.received[0].at >= 0.5


def test_retry_after_is_waited_for(service: Service) -> None:
    service.answer(429, Retry_After="1")
    service.answer(503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True))
    service.answer(200)

    post(service).send({}, left(10))

    first, second, third = (received.at for received in service.received)
    assert 1 <= second - first < 2
    assert third - second >= 0.9


@pytest.mark.parametrize(("retry_after", "seconds"), [("2", 1.5), ("31", 3_600.0), ("86400", float("inf"))])
def test_wait_beyond_the_time_that_is_left_is_left_to_the_next_delivery(
    service: Service, retry_after: str, seconds: float
) -> None:
    service.answer(429, "slow down", Retry_After=retry_after)
    began = time.monotonic()

    with pytest.raises(AlertDelayedError, match=r"Pager answered 429: slow down \(tried 1 times"):
        post(service).send({}, left(seconds))

    assert time.monotonic() - began < 1
    assert len(service.received) == 1


def test_service_that_is_down_is_given_up_after_four_tries(service: Service) -> None:
    service.answer(500, "broken")

    with pytest.raises(AlertDelayedError, match="tried 4 times") as raised:
        post(service).send({}, left(30))

    assert raised.value.retryable
    assert len(service.received) == 4


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 413])
def test_what_is_refused_for_good_is_not_sent_again(service: Service, status: int) -> None:
    service.answer(status, "no\n such   hook " + "x" * 1_000)

    with pytest.raises(AlertError, match=f"^Pager answered {status}: no such hook x+$") as raised:
        post(service).send({}, left(5))

    assert (len(service.received), raised.value.retryable) == (1, False)
    assert len(str(raised.value)) < 350


def test_service_that_says_nothing_is_left_in_time(service: Service) -> None:
    service.answers = [None]
    began = time.monotonic()

    with pytest.raises(AlertDelayedError, match="gave no answer: TimeoutError"):
        post(service, route=Route(read_seconds=0.2)).send({}, left(1.8))

    assert time.monotonic() - began < 1.8
    assert len(service.received) == 2


def test_nobody_listens(service: Service) -> None:
    nobody = Post("Pager", "http://127.0.0.1:9/hush", ["hush"])

    with pytest.raises(AlertDelayedError, match="Pager gave no answer: ConnectionRefusedError"):
        nobody.send({}, left(0.2))


@pytest.mark.parametrize("status", [400, 500])
def test_secret_is_in_no_error_and_no_log(
    service: Service, status: int, everything_logged: pytest.LogCaptureFixture
) -> None:
    service.answer(status, f"bad token xoxb-hush at {service.url}{SECRET_PATH}, {SECRET_PATH}")
    posted = post(service, secrets=["xoxb-hush"], headers={"Authorization": "Bearer xoxb-hush"})

    with pytest.raises(AlertError) as raised:
        posted.send({}, left(0.9))

    texts = shown(raised.value) + everything_logged.text + repr(posted)
    assert "bad token *** at ***" in texts
    assert not {secret for secret in ("hush", "T0P-SECRET") if secret in texts}


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("hooks.slack.com/hush", "t"),
        ("ftp://x/hush", "t"),
        ("https://me:hush@x/y", "t"),
        ("http://127.0.0.1:9x/hush", "t"),
        ("{service}/a b\nhush", "t"),
        ("{service}/x", "hush\nhush"),
        ("{service}/x", "hush€"),
    ],
)
def test_malformed_secret_is_not_shown_either(service: Service, url: str, token: str) -> None:
    posted = Post("Pager", url.format(service=service.url), headers={"Authorization": token})

    with pytest.raises(AlertError, match="Pager: its address or a header is malformed") as raised:
        posted.send({}, left(5))

    assert "hush" not in shown(raised.value)
    assert service.received == []


class TestEncryption:
    def test_certificate_that_nobody_trusts_is_refused_at_once(self, localhost: Path) -> None:
        with (
            serving(server_tls(localhost)) as service,
            pytest.raises(AlertError, match="certificate that is not trusted") as raised,
        ):
            post(service).send({}, left(5))

        assert (service.received, raised.value.retryable) == ([], False)

    @pytest.mark.parametrize("trusting", [True, False])
    def test_trusted_authority_and_no_check_are_options(self, localhost: Path, trusting: bool) -> None:
        with serving(server_tls(localhost)) as service:
            verify = str(localhost) if trusting else False
            post(service, route=Route(verify=verify)).send({"n": 1}, left(5))

        assert [received.body for received in service.received] == [{"n": 1}]

    def test_proxy_of_http_receives_the_whole_address(self, service: Service) -> None:
        proxy = service.url.replace("http://", "http://me:word@")

        Post("Pager", "http://pager.invalid/hush", route=Route(http_proxy=proxy)).send({}, left(5))

        [received] = service.received
        assert received.path == "http://pager.invalid/hush"
        assert received.headers["Proxy-Authorization"] == "Basic bWU6d29yZA=="
