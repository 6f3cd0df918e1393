"""Webhook sensors: a function that is called once for each HTTPS request of an authenticated sender."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, get_args

from treadle.definitions.bounds import shown
from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.options import SensorOptions, check_options
from treadle.definitions.per_event_sensor import PerEventSensorDefinition
from treadle.definitions.sensors import SensorEvent, SensorFunction
from treadle.definitions.webhook_request import WebhookRequest
from treadle.definitions.webhook_verification import BearerToken, WebhookVerification

if TYPE_CHECKING:
    from treadle.definitions.item_batches import Batch

RequestIdentity = Callable[[WebhookRequest], str]


@dataclass(slots=True, kw_only=True)
class WebhookSensorContext(SensorEvaluationContext):
    """The context of a webhook sensor's function.

    Attributes:
        request: the request.
    """

    request: WebhookRequest


class WebhookSensorDefinition(PerEventSensorDefinition[WebhookRequest]):
    """A sensor over the requests to an HTTPS endpoint; see `webhook_sensor`.

    Args:
        name: the sensor's name; the function's own name by default.
        evaluation_fn: the function.
        verification: how the sender is authenticated.
        identity: returns a request's run key; None for what its signature covers.
        batch: when requests form a batch.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    kind: ClassVar[str] = "webhook"
    event_type = WebhookRequest
    context_type = WebhookSensorContext
    attribute = "request"
    verification: WebhookVerification

    def __init__(
        self,
        name: str | None = None,
        *,
        evaluation_fn: SensorFunction,
        verification: WebhookVerification,
        identity: RequestIdentity | None = None,
        batch: "Batch | None" = None,
        job_name: str | None = None,
        **options: Unpack[SensorOptions],
    ) -> None:
        check_options(WebhookSensorDefinition.__init__, options)
        super().__init__(
            name, evaluation_fn=evaluation_fn, identity=identity, batch=batch, job_name=job_name, **options
        )
        if not isinstance(verification, get_args(WebhookVerification)):
            msg = (
                f"Sensor {self.name!r} cannot work: its verification is {shown(verification)}. Use HmacSignature(), "
                "TimestampedSignature() or BearerToken()."
            )
            raise DagsterInvalidDefinitionError(msg)
        self.verification = verification

    def monitors(self, event: SensorEvent) -> bool:
        """Return whether an event is a request to the sensor's endpoint."""
        return isinstance(event, WebhookRequest) and event.sensor == self.name

    def _as_item(self, event: WebhookRequest) -> WebhookRequest:
        """Return a request without headers by which its sender authenticates itself: they would be stored."""
        secret = {"authorization", "cookie", "proxy-authorization"}
        if isinstance(self.verification, BearerToken):
            secret.add(self.verification.header.lower())
        return replace(
            event, headers={name: value for name, value in event.headers.items() if name not in secret}
        )

    def _size_of(self, event: WebhookRequest) -> int:
        """Return the size of a request's body."""
        return len(event.body)

    def described(self) -> dict[str, Any]:
        """Return the sensor's properties as plain JSON, with how it authenticates its sender."""
        return {**super().described(), "verification": repr(self.verification)}


def webhook_sensor(
    verification: WebhookVerification,
    *,
    identity: RequestIdentity | None = None,
    batch: "Batch | None" = None,
    name: str | None = None,
    job_name: str | None = None,
    **options: Unpack[SensorOptions],
) -> Callable[[SensorFunction], WebhookSensorDefinition]:
    """Make a sensor of a function that is called once for each HTTPS request of an authenticated sender.

    Its function gets a `WebhookSensorContext`, and returns what any sensor may return. The sender gets a 2xx response
    once the tick that evaluated the request is committed. A run request without run key gets the request's key.

    Args:
        verification: how the sender is authenticated: `HmacSignature`, `TimestampedSignature` or `BearerToken`. The
            secret is named in the sensor's block of template.yaml.
        identity: returns a request's run key, for a sender that sends the same thing again in another request, such as
            `lambda request: request.json()["order_id"]`. One run is started for each value, for as long as the run's
            record exists.
        batch: when requests form a batch, for which the function is called once, with a `BatchSensorContext`;
            None to call it for each request.
        name: the sensor's name; the function's own name by default.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`. `minimum_interval_seconds` has no effect: each request is
            evaluated when it arrives.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(webhook_sensor, options)
    return lambda function: WebhookSensorDefinition(
        name,
        evaluation_fn=function,
        verification=verification,
        identity=identity,
        batch=batch,
        job_name=job_name,
        **options,
    )


def build_webhook_sensor_context(
    request: WebhookRequest,
    *,
    context: SensorEvaluationContext | None = None,
    instance: Any = None,
    sensor_name: str | None = None,
    resources: Mapping[str, Any] | None = None,
) -> WebhookSensorContext:
    """Make a context for calling a webhook sensor in a test.

    Args:
        request: the value of `context.request`.
        context: another context, from which resources, log and times are taken; without the arguments that follow.
        instance: the value of `context.instance`.
        sensor_name: the value of `context.sensor_name`.
        resources: by key: a `ResourceDefinition`, or the resource itself.
    """
    base = context or build_sensor_context(instance=instance, sensor_name=sensor_name, resources=resources)
    return WebhookSensorContext.extending(base, request=request)
