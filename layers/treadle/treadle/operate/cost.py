"""What Treadle costs: counted requests times published prices, beside a daemon that waits all month."""

from dataclasses import dataclass, fields

MILLION = 1_000_000
MONTH_HOURS = 730.0
MONTH_SECONDS = MONTH_HOURS * 3_600


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

ENGINE_QUEUES, ENGINE_ALARMS, ENGINE_METRICS = 4, 21, 14
SENSOR_ALARMS, SENSOR_METRICS = 2, 1

IDLE_ENGINE_QUEUES, IDLE_ENGINE_ALARMS = 4, 4
"""Of engine/template.yaml: the queues of DISPATCH, LAUNCH, RECORD and PUBLISH, and the alarms of Monitoring=basic."""

IDLE_PASS = Use(write_units=0.1, read_units=11, invocations=1, seconds=0.1, schedules=1, log_bytes=400)
"""A pass of RECONCILE that finds nothing: twelve queries of two sparse indexes, the registry, the states of ten sensors each
four minutes, and every ten minutes the time of the pass."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What a stack has to do.

    Attributes:
        sensors: how many, each with a schedule.
        interval: seconds between the ticks of each; a schedule comes each minute at least.
        events: evaluated in a month.
        runs: in a month.
    """

    sensors: int = 1
    interval: int = 60
    events: int = 0
    runs: int = 0

    @property
    def ticks(self) -> float:
        """Evaluated in a month."""
        return self.sensors * MONTH_SECONDS / self.interval


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
    return sum(price(use, prices).values()) * MILLION


def per_month(work: Workload, prices: Prices) -> dict[str, float]:
    """What a stack costs in a month, in dollars, by service.

    Args:
        work: what it has to do.
        prices: of each part.
    """
    total = dict.fromkeys(price(Use(), prices), 0.0)
    for use, times in ((IDLE_TICK, work.ticks), (_not_due(work), 1), (EVENT, work.events), (RUN, work.runs)):
        for service, dollars in price(use, prices).items():
            total[service] += dollars * times
    queues = work.sensors + ENGINE_QUEUES
    total["SQS"] += queues * POLLS_PER_MONTH * prices.queue_requests / MILLION
    total["Scheduler"] += MONTH_SECONDS / 60 * prices.schedules / MILLION
    alarms = ENGINE_ALARMS + SENSOR_ALARMS * work.sensors
    metrics = ENGINE_METRICS + SENSOR_METRICS * work.sensors
    total["Alarms and metrics"] = alarms * prices.alarm + metrics * prices.metric + prices.dashboard
    return total


def idle_engine_per_month(prices: Prices, sensors: int = 10) -> dict[str, float]:
    """List what an engine and its sensors cost in a month in which nothing happens, in dollars.

    Nothing else has a price while nothing happens: no metric is written, standard parameters and events of AWS are
    free, and there is no dashboard.

    Args:
        prices: of each part.
        sensors: how many, each with a schedule of a minute and no queue.
    """
    minutes = MONTH_SECONDS / 60
    return {
        f"ticks of {sensors} sensors": sensors * minutes * per_million(IDLE_TICK, prices) / MILLION,
        f"polls of {IDLE_ENGINE_QUEUES} queues": IDLE_ENGINE_QUEUES
        * POLLS_PER_MONTH
        * prices.queue_requests
        / MILLION,
        "RECONCILE": minutes * per_million(IDLE_PASS, prices) / MILLION,
        f"{IDLE_ENGINE_ALARMS} alarms": IDLE_ENGINE_ALARMS * prices.alarm,
    }


def daemon_per_month(prices: Prices) -> float:
    """What the smallest Fargate task (a quarter of a CPU, half a GB) costs that runs a daemon all month."""
    return MONTH_HOURS * (0.25 * prices.vcpu_hour + 0.5 * prices.gb_hour)


def _not_due(work: Workload) -> Use:
    """The schedule's deliveries between the ticks of a longer interval: one conditional write that fails."""
    delivered = work.sensors * MONTH_SECONDS / 60
    idle = max(0.0, delivered - work.ticks)
    each = Use(write_units=1, invocations=1, seconds=0.02, schedules=1, log_bytes=400)
    return Use(**{field.name: getattr(each, field.name) * idle for field in fields(Use)})
