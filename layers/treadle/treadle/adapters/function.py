"""What the Lambda function that this process runs in says of itself."""

import logging
import os
from datetime import datetime

logger = logging.getLogger(__name__)

_SECONDS = 3
"""In a network without a way to Lambda's API, a tick must not end with waiting for it."""


def deployed_at() -> int | None:
    """When the function's code or settings were last deployed, in milliseconds; None if that cannot be asked.

    Needs `lambda:GetFunctionConfiguration` on the function, whose answer has "the date and time that the function was
    last updated, in ISO-8601 format" (botocore's model of Lambda, FunctionConfiguration.LastModified).
    """
    name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    if not name:
        return None
    # Imported here, as one tick of a sensor's whole life asks.
    from botocore.exceptions import BotoCoreError, ClientError

    from treadle.adapters.clients import client

    try:
        answer = client("lambda", once=True, seconds=_SECONDS).get_function_configuration(FunctionName=name)
        return int(datetime.fromisoformat(answer["LastModified"]).timestamp() * 1000)
    except (ClientError, BotoCoreError, KeyError, ValueError) as error:
        logger.warning("The time of the function's deployment cannot be read: %s", error)
        return None
