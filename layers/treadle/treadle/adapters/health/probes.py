"""A probe queries AWS once; it returns findings, or why it failed. No probe affects another."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import CONNECTIONS
from treadle.adapters.targets.errors import is_denied
from treadle.model.health import (
    Activity,
    Alarm,
    AlertChannel,
    Backlog,
    Bucket,
    ConsumedQueue,
    ConsumedStream,
    EventTrigger,
    JobTarget,
    MissingPermission,
    PolicyHolder,
    SkippedCheck,
    WebhookSecret,
)

Vital = (
    EventTrigger
    | Backlog
    | Bucket
    | ConsumedQueue
    | ConsumedStream
    | JobTarget
    | MissingPermission
    | PolicyHolder
    | Alarm
    | AlertChannel
    | Activity
    | SkippedCheck
    | WebhookSecret
)

LOCAL_ACCOUNT = "000000000000"
"""The account id of local clouds; it does not exist in AWS."""

_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe.

    Attributes:
        check: the check that it belongs to, such as "queues".
        what: what it checks, for messages.
        action: the required permission.
        run: yields findings, or raises an SDK error.
    """

    check: str
    what: str
    action: str
    run: Callable[[], Iterable[Vital]]


def run_probes(probes: Sequence[Probe]) -> list[Vital]:
    """Run probes concurrently; a failed probe yields a skipped check."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(chain.from_iterable(pool.map(taken, probes)))


def taken(probe: Probe) -> list[Vital]:
    """Run one probe; if it fails, return a skipped check."""
    try:
        return list(probe.run())
    except (ClientError, BotoCoreError) as error:
        return [
            SkippedCheck(
                probe.check, probe.what, probe.action if is_denied(error) else "", str(error)[:_SHOWN]
            )
        ]
