"""Alerts by e-mail, over SMTP or Amazon SES."""

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from html import escape
from ipaddress import ip_address
from typing import Protocol

from treadle.adapters.alerts import send_mail
from treadle.definitions.errors import AlertDelayedError, AlertError, DagsterInvalidDefinitionError
from treadle.definitions.run_status import Monitored, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.status import DefaultSensorStatus
from treadle.integrations.alerts.channels import AlertIf, alert_sensor, check
from treadle.integrations.alerts.formatting import (
    TextFunction,
    clip,
    clip_bytes,
    default_subject,
    event_name,
    event_time,
    failed_steps,
    one_line,
    run_link,
)
from treadle.integrations.alerts.http import READ_SECONDS, Remaining
from treadle.integrations.alerts.secrets import SecretText, redacted, reveal

PORTS = {"SSL": 465, "STARTTLS": 587, "NONE": 25}
SERVICES = ("smtp", "ses")
MAX_BODY_BYTES = 500_000
_MAX_CAUSE = 10_000
_MAX_SUBJECT = 200


def email_body(context: RunFailureSensorContext) -> str:
    """Return the default body, in HTML, with all values from the run escaped.

    Args:
        context: of the failed run.
    """
    run = context.dagster_run
    lines = [
        f"Job {escape(one_line(run.job_name, 200))} failed!",
        f"Run ID: {escape(run.run_id)}",
        f"Error: <pre>{escape(clip(context.failure_event.message, _MAX_CAUSE))}</pre>",
        *(escape(step) for step in failed_steps(context)),
    ]
    return "<br>\n".join(lines)


class MailTransport(Protocol):
    """A service that sends e-mails."""

    def send_message(self, mail: "Mail", remaining: Remaining) -> str:
        """Send an e-mail; return a message about recipients that it will not reach, or "".

        Raises:
            AlertError: if it was rejected.
        """


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail.

    Attributes:
        sender: the sender's address.
        to: the recipients' addresses.
        subject: in one line.
        html: the body.
        name: the same in a redelivery of the event.
        date: when the run failed, in the format of an e-mail header.
    """

    sender: str
    to: tuple[str, ...]
    subject: str
    html: str
    name: str
    date: str


@dataclass(frozen=True, slots=True)
class Ses:
    """Amazon SES; the function needs `ses:SendEmail`, the sender's address or domain must be verified."""

    def send_message(self, mail: Mail, remaining: Remaining) -> str:
        """Send it; the SDK has its own timeouts and retries."""
        del remaining
        send_mail(mail.sender, mail.to, mail.subject, mail.html)
        return ""


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server.

    Attributes:
        host: its name.
        port: its port.
        kind: "SSL", "STARTTLS" or "NONE".
        user: the login name.
        password: None for a server without login.
    """

    host: str
    port: int
    kind: str
    user: str
    password: SecretText | None = field(repr=False)

    def send_message(self, mail: Mail, remaining: Remaining) -> str:
        """Send it; refused recipients do not keep it from the others."""
        secrets = [reveal(self.password)] if self.password else []
        problem: AlertError
        try:
            return self._sent(mail, secrets, min(READ_SECONDS, max(0.1, remaining())))
        except ssl.SSLCertVerificationError as error:
            problem = AlertError(f"it shows a certificate that is not trusted: {error.verify_message}")
        except smtplib.SMTPRecipientsRefused as error:
            problem = _refusal(*next(iter(error.recipients.values())))
        except smtplib.SMTPResponseException as error:
            problem = _refusal(error.smtp_code, error.smtp_error)
        except smtplib.SMTPNotSupportedError as error:
            problem = AlertError(str(error))
        except OSError as error:
            problem = AlertDelayedError(f"it gave no answer: {type(error).__name__}: {error}")
        except ValueError:
            # Its own message shows the malformed value, such as a password.
            problem = AlertError("an address, the subject or the password is malformed")
        text = " ".join(redacted(str(problem), secrets).split())[:500]
        raise type(problem)(f"The mail server {self.host}:{self.port} did not accept the e-mail: {text}")

    def _sent(self, mail: Mail, secrets: list[str], timeout: float) -> str:
        """Send it, and return the recipients that the server refused."""
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"] = mail.sender, ", ".join(mail.to)
        message["Subject"], message["Date"] = mail.subject, mail.date
        domain = parseaddr(mail.sender)[1].rpartition("@")[2] or "localhost"
        message["Message-ID"] = f"<{mail.name}@{domain}>"
        message.set_content(mail.html, subtype="html")
        tls = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(self.host, self.port, timeout=timeout, context=tls)
            if self.kind == "SSL"
            else smtplib.SMTP(self.host, self.port, timeout=timeout)
        )
        try:
            if self.kind == "STARTTLS":
                server.starttls(context=tls)
            for password in secrets:
                server.login(self.user, password)
            refused = server.send_message(message)
            # The server has accepted it; an error at the end of the session changes nothing.
            with suppress(OSError):
                server.quit()
        finally:
            server.close()
        return "; ".join(f"{address}: {_refusal(*answer)}" for address, answer in refused.items())


def _refusal(code: int, reply: bytes | str) -> AlertError:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    kind = AlertDelayedError if 400 <= code < 500 else AlertError
    return kind(f"{code} {text}")


@dataclass(frozen=True, slots=True)
class EmailChannel:
    """E-mails to some people.

    Attributes:
        sender: the sender's address.
        to: the recipients' addresses.
        transport: sends them.
        body_fn: the body, in HTML.
        subject_fn: the subject.
        webserver_base_url: the base of a link to the run.
    """

    sender: str
    to: tuple[str, ...]
    transport: MailTransport
    body_fn: TextFunction = email_body
    subject_fn: TextFunction = default_subject
    webserver_base_url: str | None = None

    @property
    def name(self) -> str:
        """Its name in logs and errors."""
        return f"e-mail to {', '.join(self.to)}"

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Send the e-mail.

        Raises:
            AlertError: if it was rejected.
        """
        html = clip_bytes(self.body_fn(context), MAX_BODY_BYTES)
        link = run_link(context, self.webserver_base_url)
        if link is not None:
            html += f'\n<p><a href="{escape(link.url)}">{escape(link.label)}</a></p>'
        subject = one_line(self.subject_fn(context), _MAX_SUBJECT)
        date = format_datetime(event_time(context))
        mail = Mail(self.sender, self.to, subject, html, event_name(context), date)
        unreached = self.transport.send_message(mail, remaining)
        if unreached:
            context.log.warning("The mail server did not accept all addresses: %s", unreached)


