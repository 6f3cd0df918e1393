"""The limit on how often a function may send a message on to itself.

AWS Lambda counts how often a chain of messages has returned to a function through SQS, in the lineage of the
trace header that its SDKs propagate, and ends a chain after about 16 invocations: the message goes to the
dead-letter queue (Lambda Developer Guide, "Use Lambda recursive loop detection to prevent infinite loops").
So no wait relies on more than `MOST_HOPS` hops: a longer one is stored in a table with the time at which
RECONCILE, or a schedule, picks it up and begins a new chain. A message that SQS redelivers is the same hop.
"""

from collections.abc import Mapping
from typing import Any

MOST_HOPS = 10

_HOPS = "hops"


def hops_of(body: Mapping[str, Any]) -> int:
    """Return how often a message was sent on; 0 where it does not say."""
    hops = body.get(_HOPS)
    return hops if type(hops) is int and 0 < hops <= MOST_HOPS else 0


def first_of_a_chain(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message as it was before it was sent on."""
    return {name: value for name, value in body.items() if name != _HOPS}


def one_hop_on(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message to send on.

    Args:
        body: one with fewer than `MOST_HOPS` hops.
    """
    return {**body, _HOPS: hops_of(body) + 1}
