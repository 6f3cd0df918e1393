"""Computes what Treadle costs: counted requests times published prices, beside a daemon that waits all month."""

from dataclasses import dataclass, fields

MILLION = 1_000_000
MONTH_HOURS = 730.0
MONTH_SECONDS = MONTH_HOURS * 3_600
MINUTE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices in dollars, without any free tier.

    Attributes:
        region: where they hold.
        dated: when they were published.
        write_units: of DynamoDB on demand, a million.
        read_units: of DynamoDB on demand, a million.
        invocations: of Lambda, a million.
        gb_seconds: of Lambda on arm64, one.
        schedules: invocations of EventBridge Scheduler, a million.
        queue_requests: of SQS standard queues, a million.
        events: put on a bus of one's own, a million.
        log_gb: taken in by CloudWatch Logs, one.
        metric: a custom one, a month.
        alarm: of standard resolution, a month.
        dashboard: a month.
        vcpu_hour: of Fargate on x86.
        gb_hour: of Fargate on x86.
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
    """What happens how often each time.

    Attributes:
        write_units: of DynamoDB, indexes and transactions included.
        read_units: of DynamoDB.
        invocations: of functions.
        seconds: billed for these together.
        schedules: invocations by a schedule.
        queue_requests: sends, receives and deletes.
        events: put on the bus.
        log_bytes: written.
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
"""As the template gives each function."""

IDLE_TICK = Use(write_units=2, invocations=1, seconds=0.03, schedules=1, log_bytes=1_200)
"""A leased tick that finds nothing, with a cursor under 1 KB: the lease, and the skip streak."""

MESSAGE = Use(queue_requests=3)
"""One message in a batch of its own: sent, received, deleted."""

EVENT = Use(write_units=2, read_units=1, invocations=1, seconds=0.05, queue_requests=3, log_bytes=1_500)
"""An event evaluated, which a rule has put on the sensor's queue."""

RUN = Use(
    write_units=21,
    read_units=2,
    # DISPATCH, LAUNCH, RECORD twice; PUBLISH on the stream's two batches.
    invocations=6,
    seconds=0.4,
    # The messages of LAUNCH and RECORD: a launch, a start and an end.
    queue_requests=9,
    # QUEUED, STARTING, STARTED and the end are told.
    events=4,
    log_bytes=7_000,
)
"""A run from its dispatch to its recorded end, each step in a batch of its own; its job costs what it costs."""

POLLS_PER_MONTH = 5 * MONTH_SECONDS / 20
"""Lambda's five pollers ask an idle queue every 20 seconds."""

ENGINE_QUEUES = 4
"""Of engine/template.yaml: the queues of DISPATCH, LAUNCH, RECORD and PUBLISH."""

BASIC_ALARMS, DETAILED_ALARMS = 4, 25
"""Of engine/template.yaml, with Monitoring=basic and with Monitoring=detailed."""

PROJECT_ALARMS = 1
"""Of template.yaml: for dead letters."""

RUN_METRICS = 6
"""Written while runs come: TicksSucceeded, DispatchesSucceeded, LaunchesStarted, ReportsApplied, StatusesPublished and
LaunchLatency."""

EVENT_METRICS = 1
"""Written while events come, for each sensor: EventAge."""

IDLE_PASS = Use(write_units=0.1, read_units=11, invocations=1, seconds=0.1, schedules=1, log_bytes=400)
"""A pass of RECONCILE that finds nothing: twelve queries of two sparse indexes, the registry, the states of ten sensors each
four minutes, and every ten minutes the time of the pass."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What an engine and its projects have to do.

    Attributes:
        sensors: how many have a schedule.
        interval: seconds between the ticks of each; a schedule comes each minute at least.
        event_sensors: how many have a queue for events, and no schedule.
        projects: how many stacks use the engine.
        events: evaluated in a month.
        runs: in a month.
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
        """Evaluated in a month."""
        return self.sensors * MONTH_SECONDS / self.interval

    @property
    def queues(self) -> int:
        """Queues that Lambda polls; a sensor with a schedule has one for ticks below the minute only."""
        return ENGINE_QUEUES + self.event_sensors + (self.sensors if self.interval < MINUTE_SECONDS else 0)


def price(use: Use, prices: Prices) -> dict[str, float]:
    """What a use costs each time, in dollars, by service.

    Args:
        use: what happens.
        prices: of each part.
    """
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
    """What a million uses cost, in dollars."""
    return _each(use, prices) * MILLION


def per_month(work: Workload, prices: Prices) -> dict[str, float]:
    """List what an engine and its projects cost in a month, in dollars, each line with its name.

    What is not in it is free or costs nothing while it is idle: standard parameters of Systems Manager, events of AWS
    on the default bus, and metrics that are not written.

    Args:
        work: what they have to do.
        prices: of each part.
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
    """What the smallest Fargate task (a quarter of a CPU, half a GB) costs that runs a daemon all month."""
    return MONTH_HOURS * (0.25 * prices.vcpu_hour + 0.5 * prices.gb_hour)


def _not_due(work: Workload) -> Use:
    """The schedule's deliveries between the ticks of a longer interval: one conditional write that fails."""
    delivered = work.sensors * MONTH_SECONDS / MINUTE_SECONDS
    idle = max(0.0, delivered - work.ticks)
    each = Use(write_units=1, invocations=1, seconds=0.02, schedules=1, log_bytes=400)
    return Use(**{field.name: getattr(each, field.name) * idle for field in fields(Use)})