def make_email_on_run_failure_sensor(
    email_from: str,
    email_password: SecretText | None = None,
    email_to: Sequence[str] = (),
    email_body_fn: TextFunction = email_body,
    email_subject_fn: TextFunction = default_subject,
    smtp_host: str = "smtp.gmail.com",
    smtp_type: str = "SSL",
    smtp_port: int | None = None,
    smtp_user: str | None = None,
    name: str | None = None,
    webserver_base_url: str | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    job_selection: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool = False,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    monitor_all_repositories: bool | None = None,
    *,
    service: str = "smtp",
    alert_if: AlertIf | None = None,
) -> RunFailureSensorDefinition:
    """Make a sensor that sends an e-mail for each monitored run that fails.

    Args:
        email_from: the sender's address.
        email_password: the mail server's password, preferably a `Secret`; None for SES, and for a server
            without login.
        email_to: the recipients' addresses.
        email_body_fn: the body, in HTML; its return value is not escaped.
        email_subject_fn: the subject; reduced to one line of at most 200 characters.
        smtp_host: the mail server.
        smtp_type: the kind of connection: "SSL", "STARTTLS", or "NONE", with which a password is sent only to
            the local machine.
        smtp_port: the server's port; by default 465 for SSL, 587 for STARTTLS, 25 for NONE.
        smtp_user: the login name; by default the sender's address.
        name: the sensor's name; by default `email_on_run_failure`.
        webserver_base_url: base of the link `/runs/<run id>`; by default, the link leads to the
            execution in the AWS console.
        monitored_jobs: as in `@run_status_sensor`.
        job_selection: a former name of `monitored_jobs`.
        monitor_all_code_locations: as in `@run_status_sensor`.
        default_status: whether it is evaluated before an operator has started it.
        monitor_all_repositories: a former name of `monitor_all_code_locations`.
        service: "smtp", or "ses", which needs no server and no password.
        alert_if: given the context, whether to send an alert for the run, such as `unless_retried`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid; also for an invalid `smtp_type`, which
            Dagster detects only when the first run has failed.
    """
    name = name or "email_on_run_failure"
    check(name, email_from=email_from, email_to=email_to)
    to = (email_to,) if isinstance(email_to, str) else tuple(email_to)
    transport = _transport(
        name, service, smtp_type, smtp_host, smtp_port, smtp_user or email_from, email_password
    )
    return alert_sensor(
        EmailChannel(email_from, to, transport, email_body_fn, email_subject_fn, webserver_base_url),
        name=name,
        alert_if=alert_if,
        monitored_jobs=monitored_jobs,
        job_selection=job_selection,
        monitor_all_code_locations=monitor_all_code_locations,
        monitor_all_repositories=monitor_all_repositories,
        default_status=default_status,
    )


def _transport(
    name: str, service: str, kind: str, host: str, port: int | None, user: str, password: SecretText | None
) -> MailTransport:
    problem = ""
    if service not in SERVICES:
        problem = f'service is {service!r}, and must be "smtp" or "ses"'
    elif kind not in PORTS:
        problem = f'smtp_type is {kind!r}, and must be "SSL", "STARTTLS" or "NONE"'
    elif service == "ses" and password:
        problem = "SES needs no email_password: the role of the function permits sending"
    elif service == "smtp" and kind == "NONE" and password and not _is_own_machine(host):
        problem = f'smtp_type "NONE" would show {host} and all between the email_password; use "STARTTLS"'
    if problem:
        msg = f"Sensor {name!r} cannot work: {problem}."
        raise DagsterInvalidDefinitionError(msg)
    if service == "ses":
        return Ses()
    return Smtp(host, port or PORTS[kind], kind, parseaddr(user)[1] or user, password or None)


def _is_own_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
