"""Starts as LAUNCH passes them to targets, and AWS clients with configured responses."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.stub import Stubber

from treadle.adapters import clients
from treadle.model.targets import JobSettings, Start

RUN_ID = "0b8f6a0e-3c53-5a3f-9d4f-6f0a3f2c7d11"
LAUNCH_ID = f"{RUN_ID}-1"
NOON = 1_795_370_400_000


def start_of(
    kind: str, arn: str, *, config: Any = None, tags: dict[str, str] | None = None, **options: str
) -> Start:
    """Return the first attempt's start.

    Args:
        kind: of the target.
        arn: of the target.
        config: the run config.
        tags: the run's.
        options: other settings of the deployment.
    """
    settings = JobSettings("nightly_load", kind, arn, "NightlyLoadArn", options)
    run_config = json.dumps({"a": 1} if config is None else config, separators=(",", ":"))
    payload = json.dumps({"launch_id": LAUNCH_ID, "run_config": json.loads(run_config)})
    return Start(settings, LAUNCH_ID, RUN_ID, run_config, tags or {"t": "1"}, payload, NOON)


@contextmanager
def stubbed(service: Any, *, once: bool = False) -> Iterator[Stubber]:
    """Stub the client that targets use; requests and responses are checked against AWS's own models.

    Args:
        service: as boto3 names it.
        once: which of the two clients: the one that starts, or the one that queries.
    """
    with Stubber(clients.client(service, once=once)) as stub:
        yield stub
        stub.assert_no_pending_responses()


def values_of(service: Any, shape: str) -> set[str]:
    """Return all values of an enumeration in a service's model."""
    model: Any = clients.client(service).meta.service_model.shape_for(shape)
    return set(model.enum)
