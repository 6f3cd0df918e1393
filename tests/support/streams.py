"""Items as a table's stream delivers them."""

import base64
from typing import Any


def as_record(item: dict[str, Any]) -> dict[str, Any]:
    """Return the stream record of an item's insertion: binary values in base64."""
    image = {
        name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value
        for name, value in item.items()
    }
    return {"eventName": "INSERT", "eventSource": "aws:dynamodb", "dynamodb": {"NewImage": image}}
