"""The history of a Step Functions execution: which of its states failed."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from treadle.adapters.targets.errors import AwsError, failed_step
from treadle.adapters.targets.roles import Roles
from treadle.definitions.errors import LaunchError
from treadle.definitions.runs import StepFailure
from treadle.model.runs import MAX_STEPS

logger = logging.getLogger(__name__)

PAGE = 500
PAGES = 2
"""Number of pages that are read, from the end: the last failure is near it."""

_ENDS = ("Failed", "TimedOut")


def failed_states(execution: str, role: str, roles: Roles) -> tuple[StepFailure, ...]:
    """Return the states that failed since the execution's start or redrive, the latest first, each once.

    Empty if the history cannot be read: the failure of the execution is known without it.

    Args:
        execution: the execution's ARN.
        role: the ARN of the role that may read it; "" for the process's own permissions.
        roles: provides its credentials.
    """
    events: list[Mapping[str, Any]] = []
    token = dict[str, Any]()
    try:
        for _ in range(PAGES):
            answer: Mapping[str, Any] = roles.call(
                "stepfunctions",
                role,
                "get_execution_history",
                executionArn=execution,
                maxResults=PAGE,
                reverseOrder=True,
                includeExecutionData=False,
                **token,
            )
            events += answer["events"]
            if not answer.get("nextToken"):
                break
            token = {"nextToken": answer["nextToken"]}
    except (*AwsError, LaunchError) as error:
        logger.warning("The history of %s could not be read: %s", execution, error)
        return ()
    return _failed(events)


def _failed(events: Iterable[Mapping[str, Any]]) -> tuple[StepFailure, ...]:
    """Return the failed states of a history in descending order."""
    recent = list(_since_redrive(events))
    by_id = {event["id"]: event for event in recent}
    found: dict[str, StepFailure] = {}
    for event in recent:
        if not event["type"].endswith(_ENDS):
            continue
        entered = _entered(event, by_id)
        # Of the execution's own events, only those of a Fail state have no other source.
        if entered is None or (
            event["type"].startswith("Execution") and entered["type"] != "FailStateEntered"
        ):
            continue
        name = entered["stateEnteredEventDetails"]["name"]
        details: Mapping[str, str] = next(
            (value for key, value in event.items() if key.endswith("EventDetails")), {}
        )
        error = details.get("error") or event["type"]
        found.setdefault(name, failed_step(name, error, details.get("cause")))
        if len(found) == MAX_STEPS:
            break
    return tuple(found.values())


def _since_redrive(events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for event in events:
        if event["type"] == "ExecutionRedriven":
            return
        yield event


def _entered(event: Mapping[str, Any], by_id: Mapping[int, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the entry into an event's state; None if it precedes what was read."""
    before: Mapping[str, Any] | None = event
    while before is not None and not before["type"].endswith("StateEntered"):
        before = by_id.get(before.get("previousEventId", 0))
    return before
