"""What a tick that finds nothing costs, on Amazon's own DynamoDB engine, and what the functions write to their logs."""

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import boto3
import pytest

from benchmarks.idle_tick import figures, measure
from tests.functional.conftest import Deployment, LambdaContext, batch, object_created
from tests.functional.test_publish import change
from tests.support.dynamodb_meter import Meter, metered
from tests.support.hooks import hooked
from tests.support.tables import create_tables
from tests.template.model import read
from treadle import DagsterRunStatus, SensorEvaluationContext, SensorResult, SkipReason, evaluator, sensor
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.entrypoints.handler import logger, metrics
from treadle.operate.cost import (
    EVENT,
    EVENT_OF_TEN,
    IDLE_TICK,
    INVOCATION_LOG_BYTES,
    RUN,
    RUN_OF_TEN,
    Use,
)

CURSORS = ["c" * 400, "c" * 401, "c" * 1_024, "c" * 100_000]
Idle = Callable[[], dict[str, Any]]


@pytest.fixture
def meter() -> Iterator[Meter]:
    with metered() as counting:
        yield counting


@pytest.fixture
def stores(dynamodb_local: str, monkeypatch: pytest.MonkeyPatch) -> DynamoStores:
    """The stores of the deployment that the functions see in their environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    names = create_tables()
    tables = {f"TREADLE_{table.upper()}_TABLE": name for table, name in asdict(names).items()}
    function = read().evaluators()["new_objects"]
    unused = {name: "0" for name in read().environment(function) if name.startswith("TREADLE_")}
    ticking = {
        "TREADLE_KIND": "schedule",
        "TREADLE_INTERVAL_SECONDS": "0",
        "TREADLE_DEFAULT_STATUS": "RUNNING",
        "TREADLE_PAUSE_AFTER": "10",
    }
    for name, value in {**unused, **tables, **ticking}.items():
        monkeypatch.setenv(name, value)
    return DynamoStores(names, RandomTokens())


@pytest.fixture(params=CURSORS, ids=lambda cursor: f"{len(cursor)} bytes")
def cursor(request: pytest.FixtureRequest) -> str:
    """A cursor that is in the sensor's state, or has an item of its own."""
    return str(request.param)


