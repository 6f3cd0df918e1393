"""EventBridge events, for custom rules: at-least-once delivery, with the launch id in the detail."""

from typing import ClassVar

from treadle.adapters.system import SystemClock
from treadle.adapters.targets.errors import AwsError, not_started
from treadle.adapters.targets.fire_and_forget import FireAndForgetTarget
from treadle.adapters.targets.inputs import required
from treadle.definitions.errors import LaunchDelayedError, LaunchDeniedError, LaunchError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.publish.bus_events import SOURCE
from treadle.model.targets import Execution, JobSettings, Start

_UNKNOWN = {"InternalException"}
_AGAIN = {"InternalException", "InternalFailure", "ThrottlingException"}
_DENIED = {"AccessDeniedException", "NotAuthorizedForSource", "NotAuthorizedForSourceException"}


class EventBridgeTarget(FireAndForgetTarget):
    """A `Target` on an event bus: one event for each attempt.

    Its external ids are the bus's ARN and the event's id, joined by a slash.
    """

    called: ClassVar[str] = "an event"

    def start(self, start: Start) -> Execution:
        """Put the event, in one call."""
        settings = start.settings
        [source, detail_type] = required(settings, "source", "detail_type")
        if source == SOURCE or source.startswith(("aws.", f"{SOURCE}.")):
            msg = f"The source of job {settings.job!r} is {source!r}, which is reserved. Use another one."
            raise LaunchRejectedError(msg)
        try:
            answer = self._roles.call(
                "events",
                settings.role,
                "put_events",
                once=True,
                Entries=[
                    {
                        "EventBusName": settings.arn,
                        "Source": source,
                        "DetailType": detail_type,
                        "Detail": start.payload,
                    }
                ],
            )
        except AwsError as error:
            raise not_started(error, _of(settings), unknown=_UNKNOWN) from error
        [entry] = answer["Entries"]
        if "EventId" not in entry:
            raise _refused(settings, entry.get("ErrorCode", ""), entry.get("ErrorMessage", ""))
        event = f"{settings.arn}/{entry['EventId']}"
        return Execution(event, settings.arn, Status.STARTED, SystemClock().now())


def _refused(settings: JobSettings, code: str, message: str) -> LaunchError:
    """Return the error for an entry that the bus rejected; such an entry is certainly not on the bus."""
    msg = f"{_of(settings)} rejected the event: {code}: {message}"
    if code in _AGAIN:
        return LaunchDelayedError(msg)
    return LaunchDeniedError(msg) if code in _DENIED else LaunchRejectedError(msg)


def _of(settings: JobSettings) -> str:
    return f"Bus {settings.arn} ({settings.parameter})"
