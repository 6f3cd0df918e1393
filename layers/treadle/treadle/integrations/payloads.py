"""What a job's code reads a large run config with."""

import json
from collections.abc import Mapping
from typing import Any

from treadle.definitions.bounds import shown
from treadle.definitions.errors import PayloadError
from treadle.definitions.payloads import reference_in


def read_payload(run_config: Mapping[str, Any] | str) -> Any:
    """Return a run config as the sensor requested it: read from S3 if it was too large to be sent, else as it is.

    Args:
        run_config: as the job received it, as an object or as JSON.

    Raises:
        PayloadError: if the object cannot be read, or is not the one that the run refers to.
    """
    reference = reference_in(run_config)
    if reference is None:
        return json.loads(run_config) if isinstance(run_config, str) else run_config
    bucket, _, key = reference.url.removeprefix("s3://").partition("/")
    # Imported here, as most run configs are sent themselves.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        content = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        msg = (
            f"The run config in {reference.url} cannot be read: {error}. Give the job's own role s3:GetObject on it, unless "
            "it has expired: then request the run again."
        )
        raise PayloadError(msg) from error
    if not reference.is_of(content):
        msg = (
            f"The object {shown(reference.url)} is not the run config that was requested: it has {len(content)} bytes, or "
            f"another SHA-256 than {reference.sha256}. Request the run again."
        )
        raise PayloadError(msg)
    return json.loads(content)
