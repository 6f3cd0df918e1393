"""All checks, in order: those that observe something for minutes come last."""

from tools.verify.checks import (
    alarms,
    deployment,
    events,
    functions,
    identity,
    starts,
    streams,
    tables,
    webhooks,
)
from tools.verify.checks.by_hand import BY_HAND

__all__ = ["ALL", "BY_HAND"]

ALL = (
    *tables.CHECKS,
    *starts.CHECKS,
    *events.CHECKS,
    *identity.CHECKS,
    *deployment.CHECKS,
    *functions.CHECKS,
    *webhooks.CHECKS,
    *streams.CHECKS,
    *alarms.CHECKS,
)
