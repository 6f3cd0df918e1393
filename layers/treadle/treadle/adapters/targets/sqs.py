"""SQS messages, for custom consumers: at-least-once, with the launch id in body and attributes."""

from typing import TYPE_CHECKING, ClassVar

from treadle.adapters.system import SystemClock
from treadle.adapters.targets.errors import AwsError, not_answered, not_started
from treadle.adapters.targets.fire_and_forget import FireAndForgetTarget
from treadle.adapters.targets.roles import Roles
from treadle.definitions.errors import LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.targets import Execution, JobSettings, Start

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageRequestTypeDef

_GONE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}


class SqsTarget(FireAndForgetTarget):
    """A `Target` on SQS: one message for each attempt.

    Its external ids are the queue's ARN and the message id, joined by a slash. On a FIFO queue the launch id
    is the deduplication id too, so that a message that is sent twice within five minutes is delivered once.
    """

    called: ClassVar[str] = "a message"

    def __init__(self, roles: Roles | None = None) -> None:
        super().__init__(roles)
        self._urls: dict[str, str] = {}

    def start(self, start: Start) -> Execution:
        """Send the message, in one call."""
        settings = start.settings
        names = {"job": settings.job, "launch_id": start.launch_id, "run_id": start.run_id}
        request: SendMessageRequestTypeDef = {
            "QueueUrl": self._url(settings),
            "MessageBody": start.payload,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in names.items()
            },
        }
        if settings.arn.endswith(".fifo"):
            request["MessageDeduplicationId"] = start.launch_id
            request["MessageGroupId"] = settings.options.get("message_group", "").strip() or settings.job
        try:
            answer = self._roles.call("sqs", settings.role, "send_message", once=True, **request)
        except AwsError as error:
            raise not_started(error, _of(settings)) from error
        message = f"{settings.arn}/{answer['MessageId']}"
        return Execution(message, settings.arn, Status.STARTED, SystemClock().now())

    def _url(self, settings: JobSettings) -> str:
        """Return the queue's URL, cached: it cannot be derived from the ARN in every partition."""
        if settings.arn not in self._urls:
            account, _, name = settings.arn.rpartition(":")
            if not account.startswith("arn:"):
                msg = (
                    f"The arn of job {settings.job!r} is {settings.arn!r}. Use the ARN of the queue "
                    f"({settings.parameter})."
                )
                raise LaunchRejectedError(msg)
            owner = account.rpartition(":")[2]
            try:
                answer = self._roles.call(
                    "sqs", settings.role, "get_queue_url", QueueName=name, QueueOwnerAWSAccountId=owner
                )
            except AwsError as error:
                raise not_answered(error, f"{_of(settings)} could not be found", gone=_GONE) from error
            self._urls[settings.arn] = answer["QueueUrl"]
        return self._urls[settings.arn]


def _of(settings: JobSettings) -> str:
    return f"Queue {settings.arn} ({settings.parameter})"
