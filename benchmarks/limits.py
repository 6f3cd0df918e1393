"""The services' default quotas that limit a growing deployment; each can be raised unless its source says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """One quota.

    Attributes:
        name: what is limited.
        value: the maximum a second, unless the name says otherwise.
        source: the page with the value.
        answer: the behavior at the limit.
        checked: when the value was looked up.
    """

    name: str
    value: float
    source: str
    answer: str
    checked: str


PARTITION_WRITES = Limit(
    "write units a second of one key of a table or index",
    1_000,
    "DynamoDB developer guide, bp-partition-key-design; cannot be raised",
    "a throttled write is retried, then its message is requeued; indexes that all runs share are sharded",
    checked="2026-11",
)
TABLE_WRITES = Limit(
    "write units a second of one table",
    40_000,
    "DynamoDB developer guide, ServiceQuotas; a new table begins at 4,000 and doubles",
    "as above; another engine has its own tables",
    checked="2026-11",
)
START_RATE = Limit(
    "StartExecution a second, account and Region",
    300,
    "Step Functions developer guide, service-quotas: us-east-1, us-west-2, eu-west-1; 150 elsewhere",
    "the run waits in the launch queue with `next_at`; it is started later, and nothing else waits for it",
    checked="2026-11",
)
START_BUCKET = Limit(
    "StartExecution burst, on top of the rate",
    1_300,
    START_RATE.source,
    START_RATE.answer,
    START_RATE.checked,
)
LAMBDA = Limit(
    "concurrent executions, account and Region",
    1_000,
    "Lambda developer guide, lambda-concurrency; new accounts may have less",
    "messages wait in their queues; scheduled ticks follow a minute later",
    checked="2026-11",
)
LAMBDA_SCALING = Limit(
    "additional concurrent executions of one function within ten seconds",
    1_000,
    "Lambda developer guide, scaling-behavior; cannot be raised",
    "messages wait in their queues",
    checked="2026-11",
)
POLLERS = Limit(
    "additional concurrent executions a second for one queue",
    5,
    "Lambda developer guide, services-sqs-scaling: 5 at first, 300 more a minute, up to 1,250",
    "messages wait in their queue; a provisioned mode of polling can be bought",
    checked="2026-11",
)
SHARD = Limit(
    "concurrent batches for one shard of a stream",
    1,
    "Lambda developer guide, services-ddb-params: ParallelizationFactor, up to 10",
    "the stream keeps waiting records for 24 hours; RECONCILE dispatches ticks that are three minutes old",
    checked="2026-11",
)
PUT_EVENTS = Limit(
    "PutEvents requests a second, of ten events each",
    10_000,
    "EventBridge user guide, eb-quota: us-east-1; less in most Regions",
    "records wait in PUBLISH's stream and its queue",
    checked="2026-11",
)
BUS_DELIVERIES = Limit(
    "rule deliveries a second",
    18_750,
    "EventBridge user guide, eb-quota: us-east-1; 750 to 4,500 in smaller Regions",
    "EventBridge delays, and delivers for 24 hours",
    checked="2026-11",
)
SCHEDULES = Limit(
    "schedules fired a second",
    1_000,
    "EventBridge Scheduler user guide, scheduler-quotas",
    "a tick is some seconds late; it carries its scheduled time",
    checked="2026-11",
)
LIMITS = (
    START_RATE,
    START_BUCKET,
    LAMBDA,
    LAMBDA_SCALING,
    POLLERS,
    SHARD,
    PARTITION_WRITES,
    TABLE_WRITES,
    PUT_EVENTS,
    BUS_DELIVERIES,
    SCHEDULES,
)
