"""How often a message may be sent on by the function that takes it.

AWS Lambda counts how often a chain of messages has come back to a function by SQS, in the lineage of the trace
header that its SDKs send along, and ends a chain after about 16 invocations: the message goes to the dead-letter
queue (Lambda Developer Guide, "Use Lambda recursive loop detection to prevent infinite loops"). So no wait rests on
more hops than these: what waits for longer is kept in a table with the time at which RECONCILE, or a schedule,
comes to it, and begins a new chain. A message that SQS delivers again is the same hop.
"""

from collections.abc import Mapping
from typing import Any

MOST_HOPS = 10

_HOPS = "hops"


def hops_of(body: Mapping[str, Any]) -> int:
    """How often a message was sent on; 0 where it does not say."""
    hops = body.get(_HOPS)
    return hops if type(hops) is int and 0 < hops <= MOST_HOPS else 0


def first_of_a_chain(body: Mapping[str, Any]) -> dict[str, Any]:
    """The message as it was before it was sent on."""
    return {name: value for name, value in body.items() if name != _HOPS}


def one_hop_on(body: Mapping[str, Any]) -> dict[str, Any]:
    """The message as it is sent on.

    Args:
        body: one that has not come `MOST_HOPS` far.
    """
    return {**body, _HOPS: hops_of(body) + 1}
