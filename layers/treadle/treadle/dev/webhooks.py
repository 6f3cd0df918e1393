"""The endpoints of webhook sensors under `treadle dev`, which respond as API Gateway and the function do on AWS."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from treadle.adapters.system import RandomTokens
from treadle.console.server import WEBHOOKS
from treadle.definitions.errors import CommandRefusedError
from treadle.dev.engine import LocalEngine, LocalSensor
from treadle.dev.messages import Failed
from treadle.dev.project import DevProject


class WebhookEndpoints:
    """Passes requests to the functions of a project's webhook sensors.

    Args:
        project: the project.
    """

    def __init__(self, project: DevProject) -> None:
        self._project = project

    def handle(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pass a request to the sensor that its path names, and return the response.

        Args:
            event: the request, in API Gateway's payload format 2.0.
        """
        local = _endpoint(self._project.engine, str(event["rawPath"]).removeprefix(WEBHOOKS))
        if local is None or event["requestContext"]["http"]["method"] != "POST":
            return _of_gateway(HTTPStatus.NOT_FOUND, "Not Found")
        found = self._project.engine.invoke(local, event)
        if isinstance(found, Failed):
            return _of_gateway(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
        answer: Mapping[str, Any] = found.value
        return answer

    def send(self, sensor: str, body: str, headers: Mapping[str, str], delivery: str) -> str:
        """Send a request as its sender signs it, and return what became of it.

        Args:
            sensor: the sensor.
            body: its body.
            headers: further headers, which replace those of the signature.
            delivery: the delivery's id; "" for a new one.

        Raises:
            CommandRefusedError: if there is no such endpoint, or the request was not accepted.
        """
        engine = self._project.engine
        local = _endpoint(engine, sensor)
        verification = local.function.loaded.verification if local and local.function.loaded else None
        if local is None or verification is None:
            known = ", ".join(endpoints(engine)) or "none"
            msg = f"No sensor {sensor!r} has an endpoint; those that have one: {known}. Name one of them."
            raise CommandRefusedError(msg)
        request_id = RandomTokens().new()
        signed = verification.signed(
            body.encode(), self._project.secret_of(local), engine.clock.now(), delivery or request_id
        )
        answer = self.handle(
            {
                "rawPath": f"{WEBHOOKS}{sensor}",
                "headers": {**signed, **headers},
                "requestContext": {"http": {"method": "POST"}, "requestId": request_id},
                "body": body,
                "isBase64Encoded": False,
            }
        )
        status, message = answer["statusCode"], json.loads(answer["body"])["message"]
        if status != HTTPStatus.ACCEPTED:
            msg = f"Sensor {sensor} did not accept the request: {status} {message}"
            raise CommandRefusedError(msg)
        return f"Sent a request to {sensor}: {status} {message}"


def endpoints(engine: LocalEngine) -> list[str]:
    """Return the sensors that have an endpoint."""
    loaded = [each.function.loaded for each in list(engine.sensors.values())]
    return sorted(each.name for each in loaded if each and each.verification)


def _endpoint(engine: LocalEngine, sensor: str) -> LocalSensor | None:
    for local in list(engine.sensors.values()):
        loaded = local.function.loaded
        if loaded and loaded.name == sensor and loaded.verification:
            return local
    return None


def _of_gateway(status: HTTPStatus, message: str) -> Mapping[str, Any]:
    """Return a response that API Gateway gives in place of the function."""
    headers = {"Content-Type": "application/json"}
    return {"statusCode": int(status), "headers": headers, "body": json.dumps({"message": message})}
