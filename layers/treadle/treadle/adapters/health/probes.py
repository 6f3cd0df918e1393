"""One look at AWS: what it finds, or why it could not be taken. No look hides another one."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import CONNECTIONS
from treadle.adapters.targets.errors import is_denied
from treadle.ports.health import (
    Activity,
    Alarm,
    AlertChannel,
    Backlog,
    Bucket,
    EventTrigger,
    JobTarget,
    MissingPermission,
    PolicyHolder,
    SkippedCheck,
)

Vital = (
    EventTrigger
    | Backlog
    | Bucket
    | JobTarget
    | MissingPermission
    | PolicyHolder
    | Alarm
    | AlertChannel
    | Activity
    | SkippedCheck
)

LOCAL_ACCOUNT = "000000000000"
"""AWS has no such account; local clouds use it."""

_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Probe:
    """One look.

    Attributes:
        check: for which check, such as "queues".
        what: at what, in words.
        action: the permission that it needs.
        look: finds something, or raises what the SDK raises.
    """

    check: str
    what: str
    action: str
    look: Callable[[], Iterable[Vital]]


def run_probes(probes: Sequence[Probe]) -> list[Vital]:
    """What all the looks find, many of them at a time; in place of one that failed, that it did.

    Args:
        probes: the looks.
    """
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(chain.from_iterable(pool.map(taken, probes)))


def taken(probe: Probe) -> list[Vital]:
    """What one look finds; in place of it, that it failed.

    Args:
        probe: the look.
    """
    try:
        return list(probe.look())
    except (ClientError, BotoCoreError) as error:
        return [
            SkippedCheck(
                probe.check, probe.what, probe.action if is_denied(error) else "", str(error)[:_SHOWN]
            )
        ]
