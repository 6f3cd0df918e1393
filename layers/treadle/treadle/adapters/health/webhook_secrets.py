"""Checks that the secrets of webhook sensors exist. Reads no secret."""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.adapters.health.probes import Probe
from treadle.model.deployment import SSM
from treadle.model.health import WebhookSecret


def secret_probe(sensor: str, secret: str) -> Probe:
    """Return the probe of a sensor's secret.

    Args:
        sensor: the sensor's name.
        secret: the secret's name, as in the sensor's block.
    """
    is_parameter = secret.startswith(SSM)
    action = "ssm:DescribeParameters" if is_parameter else "secretsmanager:DescribeSecret"
    check = _parameter(sensor, secret.removeprefix(SSM)) if is_parameter else _secret(sensor, secret)
    return Probe("secrets", f"the secret {secret}", action, check)


def _secret(sensor: str, secret: str) -> Callable[[], Iterator[WebhookSecret]]:
    name = secret.partition("#")[0]

    def check() -> Iterator[WebhookSecret]:
        try:
            found = client("secretsmanager").describe_secret(SecretId=name)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            yield WebhookSecret(sensor, secret, f"The secret {name} does not exist")
            return
        deleted = f"The secret {name} is scheduled for deletion" if "DeletedDate" in found else ""
        yield WebhookSecret(sensor, secret, deleted)

    return check


def _parameter(sensor: str, name: str) -> Callable[[], Iterator[WebhookSecret]]:
    def check() -> Iterator[WebhookSecret]:
        wanted: Any = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
        found = client("ssm").describe_parameters(ParameterFilters=wanted)["Parameters"]
        missing = "" if found else f"The SSM parameter {name} does not exist"
        yield WebhookSecret(sensor, f"{SSM}{name}", missing)

    return check
