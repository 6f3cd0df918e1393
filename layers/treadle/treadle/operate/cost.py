"""Estimates Treadle's cost: counted requests times published prices, compared with an always-on daemon."""

from dataclasses import dataclass, fields, replace

MILLION = 1_000_000
MONTH_HOURS = 730.0
MONTH_SECONDS = MONTH_HOURS * 3_600
MINUTE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices in US dollars, without free tier.

    Attributes:
        region: the Region of the prices.
        dated: the month of publication.
        write_units: DynamoDB on demand, per million.
        read_units: DynamoDB on demand, per million.
        invocations: Lambda, per million.
        gb_seconds: Lambda on arm64, per GB-second.
        schedules: invocations by EventBridge Scheduler, per million.
        queue_requests: SQS standard queues, per million.
        events: EventBridge events on a custom bus, per million.
        log_gb: CloudWatch Logs ingestion, per GB.
        metric: custom metric, per month.
        alarm: standard resolution, per month.
        dashboard: per month.
        vcpu_hour: Fargate on x86.
        gb_hour: Fargate on x86.
    """

    region: str = "us-east-1"
    dated: str = "2026-03"
    write_units: float = 0.625
    read_units: float = 0.125
    invocations: float = 0.20
    gb_seconds: float = 0.0000133334
    schedules: float = 1.00
    queue_requests: float = 0.40
    events: float = 1.00
    log_gb: float = 0.50
    metric: float = 0.30
    alarm: float = 0.10
    dashboard: float = 3.00
    vcpu_hour: float = 0.04048
    gb_hour: float = 0.004445


@dataclass(frozen=True, slots=True)
class Use:
    """Billed usage of one operation.

    Attributes:
        write_units: DynamoDB, including indexes and transactions.
        read_units: DynamoDB.
        invocations: Lambda invocations.
        seconds: billed duration of all invocations.
        schedules: invocations by a schedule.
        queue_requests: sends, receives and deletes.
        events: events put on the bus.
        log_bytes: bytes written to logs.
    """

    write_units: float = 0
    read_units: float = 0
    invocations: float = 0
    seconds: float = 0
    schedules: float = 0
    queue_requests: float = 0
    events: float = 0
    log_bytes: float = 0


MEMORY_GB = 0.25
"""Memory of each function in the template."""

INVOCATION_LOG_BYTES = 320
"""Lambda's own lines of an invocation, START, END and REPORT (Lambda developer guide, python-logging)."""

IDLE_TICK = Use(write_units=2, invocations=1, seconds=0.03, schedules=1, log_bytes=INVOCATION_LOG_BYTES)
"""A leased tick that is skipped for the reason of the one before, with a cursor of up to 400 bytes.

It writes the lease, and the skip streak.
"""

MESSAGE = Use(queue_requests=3)
"""A message in a batch of one: sent, received, deleted."""

EVENT = Use(write_units=2, read_units=1, invocations=1, seconds=0.05, queue_requests=3, log_bytes=1_550)
"""The evaluation of an event that a rule put on the sensor's queue."""

EVENT_OF_TEN = replace(
    EVENT,
    invocations=EVENT.invocations / 10,
    # A seventh of the requests, as a test counts them, and the function's own time.
    seconds=0.02,
    # The rule sends each message by itself.
    queue_requests=1 + (EVENT.queue_requests - 1) / 10,
    # The line of its decision, and a tenth of Lambda's lines and of those with metrics.
    log_bytes=870,
)
"""The same event where each batch has ten messages."""

RUN = Use(
    write_units=14,
    read_units=1,
    # DISPATCH, LAUNCH, RECORD; PUBLISH on the stream's two batches.
    invocations=5,
    seconds=0.35,
    # The messages of LAUNCH and RECORD: a launch and an end.
    queue_requests=6,
    # Events: QUEUED, STARTING, STARTED and the end.
    events=4,
    log_bytes=4_010,
)
"""A run from dispatch to its recorded end, each message in a batch of one; without the job's own cost.

Each of its record's four writes takes another write unit for each kilobyte that the record has beyond the first.
"""

RUN_OF_TEN = replace(
    RUN,
    # The ends of a job are put in one transaction, at twice the units, and its counter is moved once.
    write_units=RUN.write_units + 1 / 10,
    # LAUNCH reads the runs of its batch before it claims them.
    read_units=RUN.read_units + 1,
    invocations=RUN.invocations / 10,
    # A quarter of the requests, as a test counts them; two milliseconds of a processor take 14 at 256 MB.
    seconds=0.1,
    # The rule sends each message by itself.
    queue_requests=1 + (RUN.queue_requests - 1) / 10,
    # The lines of its decisions, and a tenth of Lambda's lines and of those with metrics.
    log_bytes=1_570,
)
"""The same run where each batch has ten messages or records."""

POLLS_PER_MONTH = 5 * MONTH_SECONDS / 20
"""Lambda's five pollers poll an idle queue every 20 seconds."""

ENGINE_QUEUES = 4
"""In engine/template.yaml: the queues of DISPATCH, LAUNCH, RECORD and PUBLISH."""

