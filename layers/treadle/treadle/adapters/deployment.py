"""An engine's sensors: from the registry, the functions' configuration, and their rules."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.adapters.stack import DeployedStack, describe_rule
from treadle.adapters.targets.errors import is_denied
from treadle.definitions.errors import CommandRefusedError, DeploymentError, InvocationError
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import DeployedSensor, LogLine, Subscription
from treadle.model.registry import Registry, SensorEntry

FRESH_SECONDS = 60
"""Time for which the deployed sensors are cached."""

LONGEST_SECONDS = 900
"""Maximum time for a function's response."""

_WORKERS = 10


class StackDeployment:
    """A `Deployment` on AWS.

    Args:
        stack: the engine's stack.
        registered: returns the current registry.
        ticking: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        stack: DeployedStack,
        registered: Callable[[], Registry],
        ticking: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stack = stack
        self._registered = registered
        self._ticking = ticking
        self._read: tuple[float, Mapping[str, DeployedSensor]] | None = None

    @property
    def name(self) -> str:
        """Return the stack's name."""
        return self._stack.name

    def sensors(self) -> Mapping[str, DeployedSensor]:
        """Return the sensors by name; they are read by several threads and cached for a minute."""
        now = self._ticking()
        if self._read is None or now - self._read[0] > FRESH_SECONDS:
            entries = self._registered().sensors
            client("lambda"), client("events")  # Created before several threads need them.
            with ThreadPoolExecutor(_WORKERS) as pool:
                found = pool.map(self._sensor, (entries[name] for name in sorted(entries)))
                self._read = now, {each.name: each for each in found}
        return self._read[1]

    def invoke(
        self, sensor: str, event: Mapping[str, object], *, seconds: int | None = None
    ) -> Mapping[str, object]:
        """Invoke the sensor's function and return its response."""
        function = self._known(sensor).function
        try:
            # No retries: a second request would evaluate twice.
            lambdas = client("lambda", once=True, seconds=seconds or LONGEST_SECONDS)
            answer = lambdas.invoke(FunctionName=function, Payload=json.dumps(event).encode())
            response = json.loads(answer["Payload"].read())
        except (ClientError, BotoCoreError, ValueError) as error:
            msg = f"The function of sensor {sensor} did not respond: {error}"
            raise InvocationError(msg, is_denied=is_denied(error)) from error
        if answer.get("FunctionError") or not isinstance(response, dict):
            message = response.get("errorMessage") or response if isinstance(response, dict) else response
            kind = response.get("errorType", "") if isinstance(response, dict) else ""
            reason = f"{kind}: {message}" if kind else str(message)
            msg = f"The function of sensor {sensor} failed: {reason}. See its log."
            raise InvocationError(msg, reason=reason)
        return response

    def logs(self, sensor: str, since: int, until: int | None = None) -> Iterator[LogLine]:
        """Yield the log lines of the sensor's function, page by page."""
        known = self._known(sensor)
        # In a project's group are the functions of its jobs, too, which no registry names.
        is_shared = known.log_group != f"/aws/lambda/{known.function}"
        options: dict[str, Any] = {} if until is None else {"endTime": until}
        try:
            pages = client("logs").get_paginator("filter_log_events")
            for page in pages.paginate(logGroupName=known.log_group, startTime=since, **options):
                for event in page["events"]:
                    # In a log group shared by functions, a stream's name contains the function's name between
                    # the date
                    # and the version in brackets (Lambda Developer Guide, "Configuring CloudWatch log
                    # groups").
                    if not is_shared or f"/{known.function}[" in event.get("logStreamName", ""):
                        yield _line(event)
        except (ClientError, BotoCoreError) as error:
            msg = f"The log of sensor {sensor} cannot be read: {error}"
            raise DeploymentError(msg) from error

    def _known(self, sensor: str) -> DeployedSensor:
        found = self.sensors().get(sensor)
        if found is None:
            known = ", ".join(self.sensors()) or "none"
            msg = f"Stack {self.name!r} has no sensor {sensor!r}; it has: {known}."
            raise CommandRefusedError(msg)
        return found

    def _sensor(self, entry: SensorEntry) -> DeployedSensor:
        registered = DeployedSensor(
            name=entry.name,
            kind=entry.kind,
            description="",
            jobs=tuple(sorted(entry.jobs)),
            default_status=DefaultSensorStatus.STOPPED,
            function=entry.function,
            queue=entry.queue or None,
            project=entry.project,
            rule=entry.rule,
            log_group=entry.log_group or f"/aws/lambda/{entry.function}",
            dead_letters=entry.dead_letters,
        )
        what = f"function {entry.function}"
        try:
            function = client("lambda").get_function_configuration(FunctionName=entry.function)
            what = f"rule {entry.rule}"
            subscription = self._subscription(entry) if entry.rule else None
        except (ClientError, BotoCoreError) as error:
            problem = f"Its {what} cannot be read: {error}"
            return replace(registered, problem=problem, remedy=_remedy(entry, error))
        settings = function.get("Environment", {}).get("Variables", {})
        interval = settings.get("TREADLE_INTERVAL_SECONDS", "")
        return replace(
            registered,
            description=function.get("Description", "").removeprefix(f"Sensor {entry.name}: "),
            default_status=_status(settings.get("TREADLE_DEFAULT_STATUS", "")),
            interval_seconds=int(interval) if interval.isdecimal() else None,
            subscription=subscription,
            settings=settings,
            role=function.get("Role", ""),
            deployed_at=_millis(function.get("LastModified", "")),
        )

    def _subscription(self, entry: SensorEntry) -> Subscription | None:
        """Return what a sensor's rule matches; None if the rule does not exist."""
        response = describe_rule(self._stack, entry.rule)
        if response is None:
            return None
        if entry.kind == "event":
            # Its pattern is of others' events, whose fields may have the same names.
            return Subscription(is_on=response.get("State") != "DISABLED")
        pattern = json.loads(response.get("EventPattern") or "{}")
        detail = pattern.get("detail", {})
        return Subscription(
            jobs=_texts(detail.get("job")),
            assets=_texts(detail.get("asset_key")),
            statuses=_texts(detail.get("status")),
            buckets=_texts(detail.get("bucket", {}).get("name")),
            is_on=response.get("State") != "DISABLED",
        )


