"""The JSON in the text of an event."""

import json
from typing import Any

from treadle.definitions.errors import UnknownEventError


def parsed_json(text: str, what: str, advice: str = "") -> Any:
    """Return a text, parsed as JSON.

    Args:
        text: the text.
        what: what it is, for the message.
        advice: what to do if it is not JSON, for the message.

    Raises:
        UnknownEventError: if it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{what} is not JSON: {error}.{advice and f' {advice}'}"
        raise UnknownEventError(msg) from error