BASIC_ALARMS, DETAILED_ALARMS = 4, 30
"""In engine/template.yaml, with Monitoring=basic and with Monitoring=detailed."""

PROJECT_ALARMS = 1
"""In template.yaml: for dead letters."""

RUN_METRICS = 6
"""Metrics that are written while there are runs.

TicksSucceeded, DispatchesSucceeded, LaunchesStarted, ReportsApplied, StatusesPublished and LaunchLatency.
"""

EVENT_METRICS = 1
"""Metrics that are written for each sensor while there are events: EventAge."""

IDLE_PASS = Use(
    write_units=0.1, read_units=15.5, invocations=1, seconds=0.1, schedules=1, log_bytes=INVOCATION_LOG_BYTES
)
"""A pass of RECONCILE that finds nothing.

Seventeen queries of two sparse indexes, of which one also has the batches that are due; those of the declared pools and of their queues; the registry; the states of ten
sensors every four minutes; and the time of the pass every ten minutes.
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """The workload of an engine and its projects.

    Attributes:
        sensors: sensors with a schedule.
        interval: seconds between the ticks of each; a schedule fires at least each minute.
        event_sensors: sensors with an event queue and no schedule.
        projects: stacks that use the engine.
        events: evaluated per month.
        runs: per month.
        is_detailed: whether the engine has Monitoring=detailed.
    """

    sensors: int = 1
    interval: int = 60
    event_sensors: int = 0
    projects: int = 0
    events: int = 0
    runs: int = 0
    is_detailed: bool = False

    @property
    def ticks(self) -> float:
        """Return the number of ticks per month."""
        return self.sensors * MONTH_SECONDS / self.interval

    @property
    def queues(self) -> int:
        """Return the number of queues that Lambda polls.

        A sensor with a schedule has a queue for ticks only if its interval is below a minute.
        """
        return ENGINE_QUEUES + self.event_sensors + (self.sensors if self.interval < MINUTE_SECONDS else 0)


def price(use: Use, prices: Prices) -> dict[str, float]:
    """Return the cost of one operation in dollars, by service."""
    return {
        "DynamoDB": (use.write_units * prices.write_units + use.read_units * prices.read_units) / MILLION,
        "Lambda": use.invocations * prices.invocations / MILLION
        + use.seconds * MEMORY_GB * prices.gb_seconds,
        "Scheduler": use.schedules * prices.schedules / MILLION,
        "SQS": use.queue_requests * prices.queue_requests / MILLION,
        "EventBridge": use.events * prices.events / MILLION,
        "Logs": use.log_bytes / 1e9 * prices.log_gb,
    }


def per_million(use: Use, prices: Prices) -> float:
    """Return the cost of a million operations in dollars."""
    return _each(use, prices) * MILLION


def per_month(work: Workload, prices: Prices) -> dict[str, float]:
    """List the monthly cost of an engine and its projects in dollars, by line item.

    What is not listed is free, or costs nothing while idle: standard parameters of Systems Manager, AWS
    events on the default bus, and metrics that are not written, such as those of problems.
    """
    alarms = (DETAILED_ALARMS if work.is_detailed else BASIC_ALARMS) + PROJECT_ALARMS * work.projects
    metrics = (RUN_METRICS if work.runs else 0) + (EVENT_METRICS * work.event_sensors if work.events else 0)
    lines = {
        f"ticks of {work.sensors} sensors": work.ticks * _each(IDLE_TICK, prices)
        + _each(_not_due(work), prices),
        f"{work.events:,} events": work.events * _each(EVENT, prices),
        f"{work.runs:,} runs": work.runs * _each(RUN, prices),
        f"polls of {work.queues} queues": work.queues * POLLS_PER_MONTH * prices.queue_requests / MILLION,
        "RECONCILE": MONTH_SECONDS / MINUTE_SECONDS * _each(IDLE_PASS, prices),
        f"{alarms} alarms": alarms * prices.alarm,
        f"{metrics} metrics": metrics * prices.metric,
        "dashboard": prices.dashboard if work.is_detailed else 0.0,
    }
    return {name: dollars for name, dollars in lines.items() if dollars}


def _each(use: Use, prices: Prices) -> float:
    return sum(price(use, prices).values())


def daemon_per_month(prices: Prices) -> float:
    """Return the monthly cost of a daemon on the smallest Fargate task (0.25 vCPU, 0.5 GB)."""
    return MONTH_HOURS * (0.25 * prices.vcpu_hour + 0.5 * prices.gb_hour)


def _not_due(work: Workload) -> Use:
    """Return the usage of invocations that are not due: each reads the state, as those that are due do then."""
    delivered = work.sensors * MONTH_SECONDS / MINUTE_SECONDS
    idle = max(0.0, delivered - work.ticks)
    each = Use(read_units=1, invocations=1, seconds=0.02, schedules=1, log_bytes=INVOCATION_LOG_BYTES)
    use = Use(**{field.name: getattr(each, field.name) * idle for field in fields(Use)})
    return replace(use, read_units=delivered if idle else 0)
