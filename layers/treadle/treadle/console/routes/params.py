"""Time parameters of operations."""

from aws_lambda_powertools.event_handler.exceptions import BadRequestError

from treadle.console.api import ApiRequest, Schema
from treadle.console.schemas import KEY
from treadle.operate.time_expressions import parse_time_expression

TIME_SCHEMA: Schema = {**KEY, "description": "Such as 2026-11-28T06:00:00Z, or 2h for 2 hours ago."}


def parsed_time(request: ApiRequest, text: str) -> int:
    """Parse a time into milliseconds since the epoch.

    Args:
        request: the request.
        text: the parameter's value.

    Raises:
        BadRequestError: if it is not a time.
    """
    found = parse_time_expression(text, request.now)
    if found is None:
        raise BadRequestError(
            "This is not a time. Write it as 2026-11-28T06:00:00Z, or as 2h for 2 hours ago."
        )
    return found
