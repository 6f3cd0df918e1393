"""Sends requests to endpoints of HTTP APIs, on AWS or on a local cloud."""

import http.client
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Response:
    """The response to a request.

    Attributes:
        status: its HTTP status.
        headers: its headers, with names in lower case.
        body: its body.
    """

    status: int
    headers: Mapping[str, str]
    body: str


def post(endpoint: str, body: bytes, headers: Mapping[str, str]) -> Response:
    """Post a body to the root of an endpoint.

    The names of a local cloud's endpoints do not resolve: it serves them at its own address, AWS_ENDPOINT_URL.

    Args:
        endpoint: the URL, as the stack's output states it.
        body: what is sent.
        headers: further headers.

    Raises:
        OSError: if the endpoint cannot be reached.
    """
    host, local = urlsplit(endpoint).netloc, os.environ.get("AWS_ENDPOINT_URL")
    connection = (
        http.client.HTTPConnection(urlsplit(local).netloc, timeout=TIMEOUT_SECONDS)
        if local
        else http.client.HTTPSConnection(host, timeout=TIMEOUT_SECONDS)
    )
    try:
        connection.request("POST", "/", body, {"Host": host, **headers})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, found, answer.read().decode(errors="replace"))
    finally:
        connection.close()
