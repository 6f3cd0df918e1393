"""Invokes Lambda functions without waiting for them."""

import json
from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import client
from treadle.definitions.errors import StoreError


class LambdaFunctions:
    """`Functions` of this account and Region."""

    def invoke(self, function: str, event: Mapping[str, object]) -> None:
        """Queue an asynchronous invocation."""
        try:
            client("lambda").invoke(
                FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode()
            )
        except (ClientError, BotoCoreError) as error:
            msg = f"The function {function} could not be invoked: {error}"
            raise StoreError(msg) from error