def _line(event: Mapping[str, Any]) -> LogLine:
    """Convert a line of CloudWatch Logs; local clouds omit its event id."""
    at, text = event["timestamp"], event["message"].rstrip("\n")
    named = f"{event.get('logStreamName')}/{at}/{text}"
    return LogLine(event.get("eventId") or hashlib.sha256(named.encode()).hexdigest(), at, text)


def _remedy(entry: SensorEntry, error: ClientError | BotoCoreError) -> str:
    """Return what to do about a sensor that cannot be read."""
    if is_denied(error):
        return "Grant yourself lambda:GetFunctionConfiguration on its function and events:DescribeRule on its rule."
    if code_of(error) == "ResourceNotFoundException":
        return (
            f"Deploy project {entry.project} again. If the sensor is no longer needed, delete its "
            "entry in Parameter Store instead."
        )
    return "Try again."


def _status(text: str) -> DefaultSensorStatus:
    """Parse a default status of a function's environment; an invalid one means stopped."""
    try:
        return DefaultSensorStatus(text)
    except ValueError:
        return DefaultSensorStatus.STOPPED


def _millis(text: str) -> int | None:
    """Parse Lambda's time of the last update, as "2026-11-29T07:00:00.000+0000"; None if it is invalid."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def _texts(values: object) -> tuple[str, ...]:
    """Return the plain strings of a pattern's field."""
    return tuple(each for each in values if isinstance(each, str)) if isinstance(values, list) else ()
