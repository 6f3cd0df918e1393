"""A client of the console's API of a running `treadle dev`."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

from treadle.console.app import CHANGE_HEADER
from treadle.console.static_token import BEARER
from treadle.definitions.errors import CommandRefusedError

PLACE = "/api/test-events"
_SECONDS = 120


def send_event(address: str, event: Mapping[str, object]) -> str:
    """Send a test event, and return what was done with it.

    Args:
        address: the console's, with its token.
        event: the event, by its kind.

    Raises:
        CommandRefusedError: if it was refused, or nothing responds.
    """
    place, _, token = address.partition("#token=")
    headers = {
        "Authorization": BEARER + token,
        "Content-Type": "application/json",
        CHANGE_HEADER[0]: CHANGE_HEADER[1],
    }
    request = urllib.request.Request(  # noqa: S310 - of this machine
        f"{place.rstrip('/')}{PLACE}", json.dumps(event).encode(), headers, method="POST"
    )
    # No proxy: it could not reach this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return str(json.load(answer)["sent"])
    except urllib.error.HTTPError as error:
        raise CommandRefusedError(str(json.load(error)["message"])) from error
    except OSError as error:
        msg = f"`treadle dev` does not respond: {error}. Look at its terminal."
        raise CommandRefusedError(msg) from error
