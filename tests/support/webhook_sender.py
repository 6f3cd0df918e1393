"""A sender of webhooks, in a process of its own: so many requests a second, whatever becomes of them."""

import hashlib
import hmac
import http.client
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

CONNECTIONS = 32
"""More than the requests that are in progress at a time, so that one that takes long delays no other."""

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Sent:
    """A request and the status of its response, with the times, of this machine's monotonic clock, between which it was.

    Attributes:
        number: of the request, which is its body.
        status: of the response.
        began_at: when it was sent.
        ended_at: when its response had arrived.
    """

    number: int
    status: int
    began_at: float
    ended_at: float


def send_at_a_rate(port: int, path: str, secret: str, numbers: Iterable[int], rate: float) -> list[Sent]:
    """Send requests as GitHub signs them, so many a second, and return what each of them got."""
    given, lock, began_at = iter(enumerate(numbers)), threading.Lock(), time.monotonic()

    def following() -> tuple[int, int] | None:
        with lock:
            return next(given, None)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        tasks = [
            threads.submit(_send, port, path, secret, following, lambda index: began_at + index / rate)
            for _ in range(CONNECTIONS)
        ]
        return [*itertools.chain.from_iterable(each.result() for each in tasks)]


def _send(
    port: int,
    path: str,
    secret: str,
    following: Callable[[], tuple[int, int] | None],
    due: Callable[[int], float],
) -> list[Sent]:
    connection, found = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS), []
    while (each := following()) is not None:
        index, number = each
        time.sleep(max(0.0, due(index) - time.monotonic()))
        body = str(number).encode()
        headers = {
            "X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
            "X-GitHub-Delivery": f"delivery-{number}",
        }
        began_at = time.monotonic()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        found.append(Sent(number, answer.status, began_at, time.monotonic()))
    connection.close()
    return found
