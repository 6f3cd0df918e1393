"""Alerts by e-mail: what a real SMTP server, and SES, are given."""

import inspect
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from moto import mock_aws
from moto.sesv2.models import sesv2_backends

from tests.support.alerts import RUN_ID, failed_context, server_tls, shown
from treadle import DagsterInvalidDefinitionError, JobDefinition, RunFailureSensorDefinition
from treadle.adapters import clients
from treadle.definitions.errors import AlertDelayedError, AlertError
from treadle.definitions.runs import StepFailure
from treadle.integrations.alerts.mail import make_email_on_run_failure_sensor

PASSWORD = "T0P-SECRET"
SENDER, PEOPLE = "Data <data@example.com>", ["a@example.com", "b@example.com"]


class Post:
    """A mail server's rules and what it has taken."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], EmailMessage]] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.refusals: dict[str, str] = {}
        self.password = PASSWORD.encode()
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append((envelope.rcpt_tos, message))
        return "250 OK"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login, given.password))
        return AuthResult(success=given.password == self.password, handled=False)

    def body(self) -> str:
        [(_, message)] = self.taken
        return str(message.get_content())


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def mail_server(**options: Any) -> Iterator[Post]:
    post = Post()
    post.port = free_port()
    controller = Controller(
        post, "127.0.0.1", post.port, authenticator=post.authenticate, ready_timeout=20, **options
    )
    controller.start()
    try:
        yield post
    finally:
        controller.stop()


@pytest.fixture
def plain() -> Iterator[Post]:
    """A mail server that speaks without encryption."""
    with mail_server(auth_require_tls=False) as post:
        yield post


def by(post: Post, **options: Any) -> RunFailureSensorDefinition:
    """Return the sensor that sends over that server, unencrypted unless a test says otherwise."""
    given = {"smtp_host": "localhost", "smtp_type": "NONE", "smtp_port": post.port, **options}
    return make_email_on_run_failure_sensor(SENDER, given.pop("email_password", None), PEOPLE, **given)


class TestMessage:
    def test_default_reports_job_run_error_and_steps(self, plain: Post) -> None:
        steps = (StepFailure("Load", "States.Timeout", "too slow"),)

        by(plain)(failed_context(steps=steps))

        [(to, message)] = plain.taken
        assert (to, message["From"], message["To"]) == (PEOPLE, SENDER, "a@example.com, b@example.com")
        assert message["Subject"] == "Run failed: load"
        assert message["Date"] == "Wed, 25 Nov 2026 06:00:00 +0000"
        assert message.get_content_type() == "text/html"
        assert plain.body().splitlines() == [
            "Job load failed!<br>",
            f"Run ID: {RUN_ID}<br>",
            "Error: <pre>Execution of run for &quot;load&quot; failed. States.TaskFailed: disk full</pre><br>",
            "Execution of step &quot;Load&quot; failed. States.Timeout: too slow",
        ]

    def test_same_event_has_the_same_message_id(self, plain: Post) -> None:
        for _ in range(2):
            by(plain)(failed_context())

        first, second = (message["Message-ID"] for _, message in plain.taken)
        assert first == second == f"<{RUN_ID}-1795586400000@example.com>"

    def test_external_text_is_no_html_and_no_headers(self, plain: Post) -> None:
        by(plain)(failed_context("x\r\nBcc: evil@example.com", "<script>alert('🚂')</script> \ud800"))

        [(to, message)] = plain.taken
        assert (to, message["Bcc"]) == (PEOPLE, None)
        assert message["Subject"] == "Run failed: x Bcc: evil@example.com"
        assert "&lt;script&gt;alert(&#x27;🚂&#x27;)&lt;/script&gt; ?" in plain.body()

    def test_functions_make_body_and_subject_and_the_link_follows(self, plain: Post) -> None:
        by(
            plain,
            email_body_fn=lambda context: f"<b>{context.run.job_name}</b>",
            email_subject_fn=lambda context: f"Oh no: {context.run.job_name} {'x' * 300}",
            webserver_base_url="https://runs.example.com",
        )(failed_context())

        link = f'<p><a href="https://runs.example.com/runs/{RUN_ID}">View run</a></p>'
        assert plain.body().splitlines() == ["<b>load</b>", link]
        assert len(plain.taken[0][1]["Subject"]) == 200

    def test_endless_cause_is_cut(self, plain: Post) -> None:
        by(plain)(failed_context(cause="<" * 1_000_000))

        assert 10_000 < len(plain.body()) < 50_000


class TestServers:
    @pytest.mark.parametrize("kind", ["SSL", "STARTTLS"])
    def test_password_is_given_over_an_encrypted_line(
        self, kind: str, localhost: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(localhost))
        how = {"SSL": "ssl_context", "STARTTLS": "tls_context"}[kind]
        with mail_server(**{how: server_tls(localhost)}, auth_require_tls=kind == "STARTTLS") as post:
            by(post, smtp_type=kind, email_password=PASSWORD)(failed_context())

        assert post.logins == [(b"data@example.com", PASSWORD.encode())]
        assert len(post.taken) == 1

    @pytest.mark.parametrize("kind", ["SSL", "STARTTLS"])
    def test_server_with_a_certificate_that_nobody_trusts_receives_nothing(
        self, kind: str, localhost: Path
    ) -> None:
        how = {"SSL": "ssl_context", "STARTTLS": "tls_context"}[kind]
        with (
            mail_server(**{how: server_tls(localhost)}, auth_require_tls=False) as post,
            pytest.raises(AlertError, match="certificate that is not trusted") as raised,
        ):
            by(post, smtp_type=kind, email_password=PASSWORD)(failed_context())

        assert (post.logins, post.taken, raised.value.retryable) == ([], [], False)

    def test_server_without_starttls_receives_nothing(self, plain: Post) -> None:
        with pytest.raises(AlertError, match="STARTTLS extension not supported"):
            by(plain, smtp_type="STARTTLS", email_password=PASSWORD)(failed_context())

        assert (plain.logins, plain.taken) == ([], [])

    def test_wrong_password_is_not_shown(
        self, plain: Post, everything_logged: pytest.LogCaptureFixture
    ) -> None:
        plain.password = b"another"
        sensor = by(plain, email_password=PASSWORD, smtp_user="me")

        with pytest.raises(AlertError, match=r"535 5\.7\.8 Authentication credentials invalid") as raised:
            sensor(failed_context())

        assert set(plain.logins) == {(b"me", PASSWORD.encode())}
        ours = "".join(r.getMessage() for r in everything_logged.records if not r.name.startswith("mail"))
        assert "T0P" not in shown(raised.value) + ours

    def test_one_refused_address_keeps_the_mail_from_nobody_else(
        self, plain: Post, everything_logged: pytest.LogCaptureFixture
    ) -> None:
        plain.refusals["a@example.com"] = "550 no such mailbox"

        by(plain)(failed_context())

        assert [to for to, _ in plain.taken] == [["b@example.com"]]
        assert "did not accept all addresses: a@example.com: 550 no such mailbox" in everything_logged.text

    @pytest.mark.parametrize(("answer", "kind"), [("550 no", AlertError), ("451 later", AlertDelayedError)])
    def test_refusal_of_all_says_whether_another_try_helps(
        self, plain: Post, answer: str, kind: type[AlertError]
    ) -> None:
        plain.refusals = dict.fromkeys(PEOPLE, answer)

        with pytest.raises(AlertError, match=f"did not accept the e-mail: {answer}") as raised:
            by(plain)(failed_context())

        assert type(raised.value) is kind

    def test_nobody_listens(self) -> None:
        post = Post()
        post.port = free_port()

        with pytest.raises(AlertDelayedError, match="gave no answer: ConnectionRefusedError"):
            by(post)(failed_context())

    def test_server_that_says_nothing_is_left_in_time(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            post = Post()
            post.port = silent.getsockname()[1]
            began = time.monotonic()
            with pytest.raises(AlertDelayedError, match=r"gave no answer: .*timed out"):
                by(post)(failed_context(seconds=0.5))

        assert time.monotonic() - began < 2


class TestSes:
    @pytest.fixture
    def ses(self) -> Iterator[Callable[[], list[Any]]]:
        """Gives the mails that SES has taken."""
        with mock_aws():
            clients.forget()
            boto3.client("sesv2").create_email_identity(EmailIdentity="example.com")
            yield lambda: list(sesv2_backends["123456789012"]["us-east-1"].core_backend.sent_messages)
            clients.forget()

    def test_mail_needs_no_server_and_no_password(self, ses: Callable[[], list[Any]]) -> None:
        make_email_on_run_failure_sensor(email_from=SENDER, email_to=PEOPLE, service="ses")(failed_context())

        [mail] = ses()
        assert (mail.source, mail.destinations["ToAddresses"]) == (SENDER, PEOPLE)
        assert mail.subject == "Run failed: load"
        assert mail.body.startswith("Job load failed!<br>")

    def test_sender_that_is_not_verified_is_refused_with_the_message_of_ses(
        self, ses: Callable[[], list[Any]]
    ) -> None:
        with pytest.raises(
            AlertError, match=r"SES did not accept the e-mail from x@other\.org: .*not verified"
        ):
            make_email_on_run_failure_sensor("x@other.org", email_to=PEOPLE, service="ses")(failed_context())


class TestDefinition:
    def test_arguments_and_defaults_are_dagsters(self) -> None:
        parameters = inspect.signature(make_email_on_run_failure_sensor).parameters

        sensor = make_email_on_run_failure_sensor("no-reply@example.com", "fake", ["xxx@example.com"])

        assert list(parameters)[:-2] == [
            "email_from",
            "email_password",
            "email_to",
            "email_body_fn",
            "email_subject_fn",
            "smtp_host",
            "smtp_type",
            "smtp_port",
            "smtp_user",
            "name",
            "webserver_base_url",
            "monitored_jobs",
            "job_selection",
            "monitor_all_code_locations",
            "default_status",
            "monitor_all_repositories",
        ]
        assert (sensor.name, sensor.default_status.value) == ("email_on_run_failure", "STOPPED")
        assert (parameters["smtp_host"].default, parameters["smtp_type"].default) == ("smtp.gmail.com", "SSL")
        assert sensor.description == "Reports each failed run by e-mail to xxx@example.com."

    def test_options_are_handed_on(self) -> None:
        load = JobDefinition("load")

        sensor = by(Post(), name="mine", job_selection=[load])

        assert (sensor.name, sensor.monitored_jobs) == ("mine", (load,))

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"smtp_type": "TLS"}, "smtp_type is 'TLS'"),
            ({"service": "pigeon"}, "service is 'pigeon'"),
            ({"service": "ses", "email_password": "x"}, "SES needs no email_password"),
            ({"smtp_host": "mail.example.com", "email_password": "x"}, "would show mail.example.com"),
        ],
    )
    def test_what_cannot_work_is_refused_when_it_is_defined(
        self, options: dict[str, Any], expected: str
    ) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match=expected):
            by(Post(), **options)

    def test_nobody_to_write_to_is_refused(self) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match="email_from, email_to must not be empty"):
            make_email_on_run_failure_sensor("", "x", [])
