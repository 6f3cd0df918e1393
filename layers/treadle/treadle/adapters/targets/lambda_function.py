"""Lambda functions, invoked asynchronously: at-least-once, with the launch id in the payload."""

from typing import ClassVar

from treadle.adapters.system import SystemClock
from treadle.adapters.targets.errors import AwsError, not_started
from treadle.adapters.targets.fire_and_forget import FireAndForgetTarget
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.targets import Execution, Start

_BUSY = {"ResourceConflictException", "SnapStartNotReadyException"}
_UNKNOWN = {"ServiceException"}


class LambdaTarget(FireAndForgetTarget):
    """A `Target` on Lambda.

    Its external ids are the function's ARN and the request id, joined by a slash; the records that Lambda
    sends to a function's destinations have that id too.
    """

    called: ClassVar[str] = "an asynchronous invocation"

    def start(self, start: Start) -> Execution:
        """Invoke the function asynchronously, in one call."""
        settings = start.settings
        try:
            answer = self._roles.call(
                "lambda",
                settings.role,
                "invoke",
                once=True,
                FunctionName=settings.arn,
                InvocationType="Event",
                Payload=start.payload.encode(),
            )
        except AwsError as error:
            what = f"Function {settings.arn} ({settings.parameter})"
            raise not_started(error, what, busy=_BUSY, unknown=_UNKNOWN) from error
        request_id = answer["ResponseMetadata"]["RequestId"]
        return Execution(f"{settings.arn}/{request_id}", settings.arn, Status.STARTED, SystemClock().now())