@pytest.fixture(params=["left alone", "set again"])
def idle_tick(request: pytest.FixtureRequest, meter: Meter, stores: DynamoStores, cursor: str) -> Idle:
    """Ticks a sensor that has a cursor, and skips for another reason each time."""
    count = itertools.count()

    @sensor(job_name="none")
    def idle(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        number = next(count)
        if context.cursor is None:
            return SensorResult(skip_reason="The first tick sets the cursor.", cursor=cursor)
        assert context.cursor == cursor
        if request.param == "set again":
            context.update_cursor(cursor)
        return SkipReason(f"{'Nothing new ' * 14}after {number} checks.")

    handler = evaluator(idle)
    minutes = itertools.count()

    def tick() -> dict[str, Any]:
        scheduled = f"2026-11-22T18:{next(minutes):02d}:00Z"
        answer: dict[str, Any] = handler({"treadle": "tick", "nominal_time": scheduled}, LambdaContext())
        return answer

    assert tick()["decision"] == "SKIPPED"
    return tick


def test_an_idle_tick_costs_two_small_writes_whatever_the_cursors_size(
    idle_tick: Idle, meter: Meter, stores: DynamoStores, cursor: str
) -> None:
    for number in (1, 2, 3):
        meter.reset()

        answer = idle_tick()

        assert answer["reason"].endswith(f"Nothing new after {number} checks.")
        assert len(meter.writes) == meter.written_items == meter.write_units == 2
        assert len(meter.reads) == (len(cursor) > 400)

    state = stores.sensors.get("idle")
    assert stores.sensors.cursor(state) == cursor


def test_delivery_between_two_ticks_of_a_long_interval_costs_one_read(
    meter: Meter, stores: DynamoStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedule comes each minute, whatever the interval."""
    monkeypatch.setenv("TREADLE_INTERVAL_SECONDS", "300")

    @sensor(job_name="none")
    def hardly_ever() -> SkipReason:
        return SkipReason("Nothing new.")

    handler = evaluator(hardly_ever)

    def tick(minute: int) -> str:
        meter.reset()
        scheduled = f"2026-11-22T18:{minute:02d}:00Z"
        answer: dict[str, Any] = handler({"treadle": "tick", "nominal_time": scheduled}, LambdaContext())
        return str(answer["decision"])

    assert tick(0) == "SKIPPED"
    for minute in (1, 2):
        assert tick(minute) == "NOT_DUE"
        assert (meter.writes, len(meter.reads), meter.read_units) == ([], 1, 1)


def test_request_counts_are_within_their_bounds_and_the_cost_model_rests_on_them(
    dynamodb_local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`treadle cost` rests on the units that each step takes on Amazon's engine."""
    # The measuring has credentials of its own, which a session made before would not take up.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    measured = measure(dynamodb_local)
    rows = {row.step: row for row in measured}
    assert [figure.cells for figure in figures(measured) if not figure.is_met] == []
    life = [row for step, row in rows.items() if step.startswith("run: ")]

    idle, event = rows["idle tick, a cursor of 100 bytes"], rows["event: evaluated"]
    assert (IDLE_TICK.write_units, IDLE_TICK.read_units) == (idle.write_units, idle.read_units)
    assert (EVENT.write_units, EVENT.read_units) == (event.write_units, event.read_units)
    assert RUN.write_units == sum(row.write_units for row in life)
    assert RUN.read_units == sum(row.read_units for row in life)


@dataclass
class Log:
    """Counts what the functions write to their logs, and their requests to AWS.

    Attributes:
        requests: operations of the last invocations, without those of Lambda's pollers and of the stream.
    """

    capsys: pytest.CaptureFixture[str]
    requests: list[str] = field(default_factory=list)

    def of(self, *invocations: Callable[[], object]) -> int:
        """Return the bytes of invocations, with the lines that Lambda adds."""
        # Made by an earlier test, perhaps, whose captured output is closed by now.
        logger().registered_handler.stream = sys.stdout  # type: ignore[attr-defined]
        self.capsys.readouterr()
        self.requests.clear()
        for invoke in invocations:
            invoke()
        written = self.capsys.readouterr().out
        return len(written.encode()) + len(invocations) * INVOCATION_LOG_BYTES

    def on_request(self, model: Any, **_: Any) -> None:
        if model.name not in {"ReceiveMessage", "DeleteMessage", "Scan"}:
            self.requests.append(model.name)


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """The functions' log at the level INFO, with the engine's name in the metrics."""
    monkeypatch.setattr(metrics(), "service", "treadle")
    made = Log(capsys)
    with hooked(("before-call.*.*", made.on_request)):
        yield made


@pytest.mark.parametrize(
    ("number", "of_event", "of_run", "most_requests"),
    [(1, EVENT, RUN, (7, 21)), (10, EVENT_OF_TEN, RUN_OF_TEN, (1, 5))],
    ids=["alone", "in tens"],
)
def test_what_a_run_and_its_event_log_and_request_is_what_the_cost_model_has(
    log: Log, deployment: Deployment, number: int, of_event: Use, of_run: Use, most_requests: tuple[int, int]
) -> None:
    objects = [object_created(f"incoming/orders{index}.csv", f"e{index}") for index in range(number)]
    event = log.of(lambda: deployment.invoke("sensors/new_objects", batch(*objects)))
    of_events = len(log.requests)
    written = log.of(deployment.dispatch_pending)
    requests = len(log.requests)
    queued = deployment.stores.runs.list_by_sensor("new_objects", number)
    written += log.of(deployment.launch_queued)
    requests += len(log.requests)
    started = [deployment.stores.runs.get(run.run_id) or run for run in queued]
    ends = [deployment.changed(run, "SUCCEEDED", str((run.started_at or 0) + 1_000)) for run in started]
    written += log.of(lambda: deployment.invoke("engine/record", batch(*ends)))
    requests += len(log.requests)
    ended = [deployment.stores.runs.get(run.run_id) or run for run in queued]
    # As in the model: one batch of the stream has the queued and the started run.
    first = [change(run, {}) for run in queued]
    first += [change(after, before.reached) for after, before in zip(started, queued, strict=True)]
    last = [change(after, before.reached) for after, before in zip(ended, started, strict=True)]
    written += log.of(
        lambda: deployment.invoke("engine/publish", {"Records": first}),
        lambda: deployment.invoke("engine/publish", {"Records": last}),
    )
    requests += len(log.requests)

    assert [run.status for run in ended] == [DagsterRunStatus.SUCCESS] * number
    assert event / number == pytest.approx(of_event.log_bytes, rel=0.05)
    assert written / number == pytest.approx(of_run.log_bytes, rel=0.05)
    assert of_events / number <= most_requests[0]
    assert requests / number <= most_requests[1]


def test_what_an_idle_tick_writes_to_logs_is_what_the_cost_model_has(
    log: Log, deployment: Deployment
) -> None:
    """The reason of a skipped tick is logged when it is another one than before."""
    reasons = iter(["Nothing new.", "Nothing new.", "Nothing new.", "No answer.", "Nothing new."])

    @sensor(job_name="none")
    def idle() -> SkipReason:
        return SkipReason(next(reasons))

    deployment.setenv(TREADLE_KIND="schedule", TREADLE_PAUSE_AFTER="10", TREADLE_INTERVAL_SECONDS="0")
    deployment.handlers["idle"] = evaluator(idle)

    def tick(minute: int) -> int:
        scheduled = {"treadle": "tick", "nominal_time": f"2026-11-22T18:{minute:02d}:00Z"}
        return log.of(lambda: deployment.invoke("idle", scheduled))

    written = [tick(minute) for minute in range(5)]

    assert [each > IDLE_TICK.log_bytes for each in written] == [True, False, False, True, True]
    assert set(written[1:3]) == {IDLE_TICK.log_bytes}


def test_operators_tick_is_logged_although_its_reason_is_the_one_before(
    log: Log, deployment: Deployment
) -> None:
    @sensor(job_name="none")
    def idle() -> SkipReason:
        return SkipReason("Nothing new.")

    deployment.setenv(TREADLE_KIND="schedule", TREADLE_PAUSE_AFTER="10", TREADLE_INTERVAL_SECONDS="0")
    deployment.handlers["idle"] = evaluator(idle)
    tick = {"treadle": "tick", "nominal_time": "2026-11-22T18:00:00Z"}

    log.of(lambda: deployment.invoke("idle", tick))
    written = log.of(lambda: deployment.invoke("idle", {"treadle": "tick", "at_once": True}))

    assert written > IDLE_TICK.log_bytes
