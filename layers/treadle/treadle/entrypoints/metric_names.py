"""The names of Treadle's metrics. All are in one namespace, with the engine as the dimension `service`.

Problems are also written with the sensor, job or component that they concern as a second dimension, and the queues of
pools with the pool.

What happens each minute for an idle sensor is not counted: CloudWatch charges a metric for each hour in which
it is written, and Lambda's own metric Invocations shows the same.
"""

from collections.abc import Mapping
from typing import Final

from treadle.engine.outcomes import Decision

ACTION_NEEDED: Final = "ActionNeeded"
BACKFILLS_BLOCKED: Final = "BackfillsBlocked"
BACKFILL_RUNS_RECOVERED: Final = "BackfillRunsRecovered"
BATCHES_OVERDUE: Final = "BatchesOverdue"
DEAD_LETTERS: Final = "DeadLetters"
ENTRIES_REGISTERED: Final = "EntriesRegistered"
EVENT_AGE: Final = "EventAge"
HELD_REQUESTS: Final = "HeldRequests"
INVALID_ENTRIES: Final = "InvalidEntries"
LAUNCHES_FAILED: Final = "LaunchesFailed"
LAUNCHES_RESENT: Final = "LaunchesResent"
LAUNCH_LATENCY: Final = "LaunchLatency"
LOOPS_DETECTED: Final = "LoopsDetected"
MESSAGES_RETRIED: Final = "MessagesRetried"
MESSAGES_THROTTLED: Final = "MessagesThrottled"
POOL_RUNS_WAITING: Final = "PoolRunsWaiting"
POOL_WAIT_AGE: Final = "PoolWaitAge"
RECONCILE_FAILURES: Final = "ReconcileFailures"
REFUSED_REQUESTS: Final = "RefusedRequests"
REJECTED_REQUESTS: Final = "RejectedRequests"
RUNS_NOT_CANCELED: Final = "RunsNotCanceled"
RUNS_OBSERVED: Final = "RunsObserved"
RUNS_POLLED: Final = "RunsPolled"
RUNS_RETRIED: Final = "RunsRetried"
RUNS_TIMED_OUT: Final = "RunsTimedOut"
SENSORS_LATE: Final = "SensorsLate"
SENSORS_PAUSED: Final = "SensorsPaused"
SENSOR_LATE: Final = "SensorLate"
SLOTS_IN_DOUBT: Final = "SlotsInDoubt"
STATUSES_PUBLISHED: Final = "StatusesPublished"
TICKS_FAILED: Final = "TicksFailed"
TICKS_LEASE_LOST: Final = "TicksLeaseLost"
TICKS_RECOVERED: Final = "TicksRecovered"
UNREADABLE_RECORDS: Final = "UnreadableRecords"

FOR_A_PERSON = frozenset(
    {
        BACKFILLS_BLOCKED,
        BATCHES_OVERDUE,
        HELD_REQUESTS,
        INVALID_ENTRIES,
        LAUNCHES_FAILED,
        LOOPS_DETECTED,
        REFUSED_REQUESTS,
        REJECTED_REQUESTS,
        RUNS_NOT_CANCELED,
        SENSORS_LATE,
        SENSORS_PAUSED,
        SLOTS_IN_DOUBT,
        UNREADABLE_RECORDS,
    }
)
"""Metrics that are also counted as ACTION_NEEDED, so that one alarm covers them."""

PROBLEMS = FOR_A_PERSON | {
    DEAD_LETTERS,
    MESSAGES_RETRIED,
    MESSAGES_THROTTLED,
    TICKS_FAILED,
    TICKS_LEASE_LOST,
}
"""Metrics that are also written with the dimension `sensor`, `job` or `component`, where the writer knows it.

CloudWatch charges for each combination of dimensions, so nothing that a healthy engine writes belongs here.
"""

_STEPS: Mapping[str, str] = {
    "tick": "Ticks",
    "dispatch": "Dispatches",
    "launch": "Launches",
    "record": "Reports",
}

_DECISIONS: Mapping[Decision, str] = {
    Decision.SUCCESS: "Succeeded",
    Decision.FAILURE: "Failed",
    Decision.STOPPED: "Stopped",
    Decision.LEASED: "AlreadyRunning",
    Decision.LOST: "LeaseLost",
    Decision.DUPLICATE: "Duplicate",
    Decision.LAUNCHED: "Started",
    Decision.DELAYED: "Delayed",
    Decision.HELD: "Held",
    Decision.RECORDED: "Applied",
    Decision.FOREIGN: "Ignored",
}


def of_decision(step: str, decision: Decision) -> str | None:
    """Return the metric that counts a decision, such as "TicksFailed"; None if it is not counted.

    Args:
        step: the component, such as "tick" or "launch".
        decision: its decision.
    """
    return f"{_STEPS[step]}{_DECISIONS[decision]}" if decision in _DECISIONS else None
