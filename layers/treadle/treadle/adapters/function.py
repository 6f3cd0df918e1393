"""What this process's Lambda function can find out about itself."""

import logging
import os
from datetime import datetime

logger = logging.getLogger(__name__)

_SECONDS = 3
"""Timeout: in a network without a route to Lambda's API, a tick must not be lost to the wait."""


def deployed_at() -> int | None:
    """Return when the function's code or settings were last deployed, in milliseconds; None if unknown.

    Requires `lambda:GetFunctionConfiguration` on the function, whose response has "the date and time that the
    function was last updated, in ISO-8601 format" (botocore's model of Lambda,
    FunctionConfiguration.LastModified).
    """
    name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    if not name:
        return None
    # Imported here, as a sensor needs it for only one tick of its lifetime.
    from botocore.exceptions import BotoCoreError, ClientError

    from treadle.adapters.clients import client

    try:
        answer = client("lambda", once=True, seconds=_SECONDS).get_function_configuration(FunctionName=name)
        return int(datetime.fromisoformat(answer["LastModified"]).timestamp() * 1000)
    except (ClientError, BotoCoreError, KeyError, ValueError) as error:
        logger.warning("The time of the function's deployment cannot be read: %s", error)
        return None
